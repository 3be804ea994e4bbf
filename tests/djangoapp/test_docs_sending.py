"""docs/hooks-sending.md: its examples run, and its names exist."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.management import call_command
from sending_house import SECRET, job_for, listening, send
from test_verify_webhook import signed

from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending import health

pytestmark = pytest.mark.django_db
PAGE = (Path(__file__).parents[2] / "docs/hooks-sending.md").read_text()


def example(name):
    return re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)[1]


def run(name):
    names = {"__name__": __name__}
    exec(compile(example(name), f"docs/hooks-sending.md, {name}", "exec"), names)
    return names


def test_a_backend(settings, capsys, monkeypatch):
    monkeypatch.setitem(globals(), "Backend", run("a backend")["Backend"])
    settings.HOOKBOX_HOOK_BACKEND = f"{__name__}.Backend"
    listener = listening("https://shop.example/")
    job = job_for(listener)
    send(job, listener, on_commit=False)
    assert capsys.readouterr().out == f"{job.id} person.saved {listener.url} {listener.uuid} {job.body}\n"


def test_a_disabled_listener(settings):
    from hookbox.contrib.django.signals import listener_disabled

    settings.ADMINS = [("Ann", "ann@example.com")] if django_settings.ADMINS == [] else django_settings.ADMINS
    names = run("a disabled listener")
    try:
        health.disable("default", str(listening("https://shop.example/").uuid), "410")
    finally:
        listener_disabled.disconnect(names["tell_somebody"])
    assert mail.outbox[0].body == "person.saved for https://shop.example/: 410"


def test_a_receiving_view(settings, capsys):
    settings.SHOP_WEBHOOK_SECRET = SECRET
    view = run("a receiving view")["shop_hook"]
    answer = view(signed(SECRET, body=b'{"id": 7}', id="msg_1"))
    assert answer.content == b"thanks"
    assert capsys.readouterr().out == "paid 7 by message msg_1\n"


def test_listeners(tmp_path, capsys):
    from django.contrib.auth.models import User

    User.objects.create(username="joe")
    given = json.loads(example("listeners"))
    file = tmp_path / "listeners.json"
    file.write_text(json.dumps(given))
    call_command("hookbox_import_listeners", str(file))
    assert Listener.objects.count() == len(given)


def test_every_option_of_the_command_is_there():
    from hookbox.contrib.django.management.commands.hookbox_outbox import Command

    options = {
        option for action in Command().create_parser("", "")._actions for option in action.option_strings
    }
    assert set(re.findall(r"hookbox_outbox (--[a-z-]+)", PAGE)) <= options
