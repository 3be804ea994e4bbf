"""The chat of examples/chat, as people see it: real browsers, the real application, a real Hookbox."""

import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

RUN = Path(__file__).parents[2] / "examples" / "chat" / "run.py"
DEADLINE = float(os.environ.get("HOOKBOX_TEST_DEADLINE", "10"))  # seconds that any wait may take
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}
LONGEST = 500

numbers = itertools.count(1)


def new_name(name="Ann"):
    """Return a name that nobody had before: the tests share one chat."""
    return f"{name} {next(numbers)}"


class Chat:
    """The chat and its Hookbox, as `run.py` starts them, on free ports."""

    def __init__(self, database, *flags):
        environment = os.environ | {"CHAT_DATABASE": str(database), "HOOKBOX_LEAVE_GRACE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-u", RUN, *(flags or ("--port=0", "--hookbox-port=0"))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C" in line:
                self.ready.set()
        self.ready.set()

    @property
    def output(self):
        return "".join(self.lines)

    def wait(self):
        assert self.ready.wait(2 * DEADLINE), self.output
        addresses = dict(re.findall(r"^ +(Chat|Hookbox) +(http://localhost:\d+)", self.output, re.MULTILINE))
        assert len(addresses) == 2, self.output
        self.address, self.hookbox = addresses["Chat"], addresses["Hookbox"]
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        try:
            status = self.process.wait(2 * DEADLINE)
        finally:
            self.process.kill()
        self.reader.join(DEADLINE)
        self.process.stdout.close()
        return status


@contextmanager
def running(database):
    chat = Chat(database)
    try:
        yield chat.wait()
    finally:
        status = chat.stop()
        print(chat.output)
    assert status == 0
    assert "Traceback" not in chat.output


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    with running(tmp_path_factory.mktemp("chat") / "chat.sqlite3") as chat:
        yield chat


class Person:
    """Somebody with a browser of its own."""

    def __init__(self, browser, chat, name, comet=False, **options):
        from playwright.sync_api import expect

        self.expect, self.chat, self.name, self.comet = expect, chat, name, comet
        self.context = browser.new_context(**({"viewport": WIDE} | options))
        self.context.set_default_timeout(DEADLINE * 1000)
        if comet:
            self.context.add_init_script("delete window.WebSocket")
        self.faults = []
        self.page = self.new_page()

    def new_page(self):
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        page.goto(self.chat.address)
        return page

    def comes_in(self):
        self.page.get_by_label("Your name").fill(self.name)
        self.page.get_by_role("button", name="Enter the chat").click()
        self.is_connected()
        self.expect(self.present.filter(has_text=f"{self.name} (you)")).to_have_count(1)
        return self

    def is_connected(self, page=None):
        state = "Live (comet)" if self.comet else "Live"
        self.expect((page or self.page).locator("#connection")).to_have_text(state)

    def goes_to(self, room):
        self.page.locator("#rooms").get_by_role("link", name=room).click()
        self.expect(self.heading).to_have_text(f"# {room}")

    def talks_to(self, other):
        self.page.get_by_label("Who is here", exact=True).get_by_role("link", name=other.name).click()
        self.expect(self.heading).to_have_text(other.name)

    def types(self, text):
        self.field.press_sequentially(text)

    def says(self, text):
        self.field.fill(text)
        self.field.press("Enter")

    def sees(self, text, times=1):
        self.expect(self.message(text)).to_have_count(times)

    def message(self, text):
        return self.page.locator("#log .text").get_by_text(text, exact=True)

    def reloads(self):
        self.page.reload()
        self.is_connected()

    @property
    def heading(self):
        return self.page.locator("h1")

    @property
    def field(self):
        return self.page.get_by_role("textbox", name=re.compile("^Message to"))

    @property
    def present(self):
        return self.page.locator("#present .name")

    def leaves(self, faults=()):
        """Close the browser; whatever its console complained about must be expected."""
        self.context.close()
        unexpected = [fault for fault in self.faults if not any(text in fault for text in faults)]
        assert unexpected == []


@pytest.fixture
def people(browser, chat):
    """Make people who come in, and close their browsers in the end."""
    made = []

    def make(name="Ann", **options):
        made.append(Person(browser, chat, new_name(name), **options))
        return made[-1]

    yield make
    for person in made:
        person.leaves(("status of 409", "status of 400", "ERR_FAILED", "ERR_CONNECTION"))


both_ways = pytest.mark.parametrize("comet", [False, True], ids=["websocket", "comet"])


# ---- talking ----


@both_ways
def test_two_people_talk(people, comet):
    ann, bob = people("Ann", comet=comet).comes_in(), people("Bob", comet=comet).comes_in()
    greeting, answer = f"Hello, {bob.name}! é 世 😀", f"Hello, {ann.name}!"
    ann.says(greeting)
    bob.sees(greeting)
    bob.says(answer)
    for person, mine in ((ann, greeting), (bob, answer)):
        person.sees(greeting)
        person.sees(answer)
        person.expect(person.page.locator(".mine").filter(has_text=mine)).to_have_count(1)
    ann.expect(ann.page.locator(".message:not(.mine)").last).to_contain_text(bob.name)
    ann.expect(ann.field).to_have_value("")


@both_ways
def test_messages_are_still_there_after_a_reload(people, comet):
    ann = people("Ann", comet=comet).comes_in()
    text = f"Remember this of {ann.name}"
    ann.says(text)
    ann.sees(text)
    ann.reloads()
    ann.sees(text)
    ann.expect(ann.page.locator(".mine").filter(has_text=text)).to_have_count(1)


def test_messages_of_one_person_stand_together(people):
    ann, bob = people("Ann").comes_in(), people("Bob").comes_in()
    texts = [f"{word} of {ann.name}" for word in ("First", "Second")]
    for text in texts:
        ann.says(text)
        bob.sees(text)
    groups = bob.page.locator(".message")
    bob.expect(groups.nth(-2).locator(".byline")).to_be_visible()
    bob.expect(groups.nth(-1).locator(".byline")).to_be_hidden()


def test_shift_enter_makes_a_line_and_links_lead_elsewhere(people):
    ann = people().comes_in()
    ann.field.fill("See")
    ann.field.press("Shift+Enter")
    ann.types(f"https://example.org/{next(numbers)}")
    ann.field.press("Enter")
    link = ann.page.locator("#log .text a").last
    ann.expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    ann.expect(ann.page.locator("#log .text").last).to_have_text(
        re.compile(r"^See\nhttps://example.org/\d+$")
    )


def test_markup_is_shown_as_it_was_written(people):
    ann = people("<img src=x onerror=alert(1)>"[:18]).comes_in()
    text = f"<img src=x onerror=document.title='bad'> <script>document.title='bad'</script> {next(numbers)}"
    ann.says(text)
    ann.sees(text)
    ann.expect(ann.page.locator("#present")).to_contain_text(ann.name)
    ann.expect(ann.page.locator("#log img, #log script, #people img")).to_have_count(0)
    ann.expect(ann.page).not_to_have_title("bad")


# ---- moderation ----


@both_ways
def test_swearing_is_rewritten_for_everybody(people, comet):
    ann, bob = people("Ann", comet=comet).comes_in(), people("Bob", comet=comet).comes_in()
    number = next(numbers)
    ann.says(f"What the heck, {number}")
    for person in (ann, bob):
        person.sees(f"What the ****, {number}")


@both_ways
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Buy now, at our casino", "No advertising in here, please."),
        ("x" * (LONGEST + 1), f"That is {LONGEST + 1} characters long, and {LONGEST} is the most."),
    ],
    ids=["advertising", "too long"],
)
def test_a_refused_message_reaches_nobody_and_its_writer_reads_why(people, comet, text, reason):
    ann, bob = people("Ann", comet=comet).comes_in(), people("Bob", comet=comet).comes_in()
    ann.says(text)
    ann.expect(ann.page.get_by_role("alert")).to_have_text(reason)
    ann.expect(ann.field).to_have_value(text)
    marker = f"Marker {next(numbers)}"
    ann.says(marker)
    bob.sees(marker)
    bob.sees(text, times=0)
    ann.sees(text, times=0)
    ann.expect(ann.page.get_by_role("alert")).to_be_hidden()


# ---- private messages ----


@both_ways
def test_a_private_message_is_for_two(people, comet):
    ann, bob, cleo = (people(name, comet=comet).comes_in() for name in ("Ann", "Bob", "Cleo"))
    ann.talks_to(bob)
    text = f"Only for {bob.name}"
    ann.says(text)
    ann.sees(text)
    talk = bob.page.locator("#private").get_by_role("link", name=ann.name)
    bob.expect(talk.locator(".badge")).to_have_text("1")
    bob.expect(bob.page).to_have_title(re.compile(r"^\(1\)"))
    talk.click()
    bob.sees(text)
    bob.expect(talk.locator(".badge")).to_be_empty()
    bob.says("Thank you")
    ann.sees("Thank you")
    marker = f"Marker {next(numbers)}"
    bob.goes_to("lobby")
    bob.says(marker)
    cleo.sees(marker)
    cleo.sees(text, times=0)
    cleo.expect(cleo.page.locator("#private").get_by_role("link")).to_have_count(0)
    ann.reloads()
    ann.sees(text)


def test_a_private_message_waits_for_somebody_who_is_away(people):
    ann, bob = people("Ann").comes_in(), people("Bob").comes_in()
    ann.talks_to(bob)
    bob.page.close()
    ann.expect(ann.page.locator("#topic")).to_contain_text("will read it on coming back")
    text = f"For later, {bob.name}"
    ann.says(text)
    ann.sees(text)
    bob.page = bob.new_page()
    bob.is_connected()
    bob.page.locator("#private").get_by_role("link", name=ann.name).click()
    bob.sees(text)


def test_a_private_message_to_nobody_is_refused(people, chat):
    ann = people().comes_in()
    ann.page.goto(f"{chat.address}/#@Nobody")
    ann.says("Hello?")
    ann.expect(ann.page.get_by_role("alert")).to_have_text("Nobody here is called Nobody.")


# ---- who is here, who is typing ----


@both_ways
def test_people_see_who_comes_and_who_goes(people, comet):
    ann = people("Ann", comet=comet).comes_in()
    bob = people("Bob", comet=comet)
    ann.expect(ann.present.filter(has_text=f"{ann.name} (you)")).to_have_count(1)
    bob.comes_in()
    ann.expect(ann.present.filter(has_text=bob.name)).to_have_count(1)
    bob.expect(bob.present.filter(has_text=ann.name)).to_have_count(1)
    bob.page.close(run_before_unload=True)  # as people do; without, the page may have no chance to say that it goes
    ann.expect(ann.present.filter(has_text=bob.name)).to_have_count(0)


@both_ways
def test_people_see_who_is_typing(people, comet):
    ann, bob = people("Ann", comet=comet).comes_in(), people("Bob", comet=comet).comes_in()
    ann.types("I think")
    bob.expect(bob.page.locator("#typing")).to_have_text(f"{ann.name} is typing…")
    ann.expect(ann.page.locator("#typing")).to_be_empty()
    ann.field.press("Enter")
    bob.expect(bob.page.locator("#typing")).to_be_empty()
    ann.types("And")
    bob.expect(bob.page.locator("#typing")).to_have_text(f"{ann.name} is typing…")
    bob.expect(bob.page.locator("#typing")).to_be_empty()  # by itself


# ---- rooms ----


def test_messages_elsewhere_are_marked(people):
    ann, bob = people("Ann").comes_in(), people("Bob").comes_in()
    ann.goes_to("kitchen")
    bob.goes_to("kitchen")
    bob.goes_to("lobby")
    link = bob.page.locator("#rooms").get_by_role("link", name="kitchen")
    for text in ("One", "Two"):
        ann.says(f"{text} {ann.name}")
    bob.expect(link.locator(".badge")).to_have_text("2")
    bob.expect(bob.page).to_have_title("(2) lobby – Chat")
    bob.reloads()
    bob.expect(link.locator(".badge")).to_have_text("2")
    link.click()
    bob.expect(bob.page.locator(".mark.new + .message")).to_contain_text(f"One {ann.name}")
    bob.expect(link.locator(".badge")).to_be_empty()
    bob.expect(bob.page).to_have_title("kitchen – Chat")


def test_a_new_room_shows_everywhere(people):
    ann, bob = people("Ann").comes_in(), people("Bob").comes_in()
    room = f"room-{next(numbers)}"
    ann.page.get_by_role("button", name="Create a room").click()
    dialog = ann.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("!!!")
    dialog.get_by_role("button", name="Create").click()
    ann.expect(dialog.get_by_role("alert")).to_have_text("A room needs a name with letters in it.")
    dialog.get_by_label("Name").fill(room.replace("-", " ").upper())
    dialog.get_by_label("What is it about?").fill("Everything new")
    dialog.get_by_role("button", name="Create").click()
    ann.expect(ann.heading).to_have_text(f"# {room}")
    bob.goes_to(room)
    bob.expect(bob.page.locator("#topic")).to_have_text("Everything new")
    ann.says("First!")
    bob.sees("First!")


def test_a_room_can_be_left(people):
    ann, bob = people("Ann").comes_in(), people("Bob").comes_in()
    ann.goes_to("workshop")
    bob.goes_to("workshop")
    ann.expect(ann.present.filter(has_text=bob.name)).to_have_count(1)
    bob.page.get_by_role("button", name="Leave this room").click()
    bob.expect(bob.heading).to_have_text("# lobby")
    ann.expect(ann.present.filter(has_text=bob.name)).to_have_count(0)


def test_a_room_that_does_not_exist_is_refused(people, chat):
    ann = people().comes_in()
    ann.page.goto(f"{chat.address}/#nowhere")
    ann.expect(ann.page.get_by_role("alert")).to_have_text("There is no such room.")
    ann.expect(ann.heading).to_have_text("# lobby")


# ---- coming in and leaving ----


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "A name has 1 to 24 characters."), ("a\u202eb", "A name has 1 to 24 characters."),
     ("Admin", "That name is reserved.")],
    ids=["empty", "control characters", "reserved"],
)  # fmt: skip
def test_a_bad_name_is_refused(people, name, reason):
    ann = people()
    ann.page.get_by_label("Your name").evaluate("field => field.required = false")
    ann.page.get_by_label("Your name").fill(name)
    ann.page.get_by_role("button", name="Enter the chat").click()
    ann.expect(ann.page.get_by_role("alert")).to_have_text(reason)


def test_a_taken_name_is_refused_in_any_case(people):
    ann, other = people("Ann").comes_in(), people()
    name = ann.name.upper()
    other.page.get_by_label("Your name").fill(name)
    other.page.get_by_role("button", name="Enter the chat").click()
    other.expect(other.page.get_by_role("alert")).to_have_text(f"Somebody here is already called {name}.")


@both_ways
def test_logging_out_ends_every_tab_and_frees_the_name(people, comet):
    ann, bob = people("Ann", comet=comet).comes_in(), people("Bob", comet=comet).comes_in()
    second = ann.new_page()
    ann.is_connected(second)
    old_cookies = ann.context.cookies()
    ann.page.get_by_role("button", name="Log out").click()
    ann.expect(ann.page.get_by_label("Your name")).to_be_visible()
    ended = second.get_by_role("dialog", name="The connection has ended")
    ann.expect(ended).to_contain_text("You have logged out.")
    ended.get_by_role("link", name="Come in again").click()
    ann.expect(second.get_by_label("Your name")).to_be_visible()
    bob.expect(bob.present.filter(has_text=ann.name)).to_have_count(0)
    ann.context.add_cookies(old_cookies)
    ann.page.reload()
    ann.comes_in()


def test_the_session_cookie_is_for_the_server_only(people):
    ann = people().comes_in()
    (cookie,) = [cookie for cookie in ann.context.cookies() if cookie["name"] == "chat_session"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert ann.page.evaluate("document.cookie") == ""


# ---- trouble with the network ----


def test_what_was_said_while_the_connection_was_down_is_shown_once_it_is_back(people):
    ann, bob = people("Ann"), people("Bob").comes_in()
    sockets, down = [], threading.Event()

    def carry(socket):
        if down.is_set():
            socket.close()
        else:
            sockets.append((socket, socket.connect_to_server()))

    def hold_back(route):
        route.abort() if down.is_set() else route.continue_()

    ann.page.route_web_socket(re.compile(r"/ws$"), carry)
    ann.page.route(re.compile(r"/csp/"), hold_back)
    ann.page.reload()
    ann.comes_in()
    before, meanwhile, after = (f"{word} {next(numbers)}" for word in ("Before", "Meanwhile", "After"))
    bob.says(before)
    ann.sees(before)
    down.set()
    for page_side, server_side in sockets:
        server_side.close()
        page_side.close()
    ann.expect(ann.page.locator("#connection")).to_have_text(re.compile("Reconnecting|Connecting"))
    bob.says(meanwhile)
    bob.sees(meanwhile)
    ann.says("Can anybody hear me?")
    ann.expect(ann.page.get_by_role("alert")).to_contain_text("Not connected")
    ann.expect(ann.field).to_have_value("Can anybody hear me?")
    down.clear()
    ann.expect(ann.page.locator("#connection")).to_have_text(re.compile("^Live"), timeout=40_000)
    for text in (before, meanwhile):
        ann.sees(text)
    bob.says(after)
    ann.sees(after)
    shown = ann.page.locator("#log .text").all_inner_texts()
    assert shown.index(before) < shown.index(meanwhile) < shown.index(after)


def test_a_page_whose_websockets_are_cut_off_uses_comet(people):
    ann, bob = people("Ann", comet=True), people("Bob").comes_in()
    ann.page.route_web_socket(re.compile(r"/ws$"), lambda socket: socket.close())
    ann.page.reload()
    ann.comes_in()
    ann.says(f"Comet of {ann.name}")
    bob.sees(f"Comet of {ann.name}")


# ---- windows large and small, by day and by night ----


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_and_panels_on_demand(people, scheme):
    ann = people("Ann", viewport=NARROW, color_scheme=scheme, has_touch=True, is_mobile=True).comes_in()
    ann.says("A long word: " + "x" * 300)
    ann.expect(ann.page.locator(".mine").last).to_be_visible()
    page = ann.page
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    ann.expect(ann.field).to_be_in_viewport()
    ann.expect(page.locator("#places")).to_be_hidden()
    page.get_by_role("button", name="Rooms and private talks").tap()
    ann.expect(page.locator("#places")).to_be_visible()
    page.locator("#rooms").get_by_role("link", name="kitchen").tap()
    ann.expect(page.locator("#places")).to_be_hidden()
    ann.expect(ann.heading).to_have_text("# kitchen")
    page.get_by_role("button", name="Who is here").tap()
    ann.expect(ann.present.filter(has_text=ann.name)).to_be_visible()
    page.keyboard.press("Escape")
    ann.expect(page.locator("#people")).to_be_hidden()
    assert brightness(page) > 200 if scheme == "light" else brightness(page) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_wide_window_shows_rooms_talk_and_people_side_by_side(people, scheme):
    ann = people("Ann", color_scheme=scheme).comes_in()
    boxes = [ann.page.locator(part).bounding_box() for part in ("#places", "main", "#people")]
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    assert sum(box["width"] for box in boxes) == WIDE["width"]
    assert all(box["height"] == WIDE["height"] for box in boxes)
    ann.expect(ann.page.get_by_role("button", name="Rooms and private talks")).to_be_hidden()
    assert brightness(ann.page) > 200 if scheme == "light" else brightness(ann.page) < 60


def brightness(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_everything_can_be_reached_by_keyboard_and_has_a_name(people):
    ann = people().comes_in()
    ann.page.evaluate("document.activeElement.blur()")
    names = []
    for _ in range(30):
        ann.page.keyboard.press("Tab")
        names.append(
            ann.page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText).trim()")
        )
    for name in ("Create a room", "# lobby", "Log out", "Messages"):
        assert any(name in " ".join(reached.split()) for reached in names), names
    nameless = ann.page.locator("button, a[href], input, textarea").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.innerText || e.labels?.length || e.closest('dialog, template'))).length"
    )
    assert nameless == 0


# ---- what people do not see ----


def post(address, path, form, **headers):
    host, port = address.removeprefix("http://").split(":")
    link = http.client.HTTPConnection(host, int(port), timeout=DEADLINE)
    link.request(
        "POST", path, urlencode(form), {"Content-Type": "application/x-www-form-urlencoded", **headers}
    )
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, body


@pytest.mark.parametrize("action", ["connect", "publish", "message", "disconnect"])
def test_only_our_hookbox_is_answered(chat, action):
    status, _ = post(
        chat.address, f"/hookbox/{action}", {"secret": "a guess", "name": "Ann", "payload": '"x"'}
    )
    assert status == 403


def test_forms_of_other_sites_are_refused(chat):
    status, _ = post(chat.address, "/login", {"name": new_name()}, **{"Sec-Fetch-Site": "cross-site"})
    assert status == 403


def test_history_comes_from_the_database_when_both_programs_start_again(browser, tmp_path):
    database = tmp_path / "chat.sqlite3"
    with running(database) as first:
        ann = Person(browser, first, "Ann").comes_in()
        ann.says("I was here")
        ann.sees("I was here")
        ann.leaves()
    with running(database) as second:
        bob = Person(browser, second, "Bob").comes_in()
        bob.sees("I was here")
        bob.leaves()


def test_run_names_the_flag_when_a_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chat = Chat(tmp_path / "chat.sqlite3", f"--port={port}", "--hookbox-port=0")
        assert chat.ended() == 1
    assert f"Port {port} is in use" in chat.output
    assert "--port" in chat.output


def test_run_ends_when_one_of_its_programs_ends(tmp_path):
    chat = Chat(tmp_path / "chat.sqlite3").wait()
    children = Path(f"/proc/{chat.process.pid}/task/{chat.process.pid}/children")
    if not children.exists():
        chat.stop()
        pytest.skip("no /proc to find the programs in")
    first, second = map(int, children.read_text().split())
    os.kill(second, signal.SIGKILL)
    assert chat.ended() == 1
    assert "Hookbox has ended by itself" in chat.output
    assert not Path(f"/proc/{first}").exists()
