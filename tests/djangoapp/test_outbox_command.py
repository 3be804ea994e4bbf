"""`manage.py hookbox_outbox`."""

import signal

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError
from sending_house import Place, accepted, job_for, listening, send

from hookbox.contrib.django import outbox
from hookbox.contrib.django.models import OutboxEntry
from hookbox.testing import DEADLINE, Receiver


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_the_command_lists_retries_and_deletes(stand_in, capsys):
    listener = listening("https://shop.example/")
    stand_in.down()
    send(job_for(listener), listener)
    outbox.publish_later("people", "1")
    call_command("hookbox_outbox", list=True)
    lines = capsys.readouterr().out.splitlines()
    assert "person.saved for 1 listeners" in lines[0]
    assert "cannot be reached" in lines[0]
    assert "topic people" in lines[1]
    assert lines[2] == "2 in the outbox."
    with pytest.raises(CommandError, match="did not take everything"):
        call_command("hookbox_outbox", now=True)
    stand_in.up()
    call_command("hookbox_outbox", now=True)
    assert "2 handed over, 0 failed, 0 in the outbox." in capsys.readouterr().out

    outbox.put(job_for(listener))
    call_command("hookbox_outbox", purge_older=1)
    assert OutboxEntry.objects.count() == 1
    call_command("hookbox_outbox", purge_older=0)
    assert "1 deleted unsent." in capsys.readouterr().out
    assert not OutboxEntry.objects.exists()
    with pytest.raises(CommandError, match="there is no database 'nowhere'"):
        call_command("hookbox_outbox", database="nowhere")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_the_command_survives_a_database_that_restarts(monkeypatch, capsys, error):
    looks, handlers = [], {}

    def flush(*args, **options):
        looks.append(1)
        if len(looks) == 1:
            raise error("the connection is closed")
        handlers[signal.SIGTERM]()

    monkeypatch.setattr(outbox, "flush", lambda *args, **options: flush() or outbox.Flushed())
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    call_command("hookbox_outbox", watch=True, interval=0)
    assert len(looks) == 2
    assert "the connection is closed" in capsys.readouterr().err


def test_the_command_watches_until_it_is_told_to_stop(tmp_path):
    with Receiver(accepted()) as server:
        place = Place(tmp_path / "db", server.url)
        watching = place.start("fill 2 https://shop.example/ + hookbox_outbox --watch --interval 0.05")
        try:
            server.wait_for(2)
        finally:
            watching.terminate()
            output, errors = watching.communicate(timeout=DEADLINE)
    assert watching.returncode == 0, errors
    assert output == "Watching the outbox.\n2 handed over, 0 failed, 0 in the outbox.\n"
