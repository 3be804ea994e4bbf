"""docs/django.md: its commands and files make a project in which two browsers talk."""

import os
import re
import socket
import subprocess
import sys

import pytest
from managed import Managed

from hookbox.testing import DEADLINE, Receiver
from tests.live.doc_examples import BLOCK, DOCS

PAGE = (DOCS / "django.md").read_text()
EXAMPLES = {found["name"]: found["text"] for found in BLOCK.finditer(PAGE)}
HERE = """
HOOKBOX_PORT, HOOKBOX_CBPORT = {hookbox}, {django}
HOOKBOX_STORE = ":memory:"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Project:
    """A folder in which the page's commands are run and its files are written."""

    def __init__(self, folder):
        self.folder = folder
        self.django, self.hookbox = free_port(), free_port()
        names = folder / "bin"  # `python` and `django-admin` are those of the test
        names.mkdir()
        for name, program in {"python": "", "django-admin": "-m django"}.items():
            (names / name).write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
            (names / name).chmod(0o755)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("HOOKBOX_", "DJANGO_"))}
        self.environ = {**environ, "PATH": f"{names}{os.pathsep}{os.environ['PATH']}"}

    def run(self, name, **replace):
        """What commands of the page say; they have to end well."""
        text = EXAMPLES[name]
        for old, new in replace.items():
            assert old in text
            text = text.replace(old, new)
        done = subprocess.run(
            ["sh", "-e", "-c", text], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, name):
        path = self.folder / name.partition(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.read_text() if name.endswith((", continued", "settings.py")) else ""
        path.write_text(f"{begun}\n{EXAMPLES[name]}")

    def save_notices(self, *texts):
        script = f"from wall.models import Notice; [Notice.objects.create(text=text) for text in {texts!r}]"
        command = [sys.executable, "manage.py", "shell", "-c", script]
        subprocess.run(command, cwd=self.folder, env=self.environ, check=True)

    def serve(self, name, *more):
        """The command of an example as a process, with arguments of ours."""
        words = EXAMPLES[name].split()
        assert words[:2] == ["python", "manage.py"]
        return Managed(*words[2:], *more, cwd=self.folder, settings="mysite.settings", program=("manage.py",))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The project with all its files, and nothing running."""
    project = Project(tmp_path_factory.mktemp("tutorial"))
    project.run("start")
    for name in EXAMPLES:
        if re.match(r"(mysite|wall)/", name):
            project.write(name)
    with (project.folder / "mysite/settings.py").open("a") as settings:
        settings.write(HERE.format(hookbox=project.hookbox, django=project.django))
    project.run("prepare")
    return project


@pytest.fixture(scope="module")
def project(made):
    """The project, running with its Hookbox."""
    with made.serve("run Django", made.django, "--noreload") as django, made.serve("run Hookbox") as hookbox:
        hookbox.wait_for("Listening to hookbox on")
        django.wait_for("Quit the server", 6 * DEADLINE)
        yield made
    assert "Traceback" not in django.err + hookbox.err


@pytest.fixture
def log_in(project, browser):
    from playwright.sync_api import expect

    contexts = []

    def log_in(name):
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.goto(f"http://localhost:{project.django}")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("change-me")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name=f"Log {name} out")).to_be_visible()
        return page

    yield log_in
    for context in contexts:
        context.close()


def test_what_is_saved_while_hookbox_is_not_there_is_handed_over_when_it_comes(made):
    with Receiver() as receiver:
        made.run("listen", **{"https://example.com/hooks": receiver.hook})
        made.save_notices("First", "Second", "Third")
        with made.serve("run Hookbox") as hookbox:
            hookbox.wait_for("Listening to hookbox on")
            told = receiver.wait_for(3)
        assert {each.json["text"] for each in told} == {"First", "Second", "Third"}
        assert "Traceback" not in hookbox.err


def test_two_browsers_talk(project, log_in):
    from playwright.sync_api import expect

    ann, bob = log_in("ann"), log_in("bob")

    def write(page, text):
        page.get_by_label("Write on the wall").fill(text)
        page.get_by_label("Write on the wall").press("Enter")

    write(ann, "Hello, darn <b>wall</b>")
    for page in (ann, bob):
        expect(page.locator("#wall li")).to_have_text(["ann: Hello, **** <b>wall</b>"])
    write(bob, "x" * 101)
    expect(bob.get_by_role("alert")).to_have_text("The wall is small: 1 to 100 characters, please.")

    project.run("publish")
    expect(bob.locator("#wall li").first).to_have_text("clock: It is five o’clock.")

    with Receiver() as receiver:
        project.run("listen", **{"https://example.com/hooks": receiver.hook})
        project.save_notices("Lunch")
        for page in (ann, bob):
            expect(page.get_by_role("status")).to_have_text("Lunch")
        (told,) = receiver.wait_for(1)
        assert told.json["text"] == "Lunch"
        assert told.headers["hookbox-type"] == "notice"

    tab = ann.context.new_page()
    tab.goto(ann.url)
    tab.get_by_role("button", name="Log ann out").click()
    expect(ann.get_by_role("alert")).to_contain_text("This page is not live any more")
    ann.get_by_role("button", name="Log ann out").click()  # of the page that was left open
    expect(ann.get_by_label("Username")).to_be_visible()

    bob.reload()
    expect(bob.locator("#wall li")).to_have_text(["clock: It is five o’clock.", "ann: Hello, **** <b>wall</b>"])


def test_every_link_of_the_page_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        if "://" not in target:
            assert (DOCS / target).exists(), target
