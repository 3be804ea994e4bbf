"""What the project's calls send, and what they make of answers, good and bad ones."""

import asyncio
import contextvars
import datetime
import decimal
import hashlib
import inspect
import json
import logging
import socket
import sys
import threading
import types
import uuid
from urllib.parse import parse_qsl

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.db import transaction
from django.utils.translation import gettext_lazy

import hookbox.contrib.django as hookbox
from hookbox.contrib.django import HookboxError, calls
from hookbox.errors import HookboxError as ServerError
from hookbox.testing import Receiver, Reply

OK = Reply([True, {"offset": 1}])
ACCEPTED = Reply({"message_id": "msg_1", "deliveries": []}, status=202)
NAMES = (
    "publish", "publish_multi", "create", "destroy", "subscribe", "unsubscribe", "message", "channel_info",
    "set_channel_options", "set_state", "delete_state", "user_info", "server_info", "disconnect", "dispatch",
)  # fmt: skip
KEY = "of a session"
SESSION = hashlib.sha256(KEY.encode()).hexdigest()[:32]


@pytest.fixture(scope="module")
def _standin():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def standin(_standin, settings):
    """Stands for Hookbox, and says yes."""
    settings.HOOKBOX_URL = _standin.url
    settings.HOOKBOX_API_SECURITY_TOKEN = "tökén/+ &".encode("ascii", "ignore").decode()
    _standin.forget()
    _standin.answer(OK)
    return _standin


def only(standin):
    """The one request: method and form."""
    (received,) = standin.got
    assert received.method == "POST"
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    form = dict(parse_qsl(received.body.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    assert received.headers["authorization"] == "Bearer tkn/+ &"
    assert form.pop("security_token") == "tkn/+ &"
    return received.target, form


ANN = User(username="ann")
CASES = [
    (("publish", "lobby", {"a": 1}), {}, "publish", {"channel_name": "lobby", "payload": '{"a": 1}'}),
    (
        ("publish", "lobby", "ä&=\u2028", "ann", True, "key-1"),
        {},
        "publish",
        {
            "channel_name": "lobby",
            "payload": '"ä&=\u2028"',
            "originator": "ann",
            "send_hook": "1",
            "idempotency_key": "key-1",
        },
    ),
    (
        ("publish", "lobby", None),
        {"originator": ANN, "id": uuid.UUID(int=1)},
        "publish",
        {
            "channel_name": "lobby",
            "payload": "null",
            "originator": "ann",
            "idempotency_key": "00000000-0000-0000-0000-000000000001",
        },
    ),
    (
        ("publish_multi", ["a", "b,c"], 1),
        {"id": "k"},
        "publish_multi",
        {"channel_names": '["a", "b,c"]', "payload": "1", "idempotency_key": "k"},
    ),
    (("publish_multi", "lobby", 1), {}, "publish_multi", {"channel_names": '["lobby"]', "payload": "1"}),
    (("create", "lobby"), {}, "create_channel", {"channel_name": "lobby"}),
    (
        ("create", "lobby"),
        {"history_size": 3, "reflective": False, "polling": "off", "state": {"a": None}, "send_hook": True},
        "create_channel",
        {
            "channel_name": "lobby",
            "history_size": "3",
            "reflective": "false",
            "polling": '"off"',
            "state": '{"a": null}',
            "send_hook": "1",
        },
    ),
    (
        ("create", "lobby", {"history_size": 3, "channel_name": "other"}),
        {"moderated": True},
        "create_channel",
        {"channel_name": "lobby", "history_size": "3", "moderated": "true"},
    ),
    (("destroy", "lobby"), {}, "destroy_channel", {"channel_name": "lobby"}),
    (("destroy", "lobby", True), {}, "destroy_channel", {"channel_name": "lobby", "send_hook": "1"}),
    (("subscribe", "lobby", "ann"), {}, "subscribe", {"channel_name": "lobby", "name": "ann"}),
    (("subscribe", "lobby", ANN), {}, "subscribe", {"channel_name": "lobby", "name": "ann"}),
    (("unsubscribe", "lobby", ANN), {}, "unsubscribe", {"channel_name": "lobby", "name": "ann"}),
    (
        ("message", ANN, "bob", [1]),
        {},
        "message",
        {"sender_name": "ann", "recipient_name": "bob", "payload": "[1]"},
    ),
    (("channel_info", "lobby"), {}, "get_channel_info", {"channel_name": "lobby"}),
    (
        ("set_channel_options", "lobby"),
        {"history_size": 3},
        "set_channel_options",
        {"channel_name": "lobby", "history_size": "3"},
    ),
    (
        ("set_channel_options", "lobby", {"history_size": 3}),
        {},
        "set_channel_options",
        {"channel_name": "lobby", "history_size": "3"},
    ),
    (
        ("set_state", "lobby", "topic", "dogs"),
        {},
        "state_set_key",
        {"channel_name": "lobby", "key": "topic", "val": '"dogs"'},
    ),
    (("delete_state", "lobby", "topic"), {}, "state_delete_key", {"channel_name": "lobby", "key": "topic"}),
    (("user_info", ANN), {}, "get_user_info", {"user_name": "ann"}),
    (("server_info",), {}, "get_server_info", {}),
    (("disconnect", ANN), {}, "disconnect_user", {"name": "ann"}),
    (("disconnect",), {"user": "ann"}, "disconnect_user", {"name": "ann"}),
    (("disconnect",), {"session": SESSION}, "disconnect", {"session": SESSION}),
    (("disconnect",), {"session_key": KEY}, "disconnect", {"session": SESSION}),
    (("disconnect",), {"session": SessionStore(KEY)}, "disconnect", {"session": SESSION}),
]


@pytest.mark.parametrize(("call", "keywords", "method", "form"), CASES)
def test_what_is_sent(call, keywords, method, form, standin):
    name, *args = call
    assert getattr(hookbox, name)(*args, **keywords) == {"offset": 1}
    assert only(standin) == (f"/web/{method}", form)


@pytest.mark.parametrize(("call", "keywords", "method", "form"), CASES)
def test_what_an_async_twin_sends(call, keywords, method, form, standin):
    name, *args = call
    twin = getattr(hookbox, f"a{name}")
    assert inspect.iscoroutinefunction(twin)
    assert async_to_sync(twin)(*args, **keywords) == {"offset": 1}
    assert only(standin) == (f"/web/{method}", form)


@pytest.mark.parametrize("name", NAMES)
def test_every_call_and_twin_can_wait_for_the_commit_of_any_database(name):
    for function in (getattr(hookbox, name), getattr(hookbox, f"a{name}")):
        parameters = inspect.signature(function).parameters
        assert parameters["using"].default is None
        assert parameters["on_commit"].default is None


def test_payloads_are_whatever_django_can_write(standin):
    hookbox.publish(
        "lobby",
        {
            "at": datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC),
            "price": decimal.Decimal("1.50"),
            "id": uuid.UUID(int=1),
            "text": gettext_lazy("Ünïcode"),
        },
    )
    assert json.loads(only(standin)[1]["payload"]) == {
        "at": "2026-05-04T00:00:00Z",
        "price": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "text": "Ünïcode",
    }


def test_without_a_token_none_is_sent(standin, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = None
    hookbox.server_info()
    assert "authorization" not in standin.got[0].headers
    assert standin.got[0].body == b""


def test_the_older_name_of_the_token_is_good_too(standin, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = None
    settings.HOOKBOX_REST_SECRET = "older"
    hookbox.server_info()
    assert standin.got[0].headers["authorization"] == "Bearer older"


def test_a_token_may_be_a_number_in_the_settings(standin, settings):
    """runhookbox gives the server its text, too."""
    settings.HOOKBOX_API_SECURITY_TOKEN = 12345
    hookbox.server_info()
    assert standin.got[0].headers["authorization"] == "Bearer 12345"


@pytest.mark.parametrize("token", ["new\nline", "schlüssel", "nul\0"])
def test_a_token_that_no_header_can_carry_is_not_shown(token, standin, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = token
    with pytest.raises(HookboxError, match="HOOKBOX_API_SECURITY_TOKEN has characters") as caught:
        hookbox.server_info()
    assert token not in str(caught.value)
    assert not standin.got


# what is not sent


@pytest.mark.parametrize(
    "channel", ["", "$private", "a\nb", "a\0", "\u200b", "\ud800", "x" * 201, None.__class__]
)
def test_a_name_that_no_channel_can_have_is_refused_before_anything_is_sent(channel, standin):
    if channel is None.__class__:
        channel = type("Channel", (), {"__str__": lambda self: "$private"})()
    one = [
        lambda: hookbox.publish(channel, 1),
        lambda: hookbox.publish(channel, 1, on_commit=True),
        lambda: hookbox.publish(channel, 1, on_commit=True, outbox=True),
        lambda: hookbox.publish_multi(["lobby", channel], 1),
        lambda: hookbox.create(channel),
        lambda: hookbox.destroy(channel),
        lambda: hookbox.subscribe(channel, "ann"),
        lambda: hookbox.unsubscribe(channel, "ann"),
        lambda: hookbox.channel_info(channel),
        lambda: hookbox.set_channel_options(channel),
        lambda: hookbox.set_state(channel, "key", 1),
        lambda: hookbox.delete_state(channel, "key"),
        lambda: hookbox.dispatch(topic=channel),
    ]
    for call in one:
        with pytest.raises(ValueError, match="Invalid channel_name"):
            call()
    assert not standin.got


def test_a_channel_may_be_anything_with_a_text(standin):
    hookbox.publish(7, 1)
    assert only(standin)[1]["channel_name"] == "7"


@pytest.mark.parametrize("user", ["", "a\nb", "x" * 129, AnonymousUser()], ids=["empty", "two lines", "long", "nobody"])
def test_a_name_that_no_user_can_have_is_refused(user, standin):
    for call in (
        lambda: hookbox.subscribe("lobby", user),
        lambda: hookbox.unsubscribe("lobby", user),
        lambda: hookbox.message(user, "bob", 1),
        lambda: hookbox.message("ann", user, 1),
        lambda: hookbox.user_info(user),
        lambda: hookbox.disconnect(user),
        lambda: hookbox.publish("lobby", 1, originator=user),
    ):
        with pytest.raises(ValueError, match="user name"):
            call()
    assert not standin.got


@pytest.mark.parametrize(
    "given",
    [{}, {"user": "ann", "session_key": "x"}, {"session": SESSION, "session_key": "x"}],
    ids=["none", "user and key", "session and key"],
)
def test_disconnect_takes_one_thing(given, standin):
    with pytest.raises(ValueError, match="one of them"):
        hookbox.disconnect(**given)
    assert not standin.got


@pytest.mark.parametrize("given", [{"session": SessionStore()}, {"session_key": ""}], ids=["never saved", "empty"])
def test_a_session_without_a_key_is_nobodys(given, standin):
    with pytest.raises(ValueError, match="belongs to nobody"):
        hookbox.disconnect(**given)
    assert not standin.got


@pytest.mark.parametrize("payload", [..., {1, 2}, float("nan"), "\ud800"], ids=repr)
def test_what_json_cannot_say_is_refused(payload, standin):
    for call in (
        lambda: hookbox.publish("lobby", payload),
        lambda: hookbox.dispatch(topic="t", data=payload),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
    assert not standin.got


# answers


def caught(call=lambda: hookbox.publish("lobby", 1)):
    with pytest.raises(HookboxError) as error:
        call()
    assert not isinstance(error.value, ServerError)
    return error.value


@pytest.mark.parametrize(
    ("reply", "text", "code", "result"),
    [
        (Reply([False, {"error": "E", "msg": "M", "code": "x"}]), "E", 200, {"error": "E", "msg": "M", "code": "x"}),
        (Reply([False, {"msg": "M"}]), "M", 200, {"msg": "M"}),
        (Reply([False, {}]), "refused without a reason", 200, {}),
        (Reply([False, {"error": "too large"}], status=413), "too large", 413, {"error": "too large"}),
        (Reply([True, {}], status=500), "answered publish with status 500", 500, {}),
        (Reply(status=404, body=b"not found\n"), "answered publish with status 404: not found", 404, {}),
        (Reply(body=b"<!doctype html>\n<h1>It works!</h1>"), "It works!</h1>; that is no answer of Hookbox", 200, {}),
        (Reply(body=b""), "with status 200: nothing; that is no answer of Hookbox", 200, {}),
        (Reply(body=b"\xff\xfe"), "with status 200", 200, {}),
        (Reply(body=b"[" * 100_000), "with status 200", 200, {}),
        (Reply([True]), "[true]; that is no answer", 200, {}),
        (Reply({"a": 1}), "that is no answer", 200, {}),
        (Reply.redirect("http://elsewhere.example/login"), "redirects publish to http://elsewhere.example/login", 302, {}),
        (Reply.hang_up(), "cannot be reached", None, {}),
        (Reply.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "cannot be reached", None, {}),
        (Reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[true"), "status 200: [true", 200, {}),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_a_success_is_an_error(reply, text, code, result, standin):
    standin.answer(reply)
    error = caught()
    assert text in str(error)
    assert len(str(error)) < 500
    assert (error.code, error.result, error.timeout) == (code, result, False)
    assert "tkn" not in str(error)


def test_a_redirect_is_not_followed_with_the_token(standin):
    with Receiver() as other:
        standin.answer(Reply.redirect(other.hook, 307))
        assert caught().code == 307
        assert not other.got


def test_nobody_there(settings):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        settings.HOOKBOX_URL = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        error = caught()
    assert "cannot be reached" in str(error)
    assert "is it running?" in str(error)
    assert (error.code, error.timeout) == (None, False)


@pytest.mark.parametrize("call", [lambda: hookbox.publish("lobby", 1), lambda: hookbox.dispatch(topic="t")])
@pytest.mark.parametrize(
    "slow",
    [
        Reply.never(),
        Reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        Reply.raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n"),
    ],
)
def test_nobody_answers(call, slow, standin, settings):
    settings.HOOKBOX_TIMEOUT = 0.1
    stuck = Reply(steps=lambda: [*(step for step in slow.steps() if isinstance(step, bytes)), 10.0])
    standin.answer(stuck)
    error = caught(call)
    assert error.timeout
    assert error.code is None
    assert "did not answer within 0.1 s" in str(error)


def test_the_environment_names_no_proxy(standin, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert hookbox.server_info() == {"offset": 1}


@pytest.mark.parametrize("url", ["localhost:8001", "ftp://localhost", "http://", "http://a b/"])
def test_a_wrong_url_is_an_error_too(url, settings):
    settings.HOOKBOX_URL = url
    assert caught().code is None


# dispatch


@pytest.fixture
def hub(standin):
    standin.answer(ACCEPTED)
    return standin


def batch(hub):
    (received,) = hub.got
    assert received.target == "/dispatch"
    assert received.headers["content-type"] == "application/vnd.hookbox.dispatch+json"
    assert received.headers["accept"] == "application/json"
    assert received.headers["authorization"] == "Bearer tkn/+ &"
    return received.json


U, V = "https://a.example/", "https://b.example/"


@pytest.mark.parametrize(
    ("args", "keywords", "sent"),
    [
        ((U,), {}, {"json": None, "to": [{"url": U}]}),
        ((U, None, {"ä": decimal.Decimal(1)}), {}, {"json": {"ä": "1"}, "to": [{"url": U}]}),
        ((U, "news", 1), {}, {"json": 1, "topic": "news", "to": [{"url": U}]}),
        ((), {"topic": "news", "data": 1}, {"json": 1, "topic": "news", "to": []}),
        (
            ([U, V],),
            {"data": 1, "secret": "whsec_x", "tag": "t", "headers": {"X-A": "b"}},
            {
                "json": 1,
                "to": [{"url": u, "secret": "whsec_x", "tag": "t", "headers": {"X-A": "b"}} for u in (U, V)],
            },
        ),
        ((U,), {"body": "text", "content_type": "text/plain"},
         {"body": "text", "content_type": "text/plain", "to": [{"url": U}]}),
        ((U,), {"body": b"\xff"}, {"body_base64": "/w==", "to": [{"url": U}]}),
        (
            (U,),
            {"data": 1, "id": uuid.UUID(int=1), "delay": 2.5, "retry": (1, 2), "errback": U, "callback": V},
            {
                "json": 1, "to": [{"url": U}], "id": "00000000-0000-0000-0000-000000000001", "delay": 2.5,
                "retry": [1, 2], "errback": U, "callback": V,
            },
        ),
        ((U,), {"retry": "none"}, {"json": None, "retry": "none", "to": [{"url": U}]}),
        ((U,), {"retry": 3}, {"json": None, "retry": 3, "to": [{"url": U}]}),
    ],
)  # fmt: skip
def test_what_is_dispatched(args, keywords, sent, hub):
    assert hookbox.dispatch(*args, **keywords) == "msg_1"
    assert batch(hub) == sent


def test_the_twin_of_dispatch(hub):
    assert async_to_sync(hookbox.adispatch)(U, data=1) == "msg_1"
    assert batch(hub) == {"json": 1, "to": [{"url": U}]}


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({}, "needs a url, a topic, or both"),
        ({"url": []}, "needs a url, a topic, or both"),
        ({"topic": "t", "secret": "whsec_x"}, "secret is for URLs"),
        ({"url": U, "data": 1, "body": "x"}, "data or body, not both"),
        ({"url": U, "body": 7}, "body has to be str or bytes"),
    ],
)
def test_what_does_not_go_together(keywords, text, hub):
    with pytest.raises(ValueError, match=text):
        hookbox.dispatch(**keywords)
    assert not hub.got


@pytest.mark.parametrize(
    ("reply", "text", "code"),
    [
        (Reply(status=400, body=b"to[0]: bad"), "status 400: to[0]: bad", 400),
        (Reply(status=401, body=b"token required"), "status 401: token required", 401),
        (Reply(status=503, body=b"full"), "status 503: full", 503),
        (Reply({"id": 1}, status=202), "status 202", 202),
        (Reply(body=b"<html>"), "that is no answer of Hookbox", 200),
    ],
)
def test_a_dispatch_that_is_not_accepted_is_an_error(reply, text, code, hub):
    hub.answer(reply)
    error = caught(lambda: hookbox.dispatch(U))
    assert text in str(error)
    assert error.code == code


# after the commit


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("using", [None, "other"])
def test_what_waits_for_the_commit_is_sent_after_it(using, standin):
    with transaction.atomic(using):
        assert hookbox.publish("lobby", 1, using=using, on_commit=True) is None
        with transaction.atomic("default" if using else "other"):
            pass  # the commit of another database does not count
        assert not standin.got
    assert len(standin.got) == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_after_a_rollback(standin):
    with pytest.raises(RuntimeError), transaction.atomic():
        hookbox.publish("lobby", "outer", on_commit=True)
        raise RuntimeError
    with transaction.atomic():
        with pytest.raises(RuntimeError), transaction.atomic():
            hookbox.publish("lobby", "inner", on_commit=True)
            raise RuntimeError
        hookbox.publish("lobby", "kept", on_commit=True)
    assert only(standin)[1]["payload"] == '"kept"'


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_it_is_sent_at_once(standin):
    assert hookbox.publish("lobby", 1, on_commit=True) is None
    assert len(standin.got) == 1


@pytest.mark.django_db
def test_tests_that_never_commit_can_run_what_waits(standin, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        hookbox.dispatch(topic="news", on_commit=True)
    assert standin.got[0].target == "/dispatch"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("reply", [Reply([False, {"error": "no such channel"}]), Reply.hang_up()])
def test_a_failure_after_the_commit_is_only_logged(reply, standin, caplog):
    standin.answer(reply)
    ran = []
    with transaction.atomic():
        for call in (hookbox.publish, hookbox.set_state):
            args = ("lobby", 1) if call is hookbox.publish else ("lobby", "key", 1)
            assert call(*args, on_commit=True) is None
        transaction.on_commit(lambda: ran.append(True))
    assert ran == [True]
    errors = [r for r in caplog.records if r.name == "hookbox.django"]
    assert [r.levelno for r in errors] == [logging.ERROR] * 2
    assert "publish after a commit: " in errors[0].getMessage()


@pytest.mark.django_db(transaction=True)
def test_a_bug_after_the_commit_is_only_logged_too(monkeypatch, caplog):
    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr("hookbox.contrib.django.http.post", broken)
    with transaction.atomic():
        hookbox.publish("lobby", 1, on_commit=True)
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]


@pytest.mark.django_db(transaction=True)
def test_payloads_are_those_of_the_call_and_not_of_the_commit(standin):
    payload = {"n": 1}
    with transaction.atomic():
        hookbox.publish("lobby", payload, on_commit=True)
        payload["n"] = 2
    assert only(standin)[1]["payload"] == '{"n": 1}'


def test_the_outbox_takes_a_publication(monkeypatch, standin):
    kept = []
    outbox = types.ModuleType("hookbox.contrib.django.outbox")
    outbox.publish_later = lambda channel, payload, *, using: kept.append((channel, payload, using))
    monkeypatch.setitem(sys.modules, "hookbox.contrib.django.outbox", outbox)
    assert hookbox.publish("lobby", {"ä": 1}, on_commit=True, outbox=True) is None
    hookbox.publish("lobby", None, on_commit=True, outbox=True, using="other")
    assert kept == [("lobby", '{"ä": 1}', None), ("lobby", "null", "other")]
    assert not standin.got


@pytest.mark.parametrize(
    "keywords", [{}, {"on_commit": False}, {"on_commit": True, "id": "x"}, {"on_commit": True, "originator": "ann"},
                 {"on_commit": True, "send_hook": True}]
)  # fmt: skip
def test_the_outbox_needs_the_commit_and_takes_nothing_else(keywords):
    with pytest.raises(ValueError, match="outbox=True"):
        hookbox.publish("lobby", 1, outbox=True, **keywords)


# async


def test_a_twin_runs_elsewhere_and_keeps_the_context(monkeypatch):
    where = contextvars.ContextVar("where", default="nowhere")
    seen = []

    def post(*args):
        seen.append((where.get(), threading.get_ident()))
        return calls.api.http.Answer(200, b"[true, {}]", {})

    monkeypatch.setattr("hookbox.contrib.django.http.post", post)

    async def main():
        where.set("here")
        await asyncio.gather(*(hookbox.apublish("lobby", n) for n in range(3)))
        return threading.get_ident()

    loop_thread = asyncio.run(main())
    assert [context for context, _ in seen] == ["here"] * 3
    assert loop_thread not in {thread for _, thread in seen}


def test_twins_do_not_wait_for_each_other(monkeypatch):
    together = threading.Barrier(3, timeout=10)

    def post(*args):
        together.wait()
        return calls.api.http.Answer(200, b"[true, {}]", {})

    monkeypatch.setattr("hookbox.contrib.django.http.post", post)

    async def main():
        return await asyncio.gather(*(hookbox.apublish("lobby", n) for n in range(3)))

    assert asyncio.run(main()) == [{}] * 3


@pytest.mark.django_db(transaction=True)
def test_a_twin_waits_for_the_commit_of_whoever_called_the_coroutine(standin):
    with transaction.atomic():
        assert async_to_sync(hookbox.apublish)("lobby", 1, on_commit=True) is None
        assert not standin.got
    assert len(standin.got) == 1


def test_errors_reach_whoever_awaits(standin):
    standin.answer(Reply([False, {"error": "no"}]))
    with pytest.raises(HookboxError, match="no"):
        async_to_sync(hookbox.apublish)("lobby", 1)
    with pytest.raises(ValueError, match="Invalid channel_name"):
        async_to_sync(hookbox.apublish)("", 1)


def test_twins_are_documented_like_their_originals():
    for name in NAMES:
        twin, original = getattr(calls, f"a{name}"), getattr(calls, name)
        assert twin.__name__ == f"a{name}"
        assert twin.__doc__ == original.__doc__
