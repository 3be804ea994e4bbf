"""Signals: what each is sent with, and what it means that a receiver raises."""

import logging

import django
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client

from hookbox.contrib.django import Deny, signals, views, whcallback
from hookbox.contrib.django.callbacks import isolated_callbacks

FORM = {"channel_name": "lobby", "recipient": "bob", "payload": '{"n": 1}', "name": "ann", "channels": "[]"}
ASKED = ("connect", "subscribe", "publish", "create_channel", "message")
MEANT = ("unsubscribe", "destroy_channel")
ALL = (*ASKED, *MEANT, "disconnect")
NEEDS_ASYNC = pytest.mark.skipif(django.VERSION < (5, 0), reason="receivers of signals are never async")


@pytest.fixture(autouse=True)
def _own_callbacks(monkeypatch):
    monkeypatch.setattr("hookbox.contrib.django.savepoint._taking_part", list)
    with isolated_callbacks():
        whcallback("create")(lambda *args: {})
        yield


@pytest.fixture
def receive():
    """Connect a receiver for the time of the test."""
    connected = []

    def connect(name, receiver, **options):
        views.signals[name].connect(receiver, **options)
        connected.append((name, receiver))

    yield connect
    for name, receiver in connected:
        views.signals[name].disconnect(receiver)


def raising(error):
    def receiver(sender, **kwargs):
        raise error

    return receiver


def ask(action, client=None):
    return (client or Client()).post(f"/hookbox/{action}", FORM).json()


SENT = {
    "connect": {},
    "disconnect": {},
    "create_channel": {"channel": "lobby"},
    "destroy_channel": {"channel": "lobby"},
    "subscribe": {"channel": "lobby"},
    "unsubscribe": {"channel": "lobby"},
    "publish": {"channel": "lobby", "payload": '{"n": 1}', "data": {"n": 1}},
    "message": {"recipient": "bob", "payload": '{"n": 1}', "data": {"n": 1}},
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.django_db
def test_a_signal_is_sent_with_its_user(name, receive, client):
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    got = []

    def receiver(sender, **kwargs):
        got.append((sender, kwargs))

    receive(name, receiver)
    assert ask(name, client)[0] is True
    ((sender, kwargs),) = got
    assert sender == ann
    assert kwargs.pop("signal") is getattr(signals, name)
    assert kwargs.pop("request").path == f"/hookbox/{name}"
    assert kwargs == SENT[name]


@pytest.mark.parametrize("name", ALL)
def test_signals_are_sent_before_callbacks_are_called(name, receive):
    order = []

    def receiver(sender, **kwargs):
        order.append("signal")

    receive(name, receiver)
    whcallback(lambda *args: order.append("callback"))
    ask(name)
    assert order == ["signal", "callback"]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("name", ASKED)
def test_a_receiver_that_raises_denies_and_skips_the_callbacks(name, debug, receive, settings, caplog):
    settings.DEBUG = debug
    called = []
    whcallback(lambda *args: called.append(args))
    error = ValueError("row 7")

    def receiver(sender, **kwargs):
        raise error

    receive(name, receiver)
    assert ask(name) == [False, {"msg": "row 7", "error": "row 7" if debug else "internal error"}]
    error = Deny("not here")
    assert ask(name) == [False, {"msg": "not here", "error": "not here"}]
    error = PermissionDenied()
    assert ask(name) == [False, {"msg": "denied", "error": "denied"}]
    assert not called
    assert len([r for r in caplog.records if r.exc_info]) == 1


@pytest.mark.parametrize("name", MEANT)
def test_only_a_denial_that_is_meant_denies_what_has_nearly_happened(name, receive, caplog):
    called, heard = [], []
    whcallback(lambda *args: called.append(args))
    broken, denies = raising(ValueError("row 7")), raising(Deny("stay"))

    def hears(sender, **kwargs):
        heard.append(sender)

    receive(name, broken)
    receive(name, hears)
    assert ask(name) == [True, {}]
    assert len(called) == len(heard) == 1
    (record,) = [r for r in caplog.records if r.exc_info]
    assert (record.levelno, str(record.exc_info[1])) == (logging.ERROR, "row 7")

    receive(name, denies)
    receive(name, raising(PermissionDenied("and stay")))
    views.signals[name].disconnect(hears)
    receive(name, hears)  # behind the one that denies
    assert ask(name) == [False, {"msg": "stay", "error": "stay"}]
    assert len(called) == 1
    assert len(heard) == 2


@pytest.mark.parametrize("error", [ValueError("row 7"), Deny("stay")], ids=repr)
def test_nothing_that_a_receiver_raises_denies_a_disconnect(error, receive, caplog):
    called, heard = [], []
    whcallback(lambda *args: called.append(args))

    def hears(sender, **kwargs):
        heard.append(sender)

    broken = raising(error)
    receive("disconnect", broken)
    receive("disconnect", hears)
    assert ask("disconnect") == [True, {}]
    assert len(called) == len(heard) == 1
    assert len([r for r in caplog.records if r.exc_info]) == 1


def test_a_channel_needs_more_than_a_signal_to_be_created(receive):
    with isolated_callbacks():

        def receiver(sender, **kwargs):
            return True

        receive("create_channel", receiver)
        assert ask("create_channel")[1]["error"] == "unrecognized channel: lobby"


def test_what_a_receiver_returns_does_not_matter(receive):
    def receiver(sender, **kwargs):
        return False

    receive("subscribe", receiver)
    assert ask("subscribe") == [True, {}]


@NEEDS_ASYNC
@pytest.mark.parametrize("name", ALL)
def test_an_async_receiver_is_awaited(name, receive):
    heard = []

    async def receiver(sender, **kwargs):
        heard.append(kwargs["request"].path)
        raise Deny("async no")

    receive(name, receiver)
    answer = ask(name)
    assert heard == [f"/hookbox/{name}"]
    assert answer == (
        [True, {}] if name == "disconnect" else [False, {"msg": "async no", "error": "async no"}]
    )


@pytest.mark.skipif(django.VERSION >= (5, 0), reason="receivers of signals may be async")
@pytest.mark.parametrize("name", ALL)
def test_an_async_receiver_is_refused_where_nobody_would_wait_for_it(name):
    async def receiver(sender, **kwargs): ...

    with pytest.raises(TypeError, match=r"is async, which receivers of signals may be from Django 5\.0 on"):
        views.signals[name].connect(receiver)
    assert not views.signals[name].has_listeners()


def test_an_object_that_only_seems_to_be_synchronous_is_refused():
    class Receiver:
        async def __call__(self, sender, **kwargs): ...

    with pytest.raises(TypeError, match="has an async __call__"):
        signals.subscribe.connect(Receiver())


def test_receivers_can_be_connected_as_with_any_signal():
    heard = []

    @django.dispatch.receiver([signals.subscribe, signals.unsubscribe], weak=False, dispatch_uid="test")
    def receiver(sender, signal, channel, **kwargs):
        heard.append((signal, channel))

    try:
        ask("subscribe")
        ask("unsubscribe")
        assert heard == [(signals.subscribe, "lobby"), (signals.unsubscribe, "lobby")]
    finally:
        assert signals.subscribe.disconnect(dispatch_uid="test")
        assert signals.unsubscribe.disconnect(dispatch_uid="test")
