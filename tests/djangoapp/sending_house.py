"""Jobs and listeners to send, places to send them to, and what the process remembers forgotten."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from django.db import connection

from hookbox.contrib.django import outbox
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending import road
from hookbox.contrib.django.sending.jobs import Job, Target
from hookbox.testing import DEADLINE, HookboxProcess, Receiver, Reply

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OLD_SECRET = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
ERRBACK_SECRET = "whsec_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="


def listening(url, using="default", **values):
    """A listener of the hook `person.saved` at that URL."""
    return Listener.objects.using(using).create(hook="person.saved", url=url, **values)


def job_for(*listeners, payload=None, **values):
    targets = tuple(
        Target(str(listener.uuid), listener.url, listener.config.get("headers", {})) for listener in listeners
    )
    body = json.dumps({"name": "Jöe"} if payload is None else payload, ensure_ascii=False)
    return Job(str(uuid.uuid4()), "person.saved", body, targets, **values)


def send(job, *listeners, async_=True, on_commit=True, fail_silently=False):
    return road.send(job, listeners, async_=async_, on_commit=on_commit, fail_silently=fail_silently)


def accepted(message_id="msg_1"):
    """What the server says when it has taken something."""
    return Reply(status=202, headers=(("Hookbox-Message-Id", message_id),), body=b"{}")


def said(status, text, *headers):
    return Reply(status=status, headers=headers, body=text.encode())


def wait_until(true, seconds=DEADLINE):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to be in time"
        time.sleep(0.005)


class Place:
    """Other Django processes, and the database they use."""

    def __init__(self, path, url):
        self.environ = os.environ | {
            "HOOKBOX_TEST_DB": str(path)
            if connection.vendor == "sqlite"
            else connection.settings_dict["NAME"],
            "HOOKBOX_TEST_URL": url,
        }

    def start(self, *arguments):
        command = [sys.executable, str(Path(__file__).with_name("sending_process.py")), *arguments]
        return subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        process.output, process.errors = process.communicate(timeout=3 * DEADLINE)
        return process


@pytest.fixture(autouse=True)
def forgetful():
    """No test knows what another has found out about the server."""
    outbox._paces.clear()


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def stand_in(settings):
    """In place of the server: answers as told, and remembers what it was handed."""
    with Receiver(accepted()) as stand_in:
        settings.HOOKBOX_URL = stand_in.url
        yield stand_in


@pytest.fixture(scope="module")
def hookbox_of_module():
    with HookboxProcess(egress="internal", leave_grace=0, dispatch_rate=10_000) as server:
        yield server


@pytest.fixture
def live(hookbox_of_module, settings):
    """A real server, and a project that knows where it is."""
    settings.HOOKBOX_URL = hookbox_of_module.url
    settings.HOOKBOX_API_SECURITY_TOKEN = hookbox_of_module.TOKEN
    return hookbox_of_module
