"""The page of `hookbox dev`, in a real browser, with no application anywhere."""

import re
import subprocess
import sys

import pytest

from hookbox.testing import DEADLINE


@pytest.fixture(scope="module")
def demo():
    command = [sys.executable, "-m", "hookbox", "dev", "-p", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"Listening to hookbox on (\S+)", line):
            break
    yield found[1]
    process.terminate()
    process.wait(DEADLINE)
    process.stderr.close()


def test_two_windows_of_the_demo_see_what_either_writes(browser, demo):
    ann, bob = (browser.new_page(), browser.new_page())
    complaints = []
    for page in (ann, bob):
        page.set_default_timeout(DEADLINE * 1000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(demo)
        page.get_by_text("connected", exact=True).wait_for()
    name = ann.locator("#name").inner_text()
    bob.locator("#presence").get_by_text(name).or_(bob.locator("#presence", has_text=name)).first.wait_for()
    ann.get_by_label("Message", exact=True).fill("<b>hello</b>")
    ann.get_by_role("button", name="Publish").click()
    for page in (ann, bob):
        page.get_by_text(f"{name}: <b>hello</b>").wait_for()
    late = browser.new_page()
    late.goto(demo)
    late.get_by_text(f"{name}: <b>hello</b>").wait_for()
    assert [text for text in complaints if "favicon" not in text] == []
    for page in (ann, bob, late):
        page.close()
