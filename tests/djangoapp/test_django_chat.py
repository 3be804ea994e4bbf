"""The Django example as people use it: its own login, its admin pages, real browsers, a real Hookbox."""

import os
import re
import secrets
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from managed import Managed

from hookbox.testing import DEADLINE

EXAMPLE = Path(__file__).parents[2] / "examples/django_chat"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUICK = """
from config.settings import *
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
numbers = count(1)


def environment(folder):
    """The example's settings, with a hash of passwords that takes no time, and a database of its own."""
    (folder / "quick.py").write_text(QUICK)
    paths = [str(folder), str(EXAMPLE), os.environ["PYTHONPATH"]]
    return {
        "CHAT_DATABASE": str(folder / "chat.sqlite3"),
        "HOOKBOX_LEAVE_GRACE": "0.5",
        "PYTHONPATH": os.pathsep.join(paths),
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where the example is, started as its run.py does."""
    folder = tmp_path_factory.mktemp("commons")
    run = ("--port=0", "--hookbox-port=0")
    with Managed(*run, cwd=folder, settings="quick", program=(EXAMPLE / "run.py",), **environment(folder)) as chat:
        chat.wait_for("Ctrl-C stops both", 6 * DEADLINE)
        yield re.search(r"Commons +(http://localhost:\d+)/", chat.out)[1]
        chat.send(signal.SIGTERM)
        assert chat.ended() == 0
        said = chat.out + chat.err
    print(said)
    assert "Traceback" not in said


class Person:
    """Somebody with a browser of its own, on the page of the lobby."""

    def __init__(self, browser, site, name, **options):
        from playwright.sync_api import expect

        self.expect, self.site, self.name = expect, site, name
        self.context = browser.new_context(**({"viewport": WIDE} | options))
        self.context.set_default_timeout(DEADLINE * 1000)
        self.faults = []
        self.page = self.opens("/")
        if "storage_state" not in options:
            self.logs_in(self.page)
        self.is_live()

    def opens(self, path):
        page = self.context.new_page()
        if "admin" not in path:  # whose pages are not ours
            page.on("pageerror", lambda error: self.faults.append(str(error)))
            page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        page.goto(self.site + path)
        return page

    def logs_in(self, page, name=None):
        page.get_by_label("Name").fill(name or self.name)
        page.get_by_label("Password").fill("demo")
        page.get_by_role("button", name="Log in").click()
        self.is_live(page)

    def is_live(self, page=None):
        self.expect((page or self.page).locator("#state")).to_have_text("Live")

    def says(self, text):
        self.field.fill(text)
        self.field.press("Enter")

    def sees(self, text, times=1):
        self.expect(self.page.locator("#log .text").get_by_text(text, exact=True)).to_have_count(times)

    def reads(self, problem):
        self.expect(self.page.get_by_role("alert")).to_have_text(problem)

    def session(self):
        return next(each["value"] for each in self.context.cookies() if each["name"] == "sessionid")

    @property
    def field(self):
        return self.page.get_by_role("textbox", name=re.compile("^Message to"))

    def saves(self, model, **fields):
        """Make something in the admin pages."""
        page = self.opens(f"/admin/rooms/{model}/add/")
        for name, value in fields.items():
            field = page.locator(f"#id_{name}")
            if value is True:
                field.check()
            elif name == "action":
                field.select_option(value)
            else:
                field.fill(value)
                field.press("Tab")  # a name makes its own slug
        page.get_by_role("button", name="Save", exact=True).click()
        self.expect(page.locator(".messagelist .success")).to_be_visible()
        page.close()


@pytest.fixture(scope="module")
def sessions():
    """What the browsers of those keep who have logged in once."""
    return {}


@pytest.fixture
def people(browser, site, sessions):
    """Make people who are logged in; in the end their browsers' consoles may hold only what was announced."""
    made = []

    def make(name, faults=(), own_session=False, **options):
        if name in sessions and not own_session:
            options["storage_state"] = sessions[name]
        person = Person(browser, site, name, **options)
        made.append((person, faults))
        if not own_session:
            sessions.setdefault(name, person.context.storage_state())
        return person

    yield make
    for person, faults in made:
        person.context.close()
        assert [fault for fault in person.faults if not any(text in fault for text in faults)] == []


def new(text):
    return f"{text} {next(numbers)}"


# ---- people talk ----


def test_two_people_talk_see_each_other_and_find_it_all_again(people):
    ada, grace = people("ada"), people("grace")
    hello, answer = new("Hello, Grace"), new("<b>Hello</b> & welcome")
    ada.says(hello)
    grace.sees(hello)
    grace.says(answer)
    ada.sees(answer)
    ada.expect(ada.field).to_have_value("")
    ada.page.get_by_role("button", name="Who is here").click()
    ada.expect(ada.page.locator("#people li")).to_have_text(["Aada (you)", "Ggrace"])
    ada.page.keyboard.press("Escape")

    reader = ada.context.browser.new_context(java_script_enabled=False, storage_state=ada.context.storage_state())
    page = reader.new_page()
    page.goto(ada.page.url)  # the page that Django makes has it all, whatever scripts do
    ada.expect(page.locator("#log .text").get_by_text(answer, exact=True)).to_have_count(1)
    reader.close()

    grace.page.close()
    ada.expect(ada.page.locator("#present")).to_have_text("A1")


def test_a_channel_begins_with_what_the_database_has(people):
    ada = people("ada")
    ada.says(text := new("To be kept"))
    ada.sees(text)
    ada.page.goto(f"{ada.site}/rooms/kitchen/")  # the lobby's channel ends, as nobody is there
    ada.is_live()
    ada.page.goto(f"{ada.site}/rooms/lobby/")
    ada.is_live()
    history = "connection.subscribe('room:lobby').then(room => room.history.map(([kind, {payload}]) => payload.text))"
    assert text in ada.page.evaluate(history)
    ada.sees(text)  # once, though it came with the page and with the channel


# ---- moderation ----


def test_moderators_make_rules_and_the_next_message_obeys(people):
    ada, grace = people("ada"), people("grace")
    grace.says(f"Darn it, {(number := next(numbers))}")
    ada.sees(f"**** it, {number}")

    word, reason = f"brand{next(numbers)}", "We do not name competitors here."
    ada.saves("rule", word=word, action="refuse", reason=reason)
    refused = f"Try {word.upper()} instead"
    grace.says(refused)
    grace.reads(reason)
    grace.expect(grace.field).to_have_value(refused)
    grace.says(marker := new("Marker"))
    ada.sees(marker)
    ada.sees(refused, times=0)  # and the marker came after it
    grace.expect(grace.page.get_by_role("alert")).to_be_hidden()

    grace.says("x" * 501)
    grace.reads("That is 501 characters long, and 500 is the most.")


def test_what_is_not_for_everybody_is_refused(people):
    alan = people("alan", faults=["404"])
    calls = {
        "connection.subscribe('room:engine-room')": "There is no such room, or you are not one of its members.",
        "connection.publish('room:engine-room', 'x')": "There is no such room, or you are not one of its members.",
        "connection.publish('announcements', {id: 1, text: 'x'})": "There is no such room, or you are not one of its members.",
        "connection.subscribe('something')": "There is no such room, or you are not one of its members.",
        "connection.message('ada', 'x')": "There are no private messages here.",
    }
    for call, answer in calls.items():
        assert alan.page.evaluate(f"{call}.then(() => 'done', error => error.msg)") == answer
    alan.expect(alan.page.locator("#rooms a")).to_have_text([re.compile("Kitchen"), re.compile("Lobby")])
    assert alan.opens("/rooms/engine-room/").title() != "Engine room · Commons"


# ---- what is saved in the admin pages ----


def test_what_is_saved_in_the_admin_pages_shows_on_every_open_page(people):
    ada, alan = people("ada"), people("alan")
    secret, name, text = new("Secret"), new("Design"), new("We restart at four.")
    ada.saves("room", name=secret, is_private=True)
    ada.saves("room", name=name, topic="How it looks")
    ada.saves("announcement", text=text)
    for person in (ada, alan):
        person.expect(person.page.locator("#announcement span")).to_have_text(text)
        person.expect(person.page.get_by_role("link", name=name)).to_be_visible()
        person.expect(person.page.get_by_role("link", name=secret)).to_have_count(0)
    alan.page.get_by_role("link", name=name).click()
    alan.is_live()
    alan.expect(alan.page.get_by_role("heading", level=1)).to_have_text(name)
    assert alan.page.url.endswith(f"/rooms/{name.lower().replace(' ', '-')}/")
    alan.page.get_by_role("button", name="Dismiss").click()
    alan.page.reload()
    alan.is_live()
    alan.expect(alan.page.locator("#announcement")).to_be_hidden()


# ---- sessions ----


@pytest.mark.parametrize("page", ["/", "/admin/"], ids=["here", "in the admin pages"])
def test_logging_out_in_another_tab_ends_this_one(people, page):
    ada, elsewhere = people("ada", own_session=True), people("ada", own_session=True)
    old_cookies = ada.context.cookies()
    ada.opens(page).get_by_role("button", name="Log out").click()
    ended = ada.page.get_by_role("dialog", name="You are logged out")
    ada.expect(ended).to_be_visible()
    ada.expect(ada.page.locator("#state")).to_have_text("Not live")
    elsewhere.is_live()  # that session still holds
    elsewhere.says(text := new("Still here"))
    elsewhere.sees(text)

    ada.context.add_cookies(old_cookies)  # nobody can use that session any more
    denied = "new Promise(then => { connection.onError = error => then(error.msg); connection.reconnect(); })"
    assert ada.page.evaluate(denied) == "Please log in."
    ended.get_by_role("link", name="Log in again").click()
    ada.logs_in(ada.page)


def test_a_login_makes_a_new_session_and_a_page_with_the_old_one_is_denied(people):
    ada, grace = people("ada", own_session=True), people("grace")
    before = ada.session()
    ada.logs_in(ada.opens("/login/"), "grace")
    assert ada.session() != before
    ada.says(text := new("Who am I?"))
    ada.expect(ada.page.locator(".me .name")).to_have_text("grace")  # denied, it came again, as somebody else
    ada.is_live()
    ada.says(marker := new("Marker"))
    grace.sees(marker)
    grace.sees(text, times=0)


# ---- windows large and small ----


def test_a_phone_shows_one_column_and_the_rooms_on_demand_by_day_and_night(people):
    ada = people("ada", viewport=NARROW, has_touch=True, is_mobile=True)
    ada.says("A long word: " + "x" * 300)
    assert ada.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    ada.expect(ada.field).to_be_in_viewport()
    menu = ada.page.get_by_role("navigation", name="Rooms")
    ada.expect(menu).to_be_hidden()
    ada.page.get_by_role("button", name="Rooms").tap()
    menu.get_by_role("link", name="Kitchen").tap()
    ada.expect(ada.page.get_by_role("heading", level=1)).to_have_text("Kitchen")
    brightness = []
    for scheme in ("light", "dark"):
        ada.page.emulate_media(color_scheme=scheme)
        colour = ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(map(int, re.findall(r"\d+", colour)[:3])) / 3)
    assert brightness[0] > 200
    assert brightness[1] < 60


# ---- without a browser ----


def manage(folder, *arguments, settings, **more):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    return subprocess.run(
        [sys.executable, EXAMPLE / "manage.py", *arguments],
        env={**ours, **environment(folder), "DJANGO_SETTINGS_MODULE": settings, **more},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_django_has_nothing_to_say_against_the_settings_for_production(tmp_path):
    told = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CHAT_HOST": "chat.example.com",
        "HOOKBOX_WEBHOOK_SECRET": secrets.token_urlsafe(),
        "HOOKBOX_API_SECURITY_TOKEN": secrets.token_urlsafe(),
    }
    checked = manage(
        tmp_path, "check", "--deploy", "--fail-level", "DEBUG", settings="config.production", **told
    )
    assert checked.returncode == 0, checked.stderr
    assert "no issues (0 silenced)" in checked.stdout


def test_the_example_has_all_its_migrations_and_its_passwords_stay_where_debug_is(tmp_path):
    checked = manage(tmp_path, "makemigrations", "--check", "--dry-run", settings="quick")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (tmp_path / "earnest.py").write_text("from quick import *\nDEBUG = False")
    refused = manage(tmp_path, "demo", settings="earnest")
    assert refused.returncode == 1
    assert "everybody knows these passwords" in refused.stderr
