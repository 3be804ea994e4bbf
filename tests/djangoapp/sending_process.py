"""A Django process of its own, for what happens when processes die or several are at work.

    sending_process.py die URL                  save a person, and be killed between commit and hand-over
    sending_process.py fill COUNT URL           so many jobs in the outbox
    sending_process.py hookbox_outbox ...       the management command

Several are done one after the other if there is a + between them.
"""

import os
import sys
from pathlib import Path

import django


def main(*arguments):
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ["DJANGO_SETTINGS_MODULE"] = "sending_settings"
    django.setup()
    from django.core.management import call_command

    make()
    for command in " ".join(arguments).split(" + "):
        what, *given = command.split()
        if what in COMMANDS:
            COMMANDS[what](*given)
        else:
            call_command(what, *given)


def make():
    """Make the tables in a new SQLite file."""
    from django.contrib.auth.models import User
    from django.db import connection
    from project.library.models import Person

    from hookbox.contrib.django.models import Listener, OutboxEntry

    if connection.vendor != "sqlite" or connection.introspection.table_names():
        return
    with connection.schema_editor() as editor:
        for model in (User, Listener, OutboxEntry, Person):
            editor.create_model(model)


def die(url):
    import signal

    from django.db import transaction
    from project.library.models import Person
    from sending_house import job_for, listening, send

    listener = listening(url)
    with transaction.atomic():
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))  # it comes first
        Person.objects.create(name="Joe")
        send(job_for(listener), listener)


def fill(count, url):
    from sending_house import job_for, listening

    from hookbox.contrib.django import outbox

    listener = listening(url)
    for _ in range(int(count)):
        outbox.put(job_for(listener))


COMMANDS = {"die": die, "fill": fill}

if __name__ == "__main__":
    main(*sys.argv[1:])
