"""The webhook views: who is let in, how results are answered, and what stays in the database."""

import datetime
import json
import logging
import re
import threading

import django
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext_lazy
from project.library.models import Person

from hookbox.contrib.django import Deny, register_channel_handler, signals, views, whcallback
from hookbox.contrib.django.callbacks import isolated_callbacks

FORMS = {
    "connect": {"payload": "null"},
    "disconnect": {"name": "ann", "channels": "[]"},
    "create_channel": {"channel_name": "lobby"},
    "destroy_channel": {"channel_name": "lobby"},
    "subscribe": {"channel_name": "lobby", "user": "ann"},
    "unsubscribe": {"channel_name": "lobby", "user": "ann"},
    "publish": {"channel_name": "lobby", "payload": '"hi"'},
    "message": {"sender": "ann", "recipient": "bob", "recipient_exists": "true", "payload": '"hi"'},
    "hub_subscribe": {"channel_name": "news", "callback": "https://reader.example/", "lease_seconds": "60"},
}
OPERATIONS = {"create_channel": "create", "destroy_channel": "destroy"}


@pytest.fixture(autouse=True)
def _own_callbacks():
    with isolated_callbacks():
        yield


@pytest.fixture
def no_transactions(monkeypatch):
    """For results alone: no database is looked for."""
    monkeypatch.setattr("hookbox.contrib.django.savepoint._taking_part", list)


def ask(action, client=None, **form):
    answer = (client or Client()).post(reverse(f"hookbox_{action}"), FORMS[action] | form)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def returning(result, *operations):
    whcallback(*operations)(lambda *args: result) if operations else whcallback(lambda *args: result)


# URLs


@pytest.mark.parametrize("action", FORMS)
def test_each_view_is_there_with_and_without_a_slash(action):
    path = reverse(f"hookbox_{action}")
    assert path == f"/hookbox/{action}"
    for there in (path, path + "/"):
        answer = Client(enforce_csrf_checks=True).post(there, FORMS[action])
        allowed, _ = answer.json()
        assert answer.status_code == 200
        assert allowed is (action not in ("create_channel", "hub_subscribe"))


@pytest.mark.parametrize("action", [*FORMS, "single"])
@pytest.mark.parametrize("method", ["get", "put", "head", "delete"])
def test_only_post_is_allowed(action, method):
    answer = getattr(Client(), method)(reverse(f"hookbox_{action}"))
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has no LoginRequiredMiddleware")
@pytest.mark.parametrize("action", [*FORMS, "single", "errback"])
def test_no_view_redirects_to_a_login(action, settings, monkeypatch):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    if action == "errback":
        view = views.errback
        assert view.csrf_exempt
        assert view.login_required is False
    else:
        assert Client().post(reverse(f"hookbox_{action}"), FORMS.get(action, {})).status_code == 200


def test_the_errback_is_at_its_place():
    assert reverse("hookbox_errback") == "/hookbox/errback"


@pytest.mark.parametrize("action", FORMS)
def test_one_view_serves_all_by_the_field_action(action, no_transactions):
    returning("from the callback")
    assert reverse("hookbox_single") == "/hookbox/"
    answer = Client().post("/hookbox/", FORMS[action] | {"action": action}).json()
    assert answer == ask(action)


@pytest.mark.parametrize("form", [{}, {"action": "create"}, {"action": "drop\ntables"}])
def test_the_one_view_denies_what_it_does_not_know(form):
    allowed, options = Client().post("/hookbox/", form).json()
    assert not allowed
    assert options["msg"] == options["error"] == f"there is no webhook {form.get('action', '')!r}"


def test_signals_by_name_as_they_used_to_be():
    assert views.signals["create_channel"] is signals.create_channel
    assert set(views.signals) == {
        "connect", "disconnect", "subscribe", "unsubscribe", "publish", "create_channel", "destroy_channel",
        "message",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        views.nothing_of_this_name  # noqa: B018


# the secret


@pytest.mark.parametrize("secret", ["kept secret", "gehütet 🔑", " spaces "])
@pytest.mark.parametrize("action", [*FORMS, "single"])
def test_the_right_secret_opens(action, secret, settings):
    settings.HOOKBOX_WEBHOOK_SECRET = secret
    form = FORMS.get(action, FORMS["publish"] | {"action": "publish"}) | {"secret": secret}
    allowed, _ = Client().post(reverse(f"hookbox_{action}"), form).json()
    assert allowed is (action not in ("create_channel", "hub_subscribe"))


@pytest.mark.parametrize("given", [None, "", "kept secre", "kept secret ", "KEPT SECRET", "ü"])
@pytest.mark.parametrize("action", [*FORMS, "single"])
def test_a_wrong_secret_asks_nobody(action, given, settings, caplog):
    settings.HOOKBOX_WEBHOOK_SECRET = "kept secret"
    called = []
    whcallback(lambda *args: called.append(args))
    receiver = lambda **kwargs: called.append(kwargs)  # noqa: E731
    for signal in views.signals.values():
        signal.connect(receiver)
    form = FORMS.get(action, FORMS["publish"] | {"action": "publish"})
    answer = Client().post(reverse(f"hookbox_{action}"), form if given is None else form | {"secret": given})
    assert answer.status_code == 200
    assert answer.json() == [
        False,
        {"msg": "webhook secret verification failed", "error": "Unauthorized"},
    ]
    assert not called
    (record,) = [r for r in caplog.records if r.name == "hookbox.django"]
    assert record.levelno == logging.WARNING
    assert "kept" not in caplog.text


def test_the_secret_in_the_query_does_not_count(settings):
    settings.HOOKBOX_WEBHOOK_SECRET = "kept secret"
    assert Client().post("/hookbox/publish?secret=kept secret", FORMS["publish"]).json()[0] is False


# results


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (None, [True, {}]),
        ({}, [True, {}]),
        ({"override_payload": "x"}, [True, {"override_payload": "x"}]),
        ({"at": datetime.date(2026, 5, 4)}, [True, {"at": "2026-05-04"}]),
        (True, [True, {}]),
        (False, [False, {"msg": "denied", "error": "denied"}]),
        ("too long", [False, {"msg": "too long", "error": "too long"}]),
        (gettext_lazy("too long"), [False, {"msg": "too long", "error": "too long"}]),
        ([True, {"a": 1}], [True, {"a": 1}]),
        ((True, {"a": 1}), [True, {"a": 1}]),
        ([False, {"msg": "x"}], [False, {"msg": "x", "error": "x"}]),
        ((False, {"error": "x"}), [False, {"msg": "x", "error": "x"}]),
        ((False, {"msg": "log", "error": "page"}), [False, {"msg": "log", "error": "page"}]),
        ((False, {"code": 7}), [False, {"code": 7, "msg": "denied", "error": "denied"}]),
    ],
)
def test_what_a_result_means(result, answer, no_transactions):
    returning(result)
    assert ask("publish") == answer


@pytest.mark.parametrize(
    "result",
    [0, 1, 1.5, b"bytes", [], [True], [1, {}], ["x", {}], [True, None], [True, {}, 3], {1, 2}, ..., {"a": {1}},
     {"a": float("nan")}, [True, {"a": ...}], Deny("returned, not raised")],
    ids=repr,
)  # fmt: skip
def test_any_other_result_is_a_no(result, no_transactions, caplog):
    @whcallback
    def careless(*args):
        return result

    assert ask("publish") == [False, {"msg": "invalid callback result", "error": "invalid callback result"}]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "careless" in record.getMessage()


@pytest.mark.parametrize("result", [None, True, {}, {"history_size": 3}])
def test_a_channel_is_created_only_when_somebody_says_so(result, no_transactions):
    if result is not None:
        returning(result)
    answer = ask("create_channel", channel_name="nö\n")
    if result is None:
        text = "unrecognized channel: nö\n"
        assert answer == [False, {"msg": text, "error": text}]
    else:
        assert answer == [True, result if isinstance(result, dict) else {}]


def test_a_server_may_subscribe_to_a_channel_only_when_somebody_says_so(no_transactions):
    """Other than a user, it was never asked who it is."""
    allowed, options = ask("hub_subscribe")
    assert not allowed
    assert options["error"] == "denied"
    returning(True, "hub_subscribe")
    assert ask("hub_subscribe") == [True, {}]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("error", "msg", "shown"),
    [
        (Deny("not you"), "not you", "not you"),
        (PermissionDenied("not you"), "not you", "not you"),
        (Deny(gettext_lazy("not you")), "not you", "not you"),
        (Deny(), "denied", "denied"),
        (ValueError("row 7 is broken"), "row 7 is broken", None),
        (KeyError(), "KeyError", None),
    ],
    ids=repr,
)
def test_what_raising_means(error, msg, shown, debug, settings, no_transactions, caplog):
    settings.DEBUG = debug

    @whcallback
    def raises(*args):
        raise error

    for action in FORMS.keys() - {"disconnect"}:
        caplog.clear()
        assert ask(action) == [False, {"msg": msg, "error": shown or (msg if debug else "internal error")}]
        traces = [record for record in caplog.records if record.exc_info]
        assert len(traces) == (0 if shown else 1)


@pytest.mark.parametrize(
    "result", [False, "no", {"name": "x"}, [False, {}], ..., Deny("no"), ValueError("no")]
)
def test_nothing_denies_a_disconnect(result, no_transactions):
    told = []

    @whcallback
    def first(*args):
        if isinstance(result, Exception):
            raise result
        return result

    whcallback(lambda *args: told.append(args[0]))
    assert ask("disconnect") == [True, {}]
    assert told == ["disconnect"]


def test_a_disconnect_is_told_whatever_its_form_holds(no_transactions):
    told = []
    whcallback("disconnect")(lambda *args: told.append(args[0]))
    assert ask("disconnect", payload="{", channel_name="a\0b") == [True, {}]
    assert told == ["disconnect"]


# the form


@pytest.mark.parametrize("action", [a for a, form in FORMS.items() if "channel_name" in form])
def test_the_channel_goes_by_two_names(action, no_transactions):
    seen = []
    whcallback(lambda op, user, channel, payload=None: seen.append(channel) or True)
    path = reverse(f"hookbox_{action}")
    form = {name: value for name, value in FORMS[action].items() if name != "channel_name"}
    Client().post(path, form | {"destination": "old"})
    Client().post(path, form | {"destination": "old", "channel_name": "new"})
    assert seen == ["old", "new"]
    for lacking in (form, form | {"channel_name": "", "destination": ""}):
        text = "missing channel_name"
        assert Client().post(path, lacking).json() == [False, {"msg": text, "error": text}]
    assert seen == ["old", "new"]


def test_a_message_needs_a_recipient():
    assert Client().post("/hookbox/message", {"payload": "1"}).json()[1]["error"] == "missing recipient"


@pytest.mark.parametrize("payload", ["{", "", "'x'", "[" * 100_000])
def test_a_payload_that_is_no_json_is_denied(payload):
    assert ask("publish", payload=payload) == [
        False, {"msg": "payload is not JSON", "error": "payload is not JSON"}
    ]  # fmt: skip


# users


@pytest.mark.django_db
def test_the_user_is_that_of_the_session_and_of_nothing_in_the_form(client):
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    seen = []
    whcallback(lambda op, user, *args: seen.append(user))
    ask("subscribe", client, user="bob")
    ask("subscribe", Client(), user="ann")
    assert seen[0] == ann
    assert seen[1].is_anonymous


@pytest.mark.django_db
def test_who_connects_gets_the_user_name(client):
    client.force_login(User.objects.create_user("ann"))
    assert ask("connect", client) == [True, {"name": "ann"}]


def test_who_is_not_logged_in_gets_a_name_that_nobody_can_register():
    names = {ask("connect")[1]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r" _[A-Za-z0-9]{10}", name) for name in names)


@pytest.mark.parametrize(
    ("result", "options"),
    [
        ({"auto_subscribe": ["news"]}, {"auto_subscribe": ["news"]}),
        ((True, {"override_payload": 1}), {"override_payload": 1}),
        (True, {}),
    ],
)
def test_options_are_added_to_the_name(result, options, no_transactions):
    returning(result, "connect")
    allowed, given = ask("connect")
    assert allowed
    assert given.pop("name").startswith(" _")
    assert given == options


def test_a_callback_may_name_the_user(no_transactions):
    returning({"name": "guest-7"}, "connect")
    assert ask("connect") == [True, {"name": "guest-7"}]


def test_a_no_to_connect_names_nobody(no_transactions):
    returning("log in first", "connect")
    assert ask("connect") == [False, {"msg": "log in first", "error": "log in first"}]


def test_without_the_middleware_everybody_is_anonymous(settings, no_transactions):
    settings.MIDDLEWARE = []
    seen = []
    whcallback(lambda op, user, *args, request: seen.append((user, request.user)))
    allowed, options = ask("connect")
    assert allowed
    assert options["name"].startswith(" _")
    assert seen[0][0].is_anonymous
    assert seen[0][1].is_anonymous


# the log


@pytest.mark.django_db
def test_answers_are_logged_with_the_user(client, caplog):
    caplog.set_level(logging.INFO, "hookbox.django")
    client.force_login(User.objects.create_user("ann"))
    ask("publish", client)
    returning("no spam", "publish")
    ask("publish", client)
    ask("publish", channel_name="a\nWARNING forged")
    yes, no, forged = [r for r in caplog.records if r.name == "hookbox.django"]
    assert (yes.levelno, yes.getMessage()) == (logging.INFO, "publish on 'lobby' by ann: allowed")
    assert (no.levelno, no.getMessage()) == (logging.WARNING, "publish on 'lobby' by ann: denied, no spam")
    assert forged.getMessage() == "publish on 'a\\nWARNING forged' by anonymous: denied, no spam"


@pytest.mark.parametrize("action", ["create_channel", "hub_subscribe"])
def test_nobody_writes_lines_of_the_log(action, caplog):
    ask(action, channel_name="a\n\u2028\x1bWARNING forged")
    (record,) = [r for r in caplog.records if r.name == "hookbox.django"]
    assert "\\n\\u2028\\x1bWARNING forged" in record.getMessage()
    assert record.getMessage().isprintable()


@pytest.mark.django_db
def test_names_and_reasons_stay_on_one_line_of_the_log(client, caplog):
    client.force_login(User.objects.create_user("ann\r\nforged"))
    whcallback("publish")(lambda op, user, channel, data: f"not {data}")
    ask("publish", client, payload='"\\ud800\\nforged ü"')
    (record,) = [r for r in caplog.records if r.name == "hookbox.django"]
    assert record.getMessage() == ("publish on 'lobby' by ann\\r\\nforged: denied, not \\ud800\\nforged ü")


@pytest.mark.parametrize("secret", [None, "kept secret"])
def test_nobody_fills_the_log(secret, settings, caplog):
    settings.HOOKBOX_WEBHOOK_SECRET = secret
    long = "x" * 1_000_000
    Client().post("/hookbox/", {"action": long})
    Client().post("/hookbox/create_channel", {"channel_name": long})
    records = [r for r in caplog.records if r.name == "hookbox.django"]
    assert len(records) == 2
    assert all(len(r.getMessage()) < 1000 for r in records)


# the database


def writes_and(result):
    @whcallback
    def callback(*args):
        Person.objects.create(name=args[0])
        if isinstance(result, Exception):
            raise result
        return result


@pytest.mark.parametrize(
    ("result", "kept"),
    [({}, 1), (None, 1), (False, 1), ("no", 1), (..., 1), (Deny("no"), 0), (ValueError("no"), 0)],
    ids=repr,
)
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.django_db(transaction=True)
def test_what_was_written_stays_unless_somebody_raised(result, kept, atomic, settings):
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = atomic
    try:
        writes_and(result)
        ask("publish")
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert Person.objects.count() == kept


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_leaves_alone_what_was_written_around_it():
    writes_and(Deny("no"))
    with transaction.atomic():
        Person.objects.create(name="before")
        ask("publish")
        Person.objects.create(name="after")
    assert {person.name for person in Person.objects.all()} == {"before", "after"}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_each_database_with_a_transaction_takes_part():
    @whcallback
    def callback(*args):
        Person.objects.using("other").create(name="x")
        raise Deny("no")

    with transaction.atomic("other"):
        ask("publish")
    assert not Person.objects.using("other").exists()


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_fails_undoes_its_own_writes_only():
    def careless(sender, **kwargs):
        Person.objects.create(name="careless")
        raise ValueError("broken")

    def careful(sender, **kwargs):
        Person.objects.create(name="careful")

    for action in ("unsubscribe", "destroy_channel", "disconnect"):
        Person.objects.all().delete()
        signal = views.signals[action]
        signal.connect(careless)
        signal.connect(careful)
        try:
            assert ask(action) == [True, {}]
        finally:
            signal.disconnect(careless)
            signal.disconnect(careful)
        assert [person.name for person in Person.objects.all()] == ["careful"]


def test_without_callbacks_no_database_is_touched():
    """This test may not use any, so that it would fail."""
    for action in FORMS:
        ask(action)


def test_a_project_without_databases_has_callbacks_too(monkeypatch):

    dummy = {"ENGINE": "django.db.backends.dummy"}
    monkeypatch.setitem(connections.settings, "default", connections.settings["default"] | dummy)
    register_channel_handler(type("Handler", (), {"publish": lambda self, user, channel, payload: "asked"}))
    assert ask("publish")[1]["error"] == "asked"


def test_a_database_that_is_down_is_a_no(monkeypatch, caplog):
    def down(*args, **kwargs):
        raise ConnectionError("no database")

    monkeypatch.setattr("hookbox.contrib.django.savepoint.transaction.atomic", down)
    returning({})
    assert ask("publish") == [False, {"msg": "no database", "error": "internal error"}]


def test_answers_are_json_for_everybody():
    answer = Client().post("/hookbox/publish", FORMS["publish"])
    assert json.loads(answer.content) == [True, {}]


@pytest.mark.django_db(transaction=True)
def test_threads_that_share_a_connection_are_not_in_each_others_transactions():
    """As with live_server on SQLite in memory: what one request commits would be another's savepoint."""
    connection = connections["default"]
    both, answers = threading.Barrier(2, timeout=10), []

    @whcallback("publish")
    def callback(*args):
        Person.objects.exists()
        both.wait()

    def request():
        connections["default"] = connection
        answers.append(ask("publish"))

    connection.inc_thread_sharing()
    try:
        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        connection.dec_thread_sharing()
    assert answers == [[True, {}]] * 2


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_breaks_the_transaction_leaves_the_others_theirs():
    """PostgreSQL refuses everything after an error, until a savepoint is gone back to."""

    def careless(sender, **kwargs):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT * FROM there_is_no_such_table")

    signals.unsubscribe.connect(careless)
    writes_and(None)
    try:
        assert ask("unsubscribe") == [True, {}]
    finally:
        signals.unsubscribe.disconnect(careless)
    assert Person.objects.count() == 1
