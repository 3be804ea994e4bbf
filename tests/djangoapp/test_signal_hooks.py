"""Hooks of signals: what they hear, and how often, whatever becomes of their instances."""

import gc

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_save
from django.dispatch import Signal
from project.library.models import Book, Person

from hookbox.contrib.django.event import ModelHook, SignalHook, outlets
from hookbox.contrib.django.payload import NotJSON
from hookbox.contrib.django.registry import hooks
from hookbox.contrib.django.test import capture_hooks

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent():
    with capture_hooks() as sent:
        yield sent


@pytest.fixture
def bell():
    return Signal()


class PersonHook(ModelHook):
    name = "person"
    model = Person
    signal = post_save
    provides_args = ["name"]
    topic = "people"  # so that something is sent without listeners


def fired(sent):
    """How often the hook was sent for one row."""
    sent.clear()
    Person.objects.create(name="Joe")
    return len(sent)


def test_what_a_signal_says_is_sent(sent, bell, register):
    hook = register(SignalHook(bell, name="bell", topic="bells"))
    bell.send(sender="tower", strokes=12)
    assert sent[0].payload == {"strokes": 12}
    assert hook.send("tower", strokes=1) == []


def test_a_signal_that_carries_what_json_cannot_is_told(sent, bell, register):
    register(SignalHook(bell, name="bell", topic="bells"))
    with pytest.raises(NotJSON, match="'instance'"):
        bell.send(sender=None, instance=Person())


def test_a_registered_hook_hears_all_senders_unless_it_was_connected_to_some(sent, bell, register):
    register(SignalHook(bell, name="all", topic="t"))
    some = SignalHook(bell, name="some", topic="t")
    some.connect(sender=Person)
    register(some)
    bell.send(sender=Book)
    assert [each.hook for each in sent] == ["all"]
    sent.clear()
    bell.send(sender=Person)
    assert sorted(each.hook for each in sent) == ["all", "some"]


def test_it_can_be_disconnected_from_one_sender(sent, bell):
    hook = SignalHook(bell, name="bell", topic="t")
    hook.connect(sender=Person)
    hook.connect(sender=Book)
    hook.connect(sender=Book)
    hook.disconnect(sender=Person)
    bell.send(sender=Person)
    assert len(sent) == 0
    bell.send(sender=Book)
    assert len(sent) == 1
    hook.disconnect(sender=Book)
    assert not bell.receivers


def test_a_hook_without_a_signal_cannot_be_connected(register):
    with pytest.raises(ImproperlyConfigured, match="give it a signal"):
        SignalHook(name="x").connect()
    register(SignalHook(name="x"))


def test_the_dispatch_uid_says_hook_signal_and_sender(register):
    hook = register(PersonHook)
    uid = ("hookbox", "person", id(post_save), "library.Person")
    assert uid in [key[0] for key, *_ in post_save.receivers]
    assert outlets.uid_of(hook, post_save, None) == ("hookbox", "person", id(post_save), "")


def test_a_registered_hook_is_held(sent, register):
    register(PersonHook())
    gc.collect()
    assert fired(sent) == 1


def test_an_instance_that_is_not_registered_hears_as_long_as_it_is_held(sent):
    hook = PersonHook()
    assert fired(sent) == 1
    del hook
    gc.collect()
    assert fired(sent) == 0
    assert PersonHook.name not in [key[0][1] for key, *_ in post_save.receivers if isinstance(key[0], tuple)]


def test_a_throw_away_instance_alive_at_registration_takes_nothing_along(sent, register):
    thrown_away = PersonHook()
    register(PersonHook)
    assert fired(sent) == 1
    del thrown_away
    gc.collect()
    assert fired(sent) == 1


def test_throw_away_instances_before_and_after_registration_change_nothing(sent, register):
    PersonHook().listener(url="https://x.example/")
    register(PersonHook)
    kept = [PersonHook() for _ in range(3)]
    PersonHook()
    assert fired(sent) == 1
    del kept
    gc.collect()
    assert fired(sent) == 1


def test_of_several_unregistered_instances_one_hears_whichever_goes_first(sent):
    first, second = PersonHook(), PersonHook()
    assert fired(sent) == 1
    del first
    gc.collect()
    assert fired(sent) == 1
    del second
    gc.collect()
    assert fired(sent) == 0


def test_unregistering_disconnects_all_of_that_name(sent, register):
    register(PersonHook)
    other = PersonHook()
    hooks.unregister(PersonHook)
    assert fired(sent) == 0
    register(PersonHook)
    assert fired(sent) == 1
    assert other is not None


def test_a_hook_connected_after_its_registration_is_held_too(sent, bell, register):
    register(SignalHook(bell, name="bell", topic="t"))
    hooks["bell"].connect(sender=Person)
    gc.collect()
    bell.send(sender=Person)
    assert len(sent) == 2  # as one of all senders, and as this one


def test_two_hooks_hear_one_signal(sent, register):
    register(PersonHook)
    register(PersonHook(name="another"))
    Person.objects.create(name="Joe")
    assert sorted(each.hook for each in sent) == ["another", "person"]


def test_a_hook_whose_listeners_are_made_on_the_fly_fires_once(sent, register):
    register(PersonHook)
    PersonHook().listener(url="https://x.example/").save()
    assert fired(sent) == 1
    assert sent[0].urls == ["https://x.example/"]


def test_a_signal_sent_asynchronously_reaches_it(sent, bell, register):
    import asyncio

    import django

    if django.VERSION < (5, 0):
        pytest.skip("asynchronous signals came with Django 5.0")
    register(SignalHook(bell, name="bell", topic="t"))
    asyncio.run(bell.asend(sender=None, n=1))
    assert sent[0].payload == {"n": 1}


def test_with_debug_on_django_accepts_the_receiver(settings, bell, register):
    settings.DEBUG = True
    register(SignalHook(bell, name="bell", topic="t"))
    assert bell.receivers
