"""docs/streams.md: its examples run as they stand there, with another address."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import eventually

from hookbox.testing import DEADLINE

PAGE = Path(__file__).parents[2] / "docs/streams.md"
ADDRESS = "http://localhost:8001"
SETTINGS = {"origin": "https://www.example.com", "store": ":memory:"}


def examples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def run(hookbox):
    """Starts a program with the token, and ends it with the test."""
    started = []

    def begin(*command, code):
        code = code.replace(ADDRESS, hookbox.url)
        program = subprocess.Popen(
            [*command, code],
            stdout=subprocess.PIPE,
            env=os.environ | {"HOOKBOX_TOKEN": hookbox.TOKEN, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        started.append(program)
        return program

    yield begin
    for program in started:
        program.kill()
        program.wait(DEADLINE)
        program.stdout.close()


@pytest.fixture
def news(hookbox):
    """Publishes on news; returns what publishes, once somebody listens."""
    hookbox.api("create_channel", channel_name="news")

    def publish(payload, listeners=1):
        eventually(lambda: hookbox.api("get_server_info")["counts"]["streams"] == listeners)
        hookbox.api("publish", channel_name="news", payload=payload)

    yield publish
    hookbox.api("destroy_channel", channel_name="news")


def test_curl_shows_what_is_published(run, news):
    program = run("sh", "-c", code="exec " + examples("sh")[0].strip())
    news({"hello": "world"})
    shown = json.loads(program.stdout.readline())
    documented = json.loads(examples("json")[0])
    assert shown["payload"] == documented["payload"]
    assert [name for name in documented if name not in ("user", "type")] == list(shown)


def test_curl_gets_a_ticket(run):
    program = run("sh", "-c", code=examples("sh")[1])
    assert list(json.loads(program.stdout.readline())) == ["ticket"]


def test_the_example_in_python_goes_on_where_it_was(run, news):
    (code,) = examples("python")
    code += '\nfor unit in follow("news", "sport"):\n    print(unit["payload"])\n'
    program = run(sys.executable, "-c", code=code)
    for number in range(3):
        news(number)
        assert program.stdout.readline() == f"{number}\n"


def test_the_example_in_php(run, news):
    (code,) = examples("php")
    if not shutil.which("php"):
        pytest.skip("NOT TESTED: php is missing")
    program = run("php", "-r", code=code.removeprefix("<?php"))
    news({"hello": "world"})
    assert program.stdout.readline() == 'news: {"hello":"world"}\n'


def test_the_page_tells_of_every_field_and_every_end():
    from hookbox.protocol.units import ENDS

    text = PAGE.read_text()
    fields = (
        "topic",
        "channel",
        "last_event_id",
        "backlog",
        "wait",
        "limit",
        "heartbeat",
        "delimited",
        "ticket",
    )
    for word in (*fields, *ENDS.values(), "gap"):
        assert f"`{word}" in text or f"{word}=" in text, word
