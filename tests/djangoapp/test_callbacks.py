"""Handlers and decorated functions: how they are registered and called, and which of them wins."""

import json
import logging
import sys
import threading

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from project.library.models import Person

from hookbox.contrib.django import (
    Deny,
    callbacks,
    register_channel_handler,
    unregister_channel_handler,
    whcallback,
)
from hookbox.contrib.django.callbacks import OPERATIONS, clear_callbacks, isolated_callbacks

ACTIONS = {"create": "create_channel", "destroy": "destroy_channel"}
FORM = {
    "channel_name": "lobby", "recipient": "bob", "payload": '{"n": 1}', "name": "ann", "channels": "[]",
    "callback": "https://reader.example/", "lease_seconds": "60",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_callbacks(monkeypatch):
    monkeypatch.setattr("hookbox.contrib.django.savepoint._taking_part", list)
    with isolated_callbacks():
        yield


def ask(operation, **form):
    return Client().post(f"/hookbox/{ACTIONS.get(operation, operation)}", FORM | form).json()


# the handler of the first django-hookbox's README, word for word but for `object`


class HookboxHandler:
    def create(self, user, channel):  # noqa: RET503
        if channel.startswith("/good/"):
            return {
              'history_size': 1,
              'reflective':   False,
              'presenceful':  False,
              'moderated':    True,
            }  # fmt: skip


def test_the_old_handler_works_as_it_is():
    register_channel_handler(HookboxHandler())
    assert ask("create", channel_name="/good/one") == [
        True,
        {"history_size": 1, "reflective": False, "presenceful": False, "moderated": True},
    ]
    assert ask("create", channel_name="/bad/one") == [
        False,
        {"msg": "unrecognized channel: /bad/one", "error": "unrecognized channel: /bad/one"},
    ]


class Recorder:
    def __init__(self):
        self.calls = []

    def create(self, user, channel):
        self.calls.append(("create", user, channel))
        return True

    def destroy(self, user, channel):
        self.calls.append(("destroy", user, channel))

    def subscribe(self, user, channel):
        self.calls.append(("subscribe", user, channel))

    def unsubscribe(self, user, channel):
        self.calls.append(("unsubscribe", user, channel))

    def publish(self, user, channel, payload):
        self.calls.append(("publish", user, channel, payload))

    def connect(self, user):
        self.calls.append(("connect", user))

    def disconnect(self, user):
        self.calls.append(("disconnect", user))

    def message(self, user, recipient, payload):
        self.calls.append(("message", user, recipient, payload))

    def hub_subscribe(self, channel, callback, lease_seconds):
        self.calls.append(("hub_subscribe", channel, callback, lease_seconds))
        return True


ARGUMENTS = {
    "connect": (),
    "disconnect": (),
    "create": ("lobby",),
    "destroy": ("lobby",),
    "subscribe": ("lobby",),
    "unsubscribe": ("lobby",),
    "publish": ("lobby", '{"n": 1}'),
    "message": ("bob", '{"n": 1}'),
    "hub_subscribe": ("lobby",),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_handler_has_a_method_for_each_operation(operation):
    recorder = register_channel_handler(Recorder())
    assert ask(operation)[0] is True
    (call,) = recorder.calls
    if operation == "hub_subscribe":
        assert call == ("hub_subscribe", "lobby", "https://reader.example/", 60)
    else:
        assert call[0] == operation
        assert call[1].is_anonymous
        assert call[2:] == ARGUMENTS[operation]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_function_is_told_the_operation(operation):
    calls = []

    @whcallback
    def everything(*args):
        calls.append(args)
        return True

    assert ask(operation)[0] is True
    (call,) = calls
    assert call[0] == operation
    assert call[1].is_anonymous
    assert call[2:] == ARGUMENTS[operation]


def test_a_handler_needs_no_method():
    register_channel_handler(type("Empty", (), {"publish": "is no method"})())
    assert ask("publish") == [True, {}]


def test_a_class_is_instantiated_and_returned():
    @register_channel_handler
    class Handler:
        def publish(self, user, channel, payload):
            return {"made": type(self).__name__}

    assert isinstance(Handler, type)
    assert ask("publish") == [True, {"made": "Handler"}]
    register_channel_handler(Handler)  # again
    assert len(callbacks.callbacks_for("publish")) == 1
    unregister_channel_handler(Handler)
    assert ask("publish") == [True, {}]


def test_registering_again_does_nothing():
    handler, other = Recorder(), Recorder()
    for _ in range(2):
        assert register_channel_handler(handler) is handler
        register_channel_handler(other)
    ask("publish")
    assert len(handler.calls) == len(other.calls) == 1


def test_what_is_not_registered_cannot_be_unregistered():
    handler = register_channel_handler(Recorder())
    with pytest.raises(ValueError, match="is not registered"):
        unregister_channel_handler(Recorder())
    unregister_channel_handler(handler)
    ask("publish")
    assert not handler.calls
    with pytest.raises(ValueError, match="is not registered"):
        unregister_channel_handler(handler)


def test_what_threads_register_at_the_same_time_is_all_there():
    """Also while one takes something away."""
    comes_and_goes = type("Handler", (), {"connect": lambda self, user: None})()
    over = threading.Event()

    def come_and_go():
        while not over.is_set():
            unregister_channel_handler(register_channel_handler(comes_and_goes))

    def register():
        for _ in range(300):
            whcallback("publish")(lambda *args: None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        restless = threading.Thread(target=come_and_go)
        threads = [threading.Thread(target=register) for _ in range(2)]
        for thread in (restless, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        restless.join()
    finally:
        sys.setswitchinterval(before)
    assert len(callbacks.callbacks_for("publish")) == 600


@pytest.mark.parametrize("operations", [(), ("create",), ("publish", "subscribe")])
def test_a_decorated_function_stays_what_it_was(operations):
    def function(op, user, *rest):
        return f"{op}!"

    assert whcallback(*operations)(function) is function
    assert function("x", None) == "x!"
    unless_allowed = {"create": "unrecognized channel: lobby", "hub_subscribe": "denied"}
    for operation in OPERATIONS:
        called = operation in (operations or OPERATIONS) and operation != "disconnect"
        expected = f"{operation}!" if called else unless_allowed.get(operation)
        assert ask(operation)[1].get("error") == expected


def test_decorators_may_be_stacked():
    @whcallback("create")
    @whcallback("publish", "create")
    def function(op, user, channel, payload=None):
        return {"op": op}

    assert ask("create") == [True, {"op": "create"}]
    assert ask("publish") == [True, {"op": "publish"}]
    assert len(callbacks.callbacks_for("create")) == 1


@pytest.mark.parametrize("name", ["create_channel", "publsh", "", "hookbox"])
def test_an_operation_has_to_exist(name):
    with pytest.raises(ValueError, match=f"there is no operation '{name}'; there are connect,"):
        whcallback("publish", name)
    assert not callbacks.callbacks_for("publish")


# who wins


def say(*results):
    asked = []
    for number, result in enumerate(results):

        @whcallback("publish")
        def function(op, user, channel, payload, number=number, result=result):
            asked.append(number)
            if isinstance(result, Exception):
                raise result
            return result

    answer = ask("publish")
    return answer, asked


def test_all_are_asked_in_the_order_of_registration():
    _, asked = say(None, {"a": 1}, "no", False, None, {"b": 1})
    assert asked == [0, 1, 2, 3, 4, 5]


def test_functions_and_handlers_are_in_one_list():
    order = []
    register_channel_handler(type("A", (), {"publish": lambda self, *args: order.append("handler 1")})())
    whcallback("publish")(lambda *args: order.append("function"))
    register_channel_handler(type("B", (), {"publish": lambda self, *args: order.append("handler 2")})())
    ask("publish")
    assert order == ["handler 1", "function", "handler 2"]


@pytest.mark.parametrize(
    "results", [({"a": 1}, "no"), ("no", {"a": 1}), (True, "no", "never"), (None, "no", True), ("no", False)]
)
def test_any_denial_wins_and_of_several_the_first(results, caplog):
    answer, _ = say(*results)
    assert answer == [False, {"msg": "no", "error": "no"}]


def test_a_denial_beats_an_earlier_approval_that_would_have_been_invalid_otherwise():
    answer, _ = say({"a": 1}, object())
    assert answer[1]["error"] == "invalid callback result"


@pytest.mark.parametrize(
    ("results", "answer", "warnings"),
    [
        ((None, {"a": 1}, None), {"a": 1}, 0),
        (({"a": 1}, {"a": 2}), {"a": 1}, 1),
        ((True, {"a": 2}), {}, 1),
        (({}, {"a": 2}, {"a": 3}), {}, 1),
    ],
)
def test_of_several_approvals_the_first_wins(results, answer, warnings, caplog):
    assert say(*results)[0] == [True, answer]
    said = [r.getMessage() for r in caplog.records if "multiple" in r.getMessage()]
    assert said == ["multiple results returned from publish callback"] * warnings
    assert all(r.levelno == logging.WARNING for r in caplog.records if "multiple" in r.getMessage())


@pytest.mark.parametrize("error", [Deny("no"), ValueError("no")])
def test_an_exception_denies_at_once(error):
    answer, asked = say({"a": 1}, error, {"b": 2})
    assert answer[0] is False
    assert answer[1]["msg"] == "no"
    assert asked == [0, 1]


# what a callback asks for by name


def test_data_request_and_form_are_given_by_name():
    seen = []

    class Handler:
        def publish(self, user, channel, payload, data, *, request, form):
            seen.append((payload, data, request.path, form["channel_name"]))

    register_channel_handler(Handler())

    @whcallback("publish")
    def function(op, user, channel, payload, form, request=None, data=None):
        seen.append((payload, data, request.path, form["channel_name"]))

    ask("publish")
    assert seen == [('{"n": 1}', {"n": 1}, "/hookbox/publish", "lobby")] * 2


@pytest.mark.parametrize(
    "function",
    [
        lambda op, user, channel, payload, data: {"got": [channel, data]},
        lambda op, user, channel, data: {"got": [channel, data]},
        lambda op, user, channel, data, payload: {"got": [channel, data]},
        lambda data, op, user, channel, payload: {"got": [channel, data]},
        lambda op, user, channel, payload=None, *, data=None: {"got": [channel, data]},
        lambda op, user, channel, *rest, data: {"got": [channel, data]},
    ],
    ids=range(6),
)
def test_what_is_injected_may_stand_anywhere(function):
    whcallback("publish")(function)
    assert ask("publish") == [True, {"got": ["lobby", {"n": 1}]}]


def test_operations_without_a_payload_of_their_own_have_data_all_the_same():
    whcallback("connect")(lambda op, user, data: {"override_payload": data})
    assert ask("connect", payload="[1, 2]")[1]["override_payload"] == [1, 2]


def test_a_function_that_takes_less_than_there_is_fails_and_denies(caplog):
    whcallback("publish")(lambda op, user: None)
    allowed, options = ask("publish")
    assert not allowed
    assert "positional argument" in options["msg"]
    whcallback("subscribe")(lambda op, request: None)
    assert ask("subscribe")[0] is False


def test_signatures_are_looked_at_once(monkeypatch):
    whcallback("publish")(lambda op, user, channel, data: {"got": data})
    monkeypatch.setattr("hookbox.contrib.django.callables.inspect.signature", None)
    assert ask("publish") == ask("publish") == [True, {"got": {"n": 1}}]


def test_a_callable_without_a_signature_is_called_by_position():
    whcallback("disconnect", "connect")(dict)  # what C code takes is not told
    assert ask("connect")[0] is False


# async


def test_an_async_function_is_awaited():
    @whcallback("publish")
    async def function(op, user, channel, payload, data):
        return {"got": data}

    assert ask("publish") == [True, {"got": {"n": 1}}]


def test_async_methods_and_objects_are_awaited():
    class Handler:
        async def publish(self, user, channel, payload):
            raise Deny("async no")

    class Callable:
        async def __call__(self, op, user, channel):
            return {"got": channel}

    register_channel_handler(Handler())
    whcallback("subscribe")(Callable())
    assert ask("publish") == [False, {"msg": "async no", "error": "async no"}]
    assert ask("subscribe") == [True, {"got": "lobby"}]


@pytest.mark.django_db(transaction=True)
def test_what_an_async_callback_wrote_is_undone_too(monkeypatch):
    monkeypatch.undo()  # transactions are looked at here

    @whcallback("publish")
    async def function(op, user, channel, payload):
        await sync_to_async(Person.objects.create)(name="x")
        raise Deny("no")

    ask("publish")
    assert not Person.objects.exists()


# for tests


def test_callbacks_can_be_isolated():
    whcallback("publish")(lambda *args: "outer")
    with pytest.raises(RuntimeError), isolated_callbacks():
        assert ask("publish") == [True, {}]
        whcallback("publish")(lambda *args: "inner")
        assert ask("publish")[1]["error"] == "inner"
        raise RuntimeError
    assert ask("publish")[1]["error"] == "outer"
    clear_callbacks()
    assert ask("publish") == [True, {}]


def test_results_are_what_the_browser_gets():
    whcallback("publish")(lambda op, user, channel, payload: {"override_payload": json.loads(payload)})
    assert ask("publish", payload='"ä"') == [True, {"override_payload": "ä"}]
