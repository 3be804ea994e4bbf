"""What the pages on outgoing webhooks say, done as it stands there."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from doc_examples import SERVER, Page

from hookbox.testing import DEADLINE, HookboxProcess, Receiver

ROOT = Path(__file__).parents[2]
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(scope="module")
def hookbox():
    with HookboxProcess(egress="internal") as server:
        yield server


@pytest.fixture
def inbox():
    with Receiver() as inbox:
        yield inbox


@pytest.fixture
def outgoing(hookbox, inbox, tmp_path):
    there = {"https://shop.example/hooks": inbox.hook, "https://stock.example/hooks": inbox.hook}
    return Page("outgoing.md", tmp_path, **{SERVER: hookbox.url, **there})


@pytest.mark.parametrize("how", ["curl", "PHP"])
def test_a_form_is_dispatched(outgoing, inbox, how):
    assert "202 Scheduled" in outgoing.run(f"dispatch with {how}")
    (came,) = inbox.wait_for()
    assert came.body == b"event=signup&user=42"


def test_json_is_dispatched_by_Python_and_only_once(outgoing, inbox):
    first = outgoing.run("dispatch with Python").strip()
    (came,) = inbox.wait_for()
    assert came.json == {"event": "signup", "user": 42}
    assert (came.headers["webhook-id"], came.headers["hookbox-type"]) == (first, "user.signup")
    assert outgoing.run("dispatch with Python").strip() == first
    outgoing.run("dispatch with curl")  # a marker
    assert [came.body for came in inbox.wait_for(2)[1:]] == [b"event=signup&user=42"]


def test_a_batch_signs_for_who_has_a_secret(outgoing, inbox):
    answer = json.loads(outgoing.run("a batch"))
    assert len(answer["deliveries"]) == 2
    came = inbox.wait_for(2)
    assert {one.body for one in came} == {b'{"order":7}'}
    assert sorted("webhook-signature" in one.headers for one in came) == [False, True]


def test_an_endpoint_gets_what_fits_its_filter(hookbox, outgoing, inbox):
    made = json.loads(outgoing.run("register an endpoint"))
    try:
        assert made["secret"].startswith("whsec_")
        outgoing.run("publish on a topic")
        (came,) = inbox.wait_for()
        assert came.headers["hookbox-topic"] == "orders.paid"
        assert came.json == {"total": 100, "customer": {"name": "Jane"}}
    finally:
        requests.delete(
            f"{hookbox.url}/api/v1/endpoints/{made['id']}",
            headers={"Authorization": f"Bearer {hookbox.TOKEN}"},
            timeout=DEADLINE,
        ).raise_for_status()


def dispatch_signed(hookbox, url):
    answer = requests.post(
        f"{hookbox.url}/dispatch",
        data={"_url": url, "_secret": SECRET, "_retry": "none", "event": "signup"},
        headers={"Authorization": f"Bearer {hookbox.TOKEN}"},
        timeout=DEADLINE,
    )
    assert answer.status_code == 202, answer.text


def test_the_receiver_in_Python_takes_what_is_signed_and_nothing_else(hookbox, tmp_path):
    scope = {}
    exec(
        compile(Page("verifying.md", tmp_path).write("verify with Python").read_text(), "verify", "exec"),
        scope,
    )
    with Receiver() as inbox:
        dispatch_signed(hookbox, inbox.hook)
        (came,) = inbox.wait_for()
    assert scope["receive"](came.headers, came.body) == 200
    assert came.headers["webhook-id"] in scope["seen"]
    assert scope["receive"](came.headers, came.body + b"x") == 401
    assert scope["receive"](came.headers, came.body) == 200


def test_the_receiver_in_PHP_takes_what_is_signed_and_nothing_else(hookbox, tmp_path):
    page = Page("verifying.md", tmp_path)
    program = page.command("verify with PHP")
    command = [program[0], "-S", "127.0.0.1:0", program[1]]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as php:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", php.stderr.readline())[0]
            threading.Thread(target=php.stderr.read, daemon=True).start()
            assert requests.post(url, data=b"event=signup", timeout=DEADLINE).status_code == 401
            dispatch_signed(hookbox, url)
            token = {"Authorization": f"Bearer {hookbox.TOKEN}"}
            until = time.monotonic() + DEADLINE
            while time.monotonic() < until:
                found = requests.get(
                    f"{hookbox.url}/api/v1/deliveries", headers=token, timeout=DEADLINE
                ).json()
                newest = found["deliveries"][0]
                if newest["state"] in ("succeeded", "dead"):
                    break
            assert newest["state"] == "succeeded", newest
        finally:
            php.kill()


def test_the_signature_by_hand_is_what_the_page_says(tmp_path):
    page = Page("verifying.md", tmp_path)
    said = re.search(r"prints `(\S+)`", (ROOT / "docs/verifying.md").read_text())[1]
    assert page.run("verify with openssl").strip() == said


def test_the_demo_delivers_everything_through_a_kill():
    done = subprocess.run(
        [sys.executable, ROOT / "examples/deliveries/demo.py", "--messages", "60"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"60 messages accepted; kill -9 when \d+ of them had arrived", done.stdout)
    assert "All 60 messages have arrived" in done.stdout
