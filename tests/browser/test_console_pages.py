"""The operator's console as an operator sees it: a real browser, a real Hookbox, real clients behind it."""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from urllib.request import urlopen

import pytest

from hookbox.testing import DEADLINE, HookboxProcess, Receiver, Reply, ScriptedApp

PASSWORD = "correct horse battery staple"
HOSTILE = "<img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"
PAGES = (
    "overview", "webhooks", "channels", "users", "connections", "deliveries", "endpoints", "subscriptions", "settings",
)  # fmt: skip
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('pre, thead, .unseen, .skip, #side'))
  .map(each => `${each.tagName}.${each.className}`)"""


class Console:
    """A browser's window on the console."""

    def __init__(self, context, server):
        from playwright.sync_api import expect

        self.expect, self.context, self.faults = expect, context, []
        self.url = f"http://localhost:{server.port}/admin/"
        context.set_default_timeout(DEADLINE * 1000)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))

    def logs_in(self, password=PASSWORD):
        self.page.goto(self.url)
        self.faults.clear()  # the browser complains about the 401 of the page itself
        self.page.get_by_label("Password").fill(password)
        self.button("Log in").click()
        return self

    def is_live(self):
        self.expect(self.page.locator("#live")).to_have_text("live")
        return self

    def goes_to(self, *parts, **query):
        address = "/".join(quote(part, safe="") for part in parts)
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        self.page.evaluate(
            "address => { location.hash = address }", f"#/{address}" + (f"?{asked}" if asked else "")
        )
        self.expect(self.page.locator("main h1").first).to_be_visible()
        return self

    @property
    def main(self):
        return self.page.locator("main")

    @property
    def dialog(self):
        return self.page.locator("dialog")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def row(self, text):
        return self.main.locator("tbody tr").filter(has_text=text)

    def rows_of(self, table, text):
        return self.page.get_by_role("table", name=table).locator("tbody tr").filter(has_text=text)

    def sees(self, *texts):
        for text in texts:
            self.expect(self.main).to_contain_text(text)

    def is_told(self, text):
        self.expect(self.page.locator("#told")).to_contain_text(text)


@pytest.fixture(scope="module")
def module_app():
    app = ScriptedApp()
    yield app
    app.stop()


@pytest.fixture(scope="module")
def hooked(module_app):
    """A Hookbox with a console that all tests share."""
    with HookboxProcess(module_app, admin_password=PASSWORD, egress="internal", leave_grace=0.2) as server:
        yield server


@pytest.fixture(scope="module")
def window(browser, hooked):
    context = browser.new_context(viewport=WIDE)
    yield Console(context, hooked).logs_in().is_live()
    context.close()


@pytest.fixture
def console(window, module_app):
    window.page.set_viewport_size(WIDE)
    yield window
    module_app.forget()
    faults, window.faults = window.faults, []
    assert faults == []  # of scripts, of the policy for content, of requests


@pytest.fixture
def people(hooked):
    """Has some connect, and subscribes them to a channel if one is named; they leave in the end."""
    there = []

    def come(channel, *names):
        clients = hooked.subscribed(channel, *names) if channel else [hooked.connect(name) for name in names]
        there.extend(clients)
        return clients

    yield come
    for client in there:
        client.close()


# logging in


def test_a_wrong_password_is_refused_and_the_right_one_lets_in(browser, hooked):
    context = browser.new_context()
    console = Console(context, hooked).logs_in("a guess")
    console.expect(console.page.get_by_role("alert")).to_have_text("That is not the password.")
    console.page.get_by_label("Password").fill(PASSWORD)
    console.button("Log in").click()
    console.is_live().sees("Overview")
    context.close()


def test_when_the_login_ends_the_page_says_so_and_leads_back_to_where_one_was(browser, hooked):
    context = browser.new_context()
    console = Console(context, hooked).logs_in().is_live().goes_to("settings")
    console.page.evaluate(
        """async () => {
          const { csrf } = await (await fetch('api/session')).json();
          await fetch('logout', { method: 'POST', headers: { 'X-Hookbox-CSRF': csrf } });
        }"""
    )
    over = console.page.locator("#over")
    console.expect(over).to_contain_text("Your login has ended")
    console.expect(console.page.locator("#live")).to_have_text("not live")  # and not "reconnecting" for ever
    over.get_by_role("link").click()
    console.page.get_by_label("Password").fill(PASSWORD)
    console.button("Log in").click()
    console.is_live()
    console.expect(console.page).to_have_url(re.compile("#/settings$"))
    console.button("Log out").click()
    console.expect(console.page.get_by_label("Password")).to_be_visible()
    context.close()


def test_it_is_live_without_websockets_too(browser, window, hooked):
    context = browser.new_context(storage_state=window.context.storage_state())
    context.add_init_script("delete window.WebSocket")
    console = Console(context, hooked)
    console.page.goto(console.url)
    console.is_live()
    context.close()


def test_it_is_live_on_a_second_port_and_below_a_path(browser):
    with HookboxProcess(admin_password=PASSWORD, web_api_port=0, path_prefix="/deep") as server:
        found = server.wait_for_log(rf"Listening to \S+ on http://127.0.0.1:(?!{server.port})(\d+)")
        context = browser.new_context()
        console = Console(context, server)
        console.url = f"http://localhost:{found.group(1)}/deep/admin/"
        console.logs_in().is_live()
        context.close()


# what the pages show


def test_the_pages_show_who_is_there_and_what_they_do(console, module_app, people):
    module_app.allow("create_channel", history_size=5, presenceful=True)
    ann, bob = people("lobby", "ann", "bob")
    ann.publish("lobby", "hello")
    bob.next_publication()
    console.goes_to("channels")
    console.expect(console.row("lobby").locator("td").nth(1)).to_have_text("2")
    console.row("lobby").get_by_role("link").click()
    console.expect(console.page.locator("h1")).to_have_text("lobby")
    console.expect(console.rows_of("Subscribers", "bob")).to_have_count(1)
    console.expect(console.main).not_to_contain_text("hello")
    console.button("Show payload").first.click()
    console.sees("hello")
    console.goes_to("users")
    console.row("ann").get_by_role("link").click()
    console.expect(console.page.locator("h1")).to_have_text("ann")
    console.sees("websocket", "lobby")
    console.goes_to("connections")
    console.expect(console.row("bob")).to_contain_text("127.0.0.1")
    bob.close()
    console.expect(console.row("bob")).to_have_count(0)


def test_the_overview_counts_and_draws(console, people):
    people("lobby", "ann")
    console.goes_to("overview")
    console.expect(console.main.locator(".tile").filter(has_text="Connections")).to_contain_text(
        re.compile(r"\d websocket")
    )
    plot = console.main.locator(".plot").filter(has_text="Memory")
    console.expect(plot.locator("path").first).to_have_attribute("d", re.compile("^M"))
    area = plot.locator(".area")
    console.expect(area).to_have_attribute(
        "aria-label", re.compile(r"Memory\. memory: now [\d.]+ MiB, between")
    )
    area.press("ArrowLeft")
    console.expect(plot.locator("output")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d [\d.]+ MiB"))


def test_empty_lists_say_what_would_fill_them(browser, console):
    console.goes_to("subscriptions")
    console.sees("No subscriptions by WebSub.", "/hub")
    console.goes_to("users", q="nobody of this name")
    console.sees("No users match.")
    console.button("Clear the filter").click()
    console.expect(console.page).to_have_url(re.compile("#/users$"))
    console.goes_to("channels", "gone")
    console.sees("does not exist")
    console.faults.clear()  # the browser complains about the 404


# the hook bench


def test_a_refused_webhook_appears_live_with_its_why(console, module_app, people):
    console.goes_to("webhooks", verdict="refused")
    module_app.refuse("publish", "no spam today")
    (ann,) = people("lobby", "ann")
    ann.publish("lobby", "buy this")
    row = console.row("no spam today")
    console.expect(row).to_contain_text("refused")
    row.get_by_role("link", name="publish").click()
    detail = console.page.get_by_role("complementary")
    console.expect(detail.locator(".reason")).to_have_text("no spam today")
    console.expect(detail).to_contain_text("channel_name")
    console.expect(detail).not_to_contain_text("buy this")
    console.button("Show form with its payload").click()
    console.expect(detail).to_contain_text("buy this")
    console.page.keyboard.press("Escape")
    console.expect(detail).to_have_count(0)


def test_a_broken_answer_comes_with_a_hint(console, module_app, people):
    console.goes_to("webhooks")
    module_app.answer("subscribe", Reply.redirect("/accounts/login/?next=/hookbox/subscribe"))
    (client,) = people(None, "carl")
    client.send("SUBSCRIBE", channel_name="lobby")
    console.row("carl").filter(has_text="failed").first.get_by_role("link", name="subscribe").click()
    detail = console.page.get_by_role("complementary")
    console.expect(detail.locator(".mend")).to_contain_text("login")


def test_a_webhook_is_sent_again_here_and_elsewhere(console, module_app, people):
    module_app.refuse("subscribe", "not yet")
    (client,) = people(None, "dora")
    client.send("SUBSCRIBE", channel_name="attic")
    console.goes_to("webhooks", user="dora", action="subscribe")
    console.row("not yet").get_by_role("link", name="subscribe").click()
    module_app.allow("subscribe")
    console.button("Send again").click()
    console.is_told("Sent again: allowed")
    module_app.refuse("devel", "from the development server")
    console.button("Send elsewhere…").click()
    console.dialog.get_by_label("URL").fill(f"{module_app.url}/devel")
    console.dialog.get_by_role("button", name="Send").click()
    console.is_told("from the development server")
    assert module_app.questions("devel")[0].form["user"] == "dora"


def test_a_connection_is_followed_from_handshake_to_goodbye(console, people):
    (client,) = people(None, "emil")
    console.goes_to("connections", user="emil")
    console.row("emil").get_by_role("link").first.click()
    console.sees("From handshake to goodbye", "opened", "connect")
    client.subscribe("cellar")
    console.sees("subscribe", "cellar")
    console.button("Disconnect").click()
    console.dialog.get_by_role("button", name="Cancel").click()
    console.button("Disconnect").click()
    address = console.page.url
    console.dialog.get_by_role("button", name="Disconnect").click()
    console.is_told("Disconnected.")
    assert client.wait_closed()[0] == 4504
    console.page.goto(address)
    console.sees("This connection is gone.", "closed")
    console.faults.clear()  # the browser complains about the 404


def test_a_login_is_followed_over_all_its_connections_and_ended(console, hooked):
    headers = {"Cookie": "user=greta; sessionid=of-greta"}
    pages = [hooked.client(headers=headers) for _ in range(2)]
    for page in pages:
        page.connect(None)
    console.goes_to("connections", user="greta")
    console.row("greta").get_by_role("link").first.click()
    console.expect(console.main).not_to_contain_text("of-greta")
    console.page.get_by_role("link", name="Follow the login").click()
    console.expect(console.rows_of("Connections", "greta")).to_have_count(2)
    console.expect(console.main.locator(".journal").get_by_text("opened", exact=True)).to_have_count(2)
    console.button("End it").click()
    console.dialog.get_by_role("button", name="End them").click()
    for page in pages:
        assert page.wait_closed()[0] == 4504
    console.expect(console.main.locator(".journal").get_by_text("closed", exact=True)).to_have_count(2)
    console.sees("No connection now.")


def test_a_paused_list_stands_still(console, people):
    console.goes_to("webhooks", action="connect", user="", q="")
    console.button("Pause").click()
    before = console.main.locator("tbody tr").count()
    people(None, "fritz")
    go_on = console.page.get_by_role("button", name=re.compile(r"Go on \(\d+ new\)"))
    console.expect(go_on).to_be_visible()
    assert console.main.locator("tbody tr").count() == before
    go_on.click()
    console.expect(console.main.locator("tbody tr")).not_to_have_count(before)


# changing things


def test_options_are_edited_and_a_bad_one_is_refused_by_name(console, people, hooked):
    people("garden", "ann")
    console.goes_to("channels", "garden")
    console.page.get_by_label("history_size", exact=True).fill("7")
    console.page.get_by_label("presenceful", exact=True).check()
    console.button("Apply").click()
    console.is_told("Changed: history_size, presenceful.")
    assert hooked.api("get_channel_info", channel_name="garden")["options"]["history_size"] == 7
    console.page.get_by_label("history_size", exact=True).fill("99999999")
    console.button("Apply").click()
    console.expect(console.page.get_by_role("alert")).to_contain_text("history_size")


def test_publishing_kicking_and_destroying(console, people):
    ann, bob = people("yard", "ann", "bob")
    console.goes_to("channels", "yard")
    console.page.get_by_label("Payload").fill('{"text": "from above"}')
    console.button("Publish").click()
    assert ann.next_publication()["payload"] == {"text": "from above"}
    console.rows_of("Subscribers", "bob").get_by_role("button", name="Kick").click()
    console.dialog.get_by_role("button", name="Unsubscribe").click()
    bob.skip_to("UNSUBSCRIBE", user="bob")
    console.expect(console.rows_of("Subscribers", "bob")).to_have_count(0)
    console.button("Destroy").click()
    console.dialog.get_by_role("button", name="Destroy the channel").click()
    ann.skip_to("UNSUBSCRIBE", user="ann")
    console.expect(console.page).to_have_url(re.compile("#/channels$"))


def test_a_setting_is_changed_and_a_bad_value_refused(console):
    console.goes_to("settings")
    console.page.get_by_label("Search").fill("webhook_timeout")
    field = console.page.get_by_label("webhook_timeout", exact=True)
    field.fill("soon")
    console.button("Apply").click()
    console.expect(console.page.get_by_role("alert")).to_contain_text("webhook_timeout")
    field.fill("4.5")
    console.button("Apply").click()
    console.is_told("Changed: webhook_timeout.")
    console.expect(console.page.get_by_label("webhook_timeout", exact=True)).to_have_value("4.5")
    console.expect(console.main).not_to_contain_text(HookboxProcess.TOKEN)
    console.faults.clear()  # the browser complains about the 400


def test_an_endpoint_is_registered_and_its_deliveries_are_retried(console, hooked):
    with Receiver(503, 200) as receiver:
        console.goes_to("endpoints")
        console.button("Register an endpoint").click()
        console.dialog.get_by_label("URL").fill(receiver.hook)
        console.dialog.get_by_label("Topics").fill("orders news")
        console.dialog.get_by_role("button", name="Register").click()
        console.expect(console.dialog).to_contain_text("whsec_")
        console.button("I have it").click()
        console.expect(console.page.locator("h1")).to_contain_text("enabled")
        hooked.dispatch(topic="orders", json={"number": 7})
        receiver.wait_for(1)
        console.row("503").get_by_role("link").first.click()
        console.sees("Attempt 1", "503")
        console.button("Show answer").click()
        console.expect(console.page.get_by_role("region", name="answer")).to_be_visible()
        console.button("Retry now").click()
        console.sees("Attempt 2", "succeeded")
        console.button("Show message").click()
        console.sees('"number": 7')
        console.goes_to("deliveries")
        console.button("Replay a topic…").click()
        console.dialog.get_by_label("Topic").fill("orders")
        console.dialog.get_by_label("To the endpoint").fill(receiver.hook)
        console.dialog.get_by_role("button", name="Replay").click()
        console.is_told("1 messages are replayed.")
        receiver.wait_for(3)


def confirm(received):
    """What a subscriber says to the hub that asks whether it wants to subscribe."""
    challenge = dict(parse_qsl(urlsplit(received.target).query)).get("hub.challenge", "")
    return Reply.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(challenge)}\r\n\r\n{challenge}".encode())


def test_a_subscription_of_the_hub_is_shown_and_ended(console, hooked):
    with Receiver(confirm) as reader:
        asked = {
            "hub.mode": "subscribe", "hub.topic": f"{hooked.url}/topic/news", "hub.callback": reader.hook,
            "hub.verify": "sync",
        }  # fmt: skip
        urlopen(f"{hooked.url}/hub", urlencode(asked).encode(), DEADLINE).close()
        console.goes_to("subscriptions")
        row = console.row(reader.hook)
        console.expect(row).to_contain_text("news")
        row.get_by_role("button", name="End").click()
        console.dialog.get_by_role("button", name="End it").click()
        console.is_told("Ended.")
        console.expect(row).to_have_count(0)


# safety and comfort


def test_hostile_names_are_text(console, people, hooked):
    people(HOSTILE, HOSTILE)
    hooked.api("publish", channel_name=HOSTILE, payload=HOSTILE, originator=HOSTILE)
    for place in (
        ("channels",), ("channels", HOSTILE), ("users",), ("users", HOSTILE), ("connections",), ("webhooks",),
    ):  # fmt: skip
        console.goes_to(*place)
        console.sees("<img src=x")
    console.row("<img src=x").first.locator("a").first.click()
    console.expect(console.page.get_by_role("complementary")).to_contain_text("<script>")
    assert console.page.locator("img, main script").count() == 0
    assert "bad" not in console.page.title()


def test_the_keyboard_leads_everywhere(console, people):
    people("lobby", "ann")
    console.goes_to("overview")
    keys = console.page.keyboard
    for letter, name in (("w", "Hook bench"), ("u", "Users"), ("c", "Channels")):
        keys.press("g")
        keys.press(letter)
        console.expect(console.page.locator("h1")).to_have_text(name)
    keys.press("/")
    console.expect(console.page.get_by_label("Name contains")).to_be_focused()
    keys.type("lobb")
    console.expect(console.page).to_have_url(re.compile(r"q=lobb$"))
    keys.press("Escape")
    console.expect(console.row("lobby")).to_have_count(1)
    keys.press("j")
    keys.press("Enter")
    console.expect(console.page.locator("h1")).to_have_text("lobby")
    keys.press("?")
    console.expect(console.dialog).to_contain_text("Hook bench")
    keys.press("Escape")
    console.expect(console.dialog).to_have_count(0)
    keys.press("Escape")
    console.expect(console.page.locator("h1")).to_have_text("Channels")


def test_light_or_dark_is_remembered(console):
    root = console.page.locator("html")
    console.button("Light or dark").click()
    console.expect(root).to_have_attribute("data-theme", "dark")
    console.page.reload()
    console.expect(root).to_have_attribute("data-theme", "dark")
    console.is_live().button("Light or dark").click()
    console.expect(root).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_nothing_is_wider_than_the_window(console, size, people):
    long = "a-name-without-any-place-to-break-it-" * 3
    people(long, long)
    console.page.set_viewport_size(size)
    places = [(name,) for name in PAGES] + [("channels", long), ("users", long)]
    for place in places:
        console.goes_to(*place)
        console.expect(console.main.locator("tbody tr, .empty, .plot, .setting").first).to_be_visible()
        assert console.page.evaluate(TOO_WIDE) == [], place
    console.goes_to("webhooks", user=long)
    console.main.locator("tbody a").first.click()
    console.expect(console.page.get_by_role("complementary")).to_contain_text("Request")
    assert console.page.evaluate(TOO_WIDE) == []


def test_the_menu_of_a_narrow_window_opens_and_closes(console):
    console.page.set_viewport_size(NARROW)
    console.goes_to("overview")
    menu = console.page.get_by_role("navigation")
    console.expect(menu).to_be_hidden()
    console.button("Menu").click()
    menu.get_by_role("link", name="Channels").click()
    console.expect(menu).to_be_hidden()
    console.expect(console.page.locator("h1")).to_have_text("Channels")


def test_what_was_added_to_a_list_stays_when_news_come_in(console, people):
    people(None, *(f"guest {number}" for number in range(60)))
    console.goes_to("users", q="guest")
    console.expect(console.main.locator("tbody tr")).to_have_count(50)
    console.button("Show more").click()
    console.expect(console.main.locator("tbody tr")).to_have_count(60)
    people(None, "guest who comes late")
    console.expect(console.main.locator("tbody tr")).to_have_count(61)


def test_what_was_opened_stays_open_when_news_come_in(console, people):
    (ann,) = people("hall", "ann")
    ann.publish("hall", "first words")
    console.goes_to("channels", "hall")
    console.button("Show payload").click()
    console.sees("first words")
    ann.publish("hall", "second words")
    console.expect(console.rows_of("Newest first", "publish")).to_have_count(2)
    console.sees("first words")
    console.expect(console.main).not_to_contain_text("second words")


def test_numbers_are_written_as_people_read_them(console):
    written = console.page.evaluate(
        """async () => {
          const { bytes, count, figure, lasting, took } = await import('./static/format.js');
          const { niceStep } = await import('./static/plot.js');
          return [
            count(1234567), count(null), figure(0.0123), bytes(1536), bytes(2 ** 30), took(0.0034), took(75), took(null),
            lasting(0.4), lasting(93784), niceStep(0.3), niceStep(7), niceStep(20 * 1024 * 1024, true) / 1024 ** 2,
          ];
        }"""
    )
    assert written == [
        "1,234,567", "–", "0.012", "1.5 KiB", "1 GiB", "3.4 ms", "1 min 15 s", "–",
        "0 s", "1 d 2 h", 0.5, 10, 20,
    ]  # fmt: skip
