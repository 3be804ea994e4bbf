"""`manage.py hookbox_import_listeners`."""

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from sending_house import SECRET

from hookbox.contrib.django.event import Hook
from hookbox.contrib.django.models import Listener

pytestmark = pytest.mark.django_db
ONE = {"hook": "person", "url": "https://shop.example/hook", "match": {"name": {"$startswith": "J"}}}


@pytest.fixture
def imported(tmp_path, capsys):
    def run(given, **options):
        file = tmp_path / "listeners.json"
        file.write_text(given if isinstance(given, str) else json.dumps(given))
        call_command("hookbox_import_listeners", str(file), **options)
        return capsys.readouterr().out.strip()

    return run


def test_everything_is_taken_over(imported):
    User.objects.create(username="joe")
    given = ONE | {"config": {"headers": {"X-A": "1"}}, "secret": SECRET, "active": False, "owner": "joe"}
    assert (
        imported([given, {"hook": "person", "url": "http://other.example/"}])
        == "2 imported, 0 are there already."
    )
    listener, plain = Listener.objects.order_by("pk")
    assert (listener.hook, listener.url, listener.match) == ("person", ONE["url"], ONE["match"])
    assert (listener.config, listener.secret, listener.active) == ({"headers": {"X-A": "1"}}, SECRET, False)
    assert listener.owner.get_username() == "joe"
    assert (plain.match, plain.config, plain.secret, plain.active, plain.owner) == ({}, {}, "", True, None)


def test_it_can_be_run_again(imported):
    imported([ONE])
    more = ONE | {"match": {"name": "Joe"}}
    assert imported([ONE, more, more]) == "1 imported, 2 are there already."
    assert Listener.objects.count() == 2


def test_hooks_that_are_not_registered_are_named(tmp_path, capsys, register):
    file = tmp_path / "listeners.json"
    file.write_text(json.dumps([ONE, ONE | {"hook": "invoice"}]))
    register(Hook("person"))
    call_command("hookbox_import_listeners", str(file))
    assert capsys.readouterr().err == (
        "No hook 'invoice' is registered here: its listeners wait until one is.\n"
    )
    assert Listener.objects.count() == 2


def test_a_dry_run_imports_nothing(imported):
    assert imported([ONE], dry_run=True) == "1 would be imported, 0 are there already."
    assert not Listener.objects.exists()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (ONE | {"url": "ftp://shop.example/"}, r"listener 2 \(person, ftp://shop.example/\): url: "),
        (ONE | {"hook": ""}, "hook: "),
        (ONE | {"match": [1]}, "match has to be an object"),
        (ONE | {"active": "yes"}, "active has to be true or false"),
        (ONE | {"owner": "nobody"}, "owner: there is no user 'nobody'"),
        (ONE | {"created_at": "2010"}, "unknown member 'created_at'; there are hook, url"),
        ("pickle", "listener 2: not an object"),
    ],
)
def test_one_that_cannot_be_used_is_named_and_nothing_is_imported(imported, bad, why):
    with pytest.raises(CommandError, match=rf"nothing is imported.\n.*{why}"):
        imported([ONE, bad])
    assert not Listener.objects.exists()


@pytest.mark.parametrize(("text", "why"), [("{", "is not JSON"), ("{}", "has to hold a list")])
def test_a_file_of_something_else(imported, text, why):
    with pytest.raises(CommandError, match=why):
        imported(text)
    with pytest.raises(CommandError, match=r"nowhere.json cannot be read"):
        call_command("hookbox_import_listeners", "nowhere.json")


@pytest.mark.django_db(databases=["default", "other"])
def test_from_standard_input_into_another_database(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([ONE])))
    call_command("hookbox_import_listeners", "-", database="other", stdout=io.StringIO())
    assert Listener.objects.using("other").get().url == ONE["url"]
    assert not Listener.objects.exists()
