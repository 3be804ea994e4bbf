"""The example with which Durian introduced itself, with the one word that Python has taken away since."""

import pytest
from django.db.models import signals
from project.library.models import Person

from hookbox.contrib.django.hook import ModelHook
from hookbox.contrib.django.match import Startswith
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks
from hookbox.contrib.django.test import capture_hooks


class PersonHook(ModelHook):
    name = "person"
    model = Person
    signal = signals.post_save
    provides_args = ["name", "address"]
    async_ = False


@pytest.fixture(autouse=True)
def registered():
    hooks.register(PersonHook)
    yield
    hooks.unregister(PersonHook)


@pytest.mark.django_db
def test_the_readme_of_durian():
    # send event when person with name Joe is changed/added.
    PersonHook().listener(url="http://where.joe/is/listening").match(name="Joe").save()

    # send event whenever a person with a name that starts with the letter "J" is changed/added:
    PersonHook().listener(url="http://where.joe/is/listening/j").match(name=Startswith("J")).save()

    # send event when any Person is changed/added.
    PersonHook().listener(url="http://where.joe/is/listening/all").save()

    assert Listener.objects.count() == 3
    with capture_hooks() as sent:
        Person.objects.create(name="Joe", address="Milkyway", secret="not to be told")
        Person.objects.create(name="Jerry")
        Person.objects.create(name="Simon")
    joe, jerry, simon = sent
    assert joe.payload == {
        "name": "Joe",
        "address": "Milkyway",
        "created": True,
        "raw": False,
        "using": "default",
        "update_fields": None,
    }
    assert joe.urls == [f"http://where.joe/is/listening{path}" for path in ("", "/j", "/all")]
    assert jerry.urls == [f"http://where.joe/is/listening{path}" for path in ("/j", "/all")]
    assert simon.urls == ["http://where.joe/is/listening/all"]


@pytest.mark.django_db
def test_a_person_who_is_changed_is_told_as_one_that_was_there():
    joe = Person.objects.create(name="Joe")
    PersonHook().listener(url="http://where.joe/is/listening").match(name="Joe", created=False).save()
    with capture_hooks() as sent:
        joe.address = "Milkyway"
        joe.save()
        Person.objects.create(name="Joe")
    assert [each.payload["address"] for each in sent] == ["Milkyway"]
