"""What each method of the API does to channels, users and connections."""

import json

import gevent
import pytest
from api_site import Rig, turn_over

from hookbox.errors import WebhookError
from hookbox.webhooks.gate import Allow, Refuse


@pytest.fixture
def rig():
    return Rig()


def subscribed(rig, *names, channel="c"):
    seats = [rig.user(name) for name in names]
    for name in names:
        assert rig.form("subscribe", channel_name=channel, name=name).result == {}
    for seat in seats:
        seat.outbox.frames.clear()
    return seats


# publish


def test_D7_publish_answers_offset_and_epoch_and_everybody_has_it_queued(rig):
    channel = rig.channel("c")
    alice, bob = subscribed(rig, "alice", "bob")
    first = rig.form("publish", channel_name="c", payload='{"a": [1]}', originator="carol").result
    second = rig.form("publish", channel_name="c").result
    assert (first["offset"], second["offset"]) == (1, 2)
    assert first["epoch"] == second["epoch"] == rig.site.broker.position("c").epoch
    for seat in (alice, bob):
        assert [(f["payload"], f["user"], f["offset"]) for f in seat.outbox.named("PUBLISH")] == [
            ({"a": [1]}, "carol", 1),
            (None, None, 2),
        ]
    assert rig.gate.asked == [], "the application is not asked about its own publication"
    assert not channel.history, "and nothing is kept for newcomers by default"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ('"x"', "x"),
        ("[1, 2.5]", [1, 2.5]),
        (' {"a": "\\u00e9é"} ', {"a": "éé"}),
        ("true", True),
    ],
)
def test_a_payload_is_json_text_in_a_form_and_any_value_in_json(rig, text, value):
    rig.channel("c")
    (alice,) = subscribed(rig, "alice")
    assert rig.form("publish", channel_name="c", payload=text).result
    assert rig.json("publish", channel_name="c", payload=value).result
    assert alice.payloads == [value, value]


def test_a_string_in_a_json_body_stays_a_string(rig):
    rig.channel("c")
    (alice,) = subscribed(rig, "alice")
    assert rig.json("publish", channel_name="c", payload='{"a": 1}').result
    assert alice.payloads == ['{"a": 1}']


@pytest.mark.parametrize(
    "text", ["", "x", "{", "NaN", "1e999", '"\\ud800"', "9223372036854775808", "[" * 33 + "]" * 33]
)
def test_a_payload_that_is_not_acceptable_json_is_refused(rig, text):
    rig.channel("c")
    answer = rig.form("publish", channel_name="c", payload=text)
    assert (answer.status, answer.code) == (200, "bad_request")
    assert "payload" in answer.error
    assert rig.site.counters.publications == 0


@pytest.mark.parametrize("depth", [32, 33])
def test_a_payload_may_nest_as_deep_in_json_as_in_a_form(rig, depth):
    rig.channel("c")
    text = "[" * depth + "]" * depth
    given = rig.form("publish", channel_name="c", payload=text)
    said = rig.json("publish", channel_name="c", payload=json.loads(text))
    assert given.json[0] is said.json[0] is (depth == 32)


@pytest.mark.parametrize(
    "name", ["", "$x", "a\x00b", "a\u202eb", "x" * 201], ids=["empty", "$", "NUL", "bidi", "long"]
)
def test_a_bad_channel_name_is_refused(rig, name):
    assert rig.form("publish", channel_name=name).code == "bad_channel"
    assert rig.json("create_channel", channel_name=name).code == "bad_channel"


@pytest.mark.parametrize("name", [1, True, ["c"], {}])
def test_a_channel_name_of_another_type_is_refused(rig, name):
    assert rig.json("publish", channel_name=name).code == "bad_request"


def test_a_publish_to_a_missing_channel_fails_and_makes_none(rig):
    answer = rig.form("publish", channel_name="nowhere")
    assert (answer.status, answer.code, answer.error) == (200, "not_found", "channel nowhere does not exist")
    assert not rig.site.hub.channels


def test_a_publish_to_a_missing_channel_is_ignored_where_that_is_set():
    rig = Rig(ignore_missing_channel=True)
    assert rig.form("publish", channel_name="nowhere", send_hook="1").result == {}
    assert not rig.site.hub.channels
    assert rig.gate.asked == []


def test_an_anonymous_channel_shows_no_originator(rig):
    rig.channel("c", anonymous=True)
    (alice,) = subscribed(rig, "alice")
    assert rig.form("publish", channel_name="c", originator="carol").result
    assert "user" not in alice.outbox.named("PUBLISH")[0]


@pytest.mark.parametrize("name", ["a\nb", "x" * 129])
def test_an_originator_that_cannot_be_a_user_is_refused(rig, name):
    rig.channel("c")
    assert rig.form("publish", channel_name="c", originator=name).code == "bad_request"


# publish with send_hook


@pytest.mark.parametrize("flag", ["1", "true", "yes", "on", "TRUE"])
def test_send_hook_asks_the_application_with_the_speakers_cookies(rig, flag):
    rig.channel("c")
    rig.user("alice", cookies="sid=1")
    assert rig.form("publish", channel_name="c", payload="[1]", originator="alice", send_hook=flag).result
    (question,) = rig.gate.asked
    assert question.action == "publish"
    assert question.fields == {
        "channel_name": "c",
        "destination": "c",
        "payload": "[1]",
        "originator": "alice",
    }
    assert (question.cookies, question.client_ip) == ("sid=1", "192.0.2.1")


@pytest.mark.parametrize("originator", ["alice", "somebody else"], ids=["connected", "not connected"])
def test_send_hook_obeys_the_answer(rig, originator):
    rig.channel("c")
    alice, bob = subscribed(rig, "alice", "bob")
    rig.gate.answers["publish"] = Allow({"override_payload": "other"})
    assert rig.form("publish", channel_name="c", originator=originator, send_hook="1").result["offset"] == 1
    assert alice.payloads == bob.payloads == ["other"]
    rig.gate.answers["publish"] = Refuse("not that")
    answer = rig.form("publish", channel_name="c", originator=originator, send_hook="1")
    assert (answer.error, answer.code) == ("not that", "denied")
    rig.gate.answers["publish"] = Allow({"only_to_sender": True})
    assert (
        rig.form("publish", channel_name="c", payload="3", originator=originator, send_hook="1").result == {}
    )
    assert bob.payloads == ["other"]
    assert alice.payloads == (["other", 3] if originator == "alice" else ["other"])


def test_send_hook_asks_nothing_on_a_channel_that_is_not_moderated(rig):
    rig.channel("c", moderated=False)
    assert rig.json("publish", channel_name="c", send_hook=True).result
    assert rig.gate.asked == []


def test_no_answer_of_the_application_is_a_no(rig):
    rig.channel("c")

    def fail(question):
        raise WebhookError("failure: the application is not available", "secret detail")

    rig.gate.answers["publish"] = fail
    answer = rig.json("publish", channel_name="c", send_hook=True)
    assert (answer.status, answer.code) == (200, "app_unavailable")
    assert "secret detail" not in answer.body.decode()


def test_a_channel_that_goes_while_the_application_decides_gets_nothing(rig):
    rig.channel("c")

    def close_meanwhile(question):
        assert rig.form("destroy_channel", channel_name="c").result == {}
        return Allow()

    rig.gate.answers["publish"] = close_meanwhile
    assert rig.json("publish", channel_name="c", send_hook=True).code == "not_found"


# idempotency


def test_D8_a_repeat_with_the_same_key_returns_the_first_offset(rig):
    rig.channel("c")
    rig.channel("d")
    (alice,) = subscribed(rig, "alice")

    def publish(channel="c", key="k-1"):
        return rig.form("publish", channel_name=channel, payload="1", idempotency_key=key).result

    first = publish()
    assert publish() == publish() == first
    assert alice.payloads == [1]
    assert publish(key="k-2")["offset"] == 2
    assert publish(channel="d")["offset"] == 1, "each channel has keys of its own"
    rig.clock.advance(299.9)
    assert publish() == first
    rig.clock.advance(0.2)
    assert publish()["offset"] == 3


def test_D8_a_repeat_while_the_first_is_under_way_waits_and_gets_the_same(rig):
    rig.channel("c")
    decided = gevent.event.Event()

    def wait(question):
        decided.wait()
        return Allow()

    rig.gate.answers["publish"] = wait
    calls = [
        gevent.spawn(rig.json, "publish", channel_name="c", send_hook=True, idempotency_key="k")
        for _ in range(5)
    ]
    turn_over()
    decided.set()
    gevent.joinall(calls, timeout=10, raise_error=True)
    assert {call.value.result["offset"] for call in calls} == {1}
    assert len(rig.gate.asked) == 1


def test_D8_a_failure_is_not_remembered(rig):
    rig.channel("c")
    rig.gate.answers["publish"] = Refuse("no")
    assert rig.json("publish", channel_name="c", send_hook=True, idempotency_key="k").error == "no"
    assert rig.json("publish", channel_name="c", idempotency_key="k").result["offset"] == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "\x7f"])
def test_D8_a_key_is_1_to_255_visible_ascii_characters(rig, key):
    rig.channel("c")
    assert rig.form("publish", channel_name="c", idempotency_key=key).code == "bad_request"
    assert rig.form("publish", channel_name="c", idempotency_key="!~" + "x" * 253).result


# publish_multi, batch


@pytest.mark.parametrize("names", ["a,b", " a , b ,", '["a", "b"]'])
def test_publish_multi_takes_commas_or_a_list_and_tells_of_each_channel(rig, names):
    rig.channel("a")
    rig.channel("b")
    results = rig.form("publish_multi", channel_names=names, payload="1").result["results"]
    assert list(results) == ["a", "b"]
    assert all(done and told["offset"] == 1 for done, told in results.values())


def test_publish_multi_goes_on_after_a_failure_and_says_that_there_was_one(rig):
    rig.channel("b")
    answer = rig.json("publish_multi", channel_names=["a", "b", "$c", "b"])
    assert (answer.status, answer.code, answer.error) == (200, "partly_failed", "2 of 3 channels failed")
    results = answer.json[1]["results"]
    assert [results[name][0] for name in ("a", "b", "$c")] == [False, True, False]
    assert rig.site.counters.publications == 1


@pytest.mark.parametrize("names", ["", ",", [], [1], 3, ["c"] * 1001])
def test_publish_multi_refuses_what_is_no_list_of_names(rig, names):
    assert rig.json("publish_multi", channel_names=names).code == "bad_request"


def test_batch_answers_in_order_and_one_failure_does_not_stop_the_rest(rig):
    commands = [
        {"method": "create_channel", "params": {"channel_name": "c", "history_size": 2}},
        {"method": "publish", "params": {"channel_name": "c", "payload": {"deep": [1]}}},
        {"method": "publish", "params": {"channel_name": "missing"}},
        {"method": "nonsense", "params": {}},
        {"method": "batch", "params": {"commands": []}},
        {"method": "publish"},
        "publish",
        {"method": "publish", "params": [1]},
        {"method": "channel_info", "params": {"channel_name": "c"}},
    ]
    for call in (rig.json("batch", commands=commands), rig.form("batch", commands=json.dumps(commands[1:]))):
        results = call.result["results"]
    assert [done for done, _ in results] == [True, False, False, False, False, False, False, True]
    assert results[-1][1]["history"][-1][1]["payload"] == {"deep": [1]}
    assert results[1][1]["code"] == "not_found"
    assert "no batch" in results[3][1]["error"]


def test_batch_has_a_limit_and_wants_a_list(rig):
    assert rig.json("batch", commands=[{}] * 1001).code == "bad_request"
    assert rig.json("batch", commands={}).code == "bad_request"
    assert rig.json("batch").error == "commands required"
    assert rig.json("batch", commands=[]).result == {"results": []}


def test_batch_counts_its_publishes_against_the_rate():
    rig = Rig(api_rate=1.0)
    rig.channel("c")
    publish = {"method": "publish", "params": {"channel_name": "c"}}
    results = rig.json("batch", commands=[publish, publish]).result["results"]
    assert [results[0][0], results[1][1]["code"]] == [True, "rate"]


# subscribe, unsubscribe, message


@pytest.mark.parametrize("field", ["name", "user"])
def test_subscribe_and_unsubscribe_on_behalf_of_a_user(rig, field):
    rig.channel("c", presenceful=True)
    (bob,) = subscribed(rig, "bob")
    alice = rig.user("alice")
    assert rig.form("subscribe", channel_name="c", **{field: "alice"}).result == {}
    assert alice.outbox.named("SUBSCRIBE")[0]["presence"] == ["bob", "alice"]
    assert bob.outbox.named("SUBSCRIBE")[0]["user"] == "alice"
    assert rig.form("publish", channel_name="c", payload="1").result
    assert rig.form("unsubscribe", channel_name="c", **{field: "alice"}).result == {}
    assert rig.form("publish", channel_name="c", payload="2").result
    assert alice.payloads == [1], "A10"
    assert alice.outbox.frames[-1][0] == "UNSUBSCRIBE"
    assert rig.gate.asked == []


def test_subscribe_makes_the_channel(rig):
    rig.user("alice")
    assert rig.form("subscribe", channel_name="new", name="alice").result == {}
    assert list(rig.site.hub.channels["new"].subscribers) == ["alice"]


def test_subscribe_asks_with_send_hook(rig):
    rig.channel("c")
    alice = rig.user("alice", cookies="sid=2")
    rig.gate.answers["subscribe"] = Refuse("members only")
    assert rig.json("subscribe", channel_name="c", name="alice", send_hook=True).error == "members only"
    rig.gate.answers["subscribe"] = Allow({"initial_data": 3})
    assert rig.json("subscribe", channel_name="c", name="alice", send_hook=True).result == {}
    assert rig.gate.actions() == ["subscribe", "subscribe"]
    assert {question.cookies for question in rig.gate.asked} == {"sid=2"}
    assert alice.user.channels.keys() == {"c"}
    rig.gate.answers["unsubscribe"] = Refuse("you stay")
    assert rig.json("unsubscribe", channel_name="c", name="alice", send_hook=True).error == "you stay"
    assert alice.user.channels.keys() == {"c"}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("subscribe", {"channel_name": "c", "name": "ghost"}),
        ("unsubscribe", {"channel_name": "c", "name": "ghost"}),
        ("message", {"sender_name": "ghost", "recipient_name": "alice"}),
        ("message", {"sender_name": "alice", "recipient_name": "ghost"}),
        ("get_user_info", {"user_name": "ghost"}),
        ("set_user_options", {"user_name": "ghost", "reflective": True}),
        ("disconnect_user", {"name": "ghost"}),
    ],
)
def test_a_user_that_is_not_connected_is_named(rig, method, params):
    rig.channel("c")
    rig.user("alice")
    answer = rig.json(method, **params)
    assert (answer.status, answer.code, answer.error) == (200, "not_found", "user ghost is not connected")


@pytest.mark.parametrize(
    "method",
    ["unsubscribe", "destroy_channel", "get_channel_info", "set_channel_options", "history", "state_set_key",
     "state_delete_key", "state_multi_set"],
)  # fmt: skip
def test_a_channel_that_does_not_exist_is_named(rig, method):
    answer = rig.json(method, channel_name="nowhere", name="alice", key="k", state={})
    assert (answer.code, answer.error) == ("not_found", "channel nowhere does not exist")


def test_a_message_reaches_the_recipient_and_the_sender_sees_it(rig):
    alice, bob, carol = rig.user("alice"), rig.user("bob"), rig.user("carol")
    params = {"sender_name": "alice", "recipient_name": "bob", "payload": '{"hi": 1}'}
    assert rig.form("message", **params).result == {}
    for seat in (alice, bob):
        (message,) = seat.outbox.named("MESSAGE")
        assert (message["sender"], message["recipient"], message["payload"]) == ("alice", "bob", {"hi": 1})
    assert carol.outbox.frames == []
    assert rig.gate.asked == []
    rig.gate.answers["message"] = Allow({"override_recipient_name": "carol"})
    assert rig.form("message", send_hook="1", **params).result == {}
    assert len(carol.outbox.named("MESSAGE")) == 1
    assert rig.gate.asked[0].fields["recipient_exists"] == "true"


# channels


def test_create_channel_takes_options_flat_and_as_an_object(rig):
    assert rig.form("create_channel", channel_name="a", reflective="false", history="3").result == {}
    assert (
        rig.json("create_channel", channel_name="b", options={"reflective": False, "history_size": 3}).result
        == {}
    )
    for name in ("a", "b"):
        info = rig.get("channel_info", channel_name=name).result
        assert (info["reflective"], info["history_size"]) == (False, 3)
    assert rig.gate.asked == []
    assert rig.form("create_channel", channel_name="a").code == "exists"


def test_create_channel_asks_with_send_hook_and_the_answer_wins(rig):
    rig.gate.answers["create_channel"] = Allow({"history_size": 5})
    assert (
        rig.json("create_channel", channel_name="c", history_size=1, reflective=False, send_hook=True).result
        == {}
    )
    info = rig.get("channel_info", channel_name="c").result
    assert (info["history_size"], info["reflective"]) == (5, False)
    rig.gate.answers["create_channel"] = Refuse("none of yours")
    assert rig.json("create_channel", channel_name="d", send_hook=True).error == "none of yours"
    assert list(rig.site.hub.channels) == ["c"]


def test_create_channel_with_a_wrong_option_creates_nothing(rig):
    answer = rig.form("create_channel", channel_name="c", histroy_size="3")
    assert answer.code == "bad_option"
    assert "did you mean history_size?" in answer.error
    assert not rig.site.hub.channels


def test_create_channel_keeps_to_the_limit():
    rig = Rig(channels=1)
    rig.channel("c")
    for send_hook in (False, True):
        answer = rig.json("create_channel", channel_name="d", send_hook=send_hook)
        assert (answer.code, answer.error) == ("limit", "no more than 1 channels")
    assert rig.gate.asked == []


def test_destroy_channel_tells_the_subscribers(rig):
    rig.channel("c")
    alice, bob = subscribed(rig, "alice", "bob")
    rig.gate.answers["destroy_channel"] = Refuse("it stays")
    assert rig.json("destroy_channel", channel_name="c", send_hook=True).error == "it stays"
    assert rig.json("destroy_channel", channel_name="c").result == {}
    for seat in (alice, bob):
        assert [args["user"] for args in seat.outbox.named("UNSUBSCRIBE")] == [seat.user.name]
        assert not seat.user.channels
    assert not rig.site.hub.channels


def test_channel_info_tells_everything(rig):
    rig.channel("c", history_size=2, presenceful=True, state={"k": 1})
    subscribed(rig, "alice")
    assert rig.form("publish", channel_name="c", payload='"x"').result
    info = rig.get("get_channel_info", channel_name="c").result
    assert info["name"] == info["channel_name"] == "c"
    assert info["subscribers"] == ["alice"]
    assert [entry[0] for entry in info["history"]] == ["SUBSCRIBE", "PUBLISH"]
    assert info["history"][1][1]["payload"] == "x"
    assert (info["reflective"], info["history_size"], info["offset"]) == (True, 2, 1)
    assert info["state"] == {"k": 1}
    assert info["options"]["moderated_publish"] is True
    assert info["epoch"] == rig.site.broker.position("c").epoch


def test_channel_info_shows_no_entry_that_is_too_old(rig):
    rig.channel("c", history_size=5, history_duration=10)
    assert rig.form("publish", channel_name="c").result
    rig.clock.advance(11)
    assert rig.get("channel_info", channel_name="c").result["history"] == []


def test_set_channel_options_applies_all_or_none(rig):
    rig.channel("c")
    assert (
        rig.form("set_channel_options", channel_name="c", reflective="false", history_size="3").result == {}
    )
    info = rig.get("channel_info", channel_name="c").result
    assert (info["reflective"], info["history_size"]) == (False, 3)
    for wrong in ({"history_size": "many"}, {"moderated": "1"}, {"no_such": "1"}, {"options": "[]"}):
        answer = rig.form("set_channel_options", channel_name="c", reflective="true", **wrong)
        assert answer.code in ("bad_option", "bad_request")
        assert next(iter(wrong)) in answer.error
    assert rig.get("channel_info", channel_name="c").result["reflective"] is False
    assert rig.form("set_channel_options", channel_name="c", polling="off").result == {}, "a bare string"


def test_a_channels_state_changes_and_its_subscribers_are_told(rig):
    rig.channel("c")
    (alice,) = subscribed(rig, "alice")
    assert rig.form("state_set_key", channel_name="c", key="a", val='{"x": 1}').result == {}
    assert rig.json("state_multi_set", channel_name="c", state={"b": "2", "d": None}).result == {}
    assert rig.form("state_multi_set", channel_name="c", state='{"b": "2"}').result == {}, "no change"
    assert rig.form("state_delete_key", channel_name="c", key="a").result == {}
    assert [(f["updates"], f["deletes"]) for f in alice.outbox.named("STATE_UPDATE")] == [
        ({"a": {"x": 1}}, []),
        ({"b": "2", "d": None}, []),
        ({}, ["a"]),
    ]
    assert rig.get("channel_info", channel_name="c").result["state"] == {"b": "2", "d": None}
    assert rig.form("state_set_key", channel_name="c", key="a", val="bare").code == "bad_request"
    assert rig.form("state_multi_set", channel_name="c", state="[]").code == "bad_request"


# history


def test_history_gives_what_came_after_an_offset(rig):
    rig.channel("c")
    for number in range(1, 6):
        assert rig.json("publish", channel_name="c", payload=number).result
    epoch = rig.site.broker.position("c").epoch

    def history(**params):
        found = rig.get("history", channel_name="c", **params).result
        assert (found["offset"], found["epoch"]) == (5, epoch)
        return [publication["payload"] for publication in found["publications"]], found["recovered"]

    assert history(since="3") == ([4, 5], True)
    assert history(since="0", limit="2", epoch=epoch) == ([1, 2], True)
    assert history(since="5") == ([], True)
    assert history(since="6") == ([], False)
    assert history(since="3", epoch="another") == ([], False)
    assert history() == ([1, 2, 3, 4, 5], True)
    assert history(limit="2") == ([4, 5], True)
    assert history(limit="0") == ([], True)


def test_history_gives_the_last_ones_that_are_still_kept(rig):
    rig.channel("c", recovery_size=7)
    for number in range(1, 21):
        assert rig.json("publish", channel_name="c", payload=number).result
    found = rig.get("history", channel_name="c").result
    assert [publication["offset"] for publication in found["publications"]] == list(range(14, 21))
    assert rig.get("history", channel_name="c", since="12").result["recovered"] is False


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "true", '"1"', "99999999999999999999"])
def test_history_wants_whole_numbers(rig, value):
    rig.channel("c")
    assert rig.get("history", channel_name="c", since=value).code == "bad_request"
    assert rig.get("history", channel_name="c", limit=value).code == "bad_request"


# users and connections


def test_user_info_and_user_options(rig):
    rig.channel("c")
    (alice,) = subscribed(rig, "alice")
    info = rig.get("get_user_info", user_name="alice").result
    assert info == {
        "name": "alice",
        "options": alice.user.options.as_json(),
        "channels": ["c"],
        "connections": [alice.connection.id],
        "sessions": [],
    }
    assert rig.form("set_user_options", user_name="alice", reflective="false").result == {}
    assert alice.user.options.reflective is False
    answer = rig.form("set_user_options", user_name="alice", reflective="true", moderated_messages="false")
    assert "did you mean moderated_message?" in answer.error
    assert alice.user.options.reflective is False


def test_a_user_whose_name_is_a_number_may_be_named_by_one(rig):
    rig.user("7")
    assert rig.json("get_user_info", user_name=7).result["name"] == "7"


def test_subscriptions_become_per_connection_without_a_change_in_what_is_heard(rig):
    rig.channel("c")
    (alice,) = subscribed(rig, "alice")
    assert rig.form("set_user_options", user_name="alice", per_connection_subscriptions="true").result == {}
    late = rig.user("alice")
    assert rig.form("publish", channel_name="c", payload="1").result
    assert (alice.payloads, late.payloads) == ([1], [])
    assert rig.form("set_user_options", user_name="alice", per_connection_subscriptions="false").result == {}
    assert late.outbox.named("SUBSCRIBE")[0]["channel_name"] == "c"
    assert rig.form("publish", channel_name="c", payload="2").result
    assert (alice.payloads, late.payloads) == ([1, 2], [2])


def test_A10_a_disconnected_connection_gets_nothing_published_later(rig):
    rig.channel("c")
    first, second = rig.user("alice"), rig.user("alice")
    second.connection.id = "another"
    rig.site.hub.connections = {c.id: c for c in (first.connection, second.connection)}
    assert rig.form("subscribe", channel_name="c", name="alice").result == {}
    assert rig.form("disconnect", identifier="another").result == {"connections": 1}
    assert second.connection.transport.closed_with.code == 4504
    assert rig.form("publish", channel_name="c", payload="1").result
    assert (first.payloads, second.payloads) == ([1], [])
    assert first.connection.transport.closed_with is None
    assert rig.form("disconnect", identifier="another").error == "connection another does not exist"


def test_A10_a_disconnected_user_gets_nothing_published_later_on_any_connection(rig):
    rig.channel("c", moderated=False, presenceful=True)
    seats = [rig.user("alice"), rig.user("alice")]
    (bob,) = subscribed(rig, "bob")
    assert rig.form("subscribe", channel_name="c", name="alice").result == {}
    assert rig.form("disconnect_user", name="alice").result == {"connections": 2}
    assert [seat.connection.transport.closed_with.code for seat in seats] == [4504, 4504]
    assert rig.form("publish", channel_name="c", payload="1").result
    assert [seat.payloads for seat in seats] == [[], []]
    rig.later.pass_time()
    assert bob.outbox.named("UNSUBSCRIBE")[0]["user"] == "alice"
    assert rig.gate.actions() == ["disconnect"]
    assert "alice" not in rig.site.hub.users


def test_a_disconnected_user_has_no_grace_even_while_it_is_away(rig):
    from hookbox.commands.connect import gone

    rig.channel("c", moderated=False)
    (alice,) = subscribed(rig, "alice")
    gone(rig.site, alice.connection)
    assert rig.form("disconnect_user", name="alice").result == {"connections": 0}
    rig.later.pass_time()
    assert "alice" not in rig.site.hub.users


# the server


def test_server_info(rig):
    rig.channel("c")
    rig.user("alice")
    rig.clock.advance(2.5)
    info = rig.get("get_server_info").result
    assert (info["channels"], info["users"], info["connections"], info["uptime"]) == (1, 1, 1, 2.5)
    assert info["version"]
    assert info["draining"] is False
    assert info["counts"]["publications"] == 0
    assert info["counts"]["asked"] == 0, "what the server adds"
    assert "channel_names" not in info
    named = rig.get("get_server_info", names="true").result
    assert (named["channel_names"], named["user_names"]) == (["c"], ["alice"])


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        ({"cbhost": "example.org", "cbport": "81"}, {"cbhost": "example.org", "cbport": 81}),
        ({"cbhost": '"example.org"', "cbhttps": "true"}, {"cbhost": "example.org", "cbhttps": True}),
        ({"webhook_secret": "1e5"}, {"webhook_secret": "1e5"}),
        ({"webhook_secret": '"1e5"'}, {"webhook_secret": "1e5"}),
        ({"api_security_token": '["a", "b"]'}, {"api_security_token": ("a", "b")}),
        ({"api_security_token": "007"}, {"api_security_token": ("007",)}),
    ],
)
def test_set_config_takes_effect_at_once(rig, form, changes):
    assert rig.form("set_config", **form).result == {"changed": list(form)}
    assert rig.changes == [changes]


@pytest.mark.parametrize(
    ("form", "hint"),
    [
        ({"cbprt": "81"}, "did you mean cbport"),
        ({"port": "81"}, "not changed here"),
        ({"admin_password": "mine-now"}, "not changed here"),
        ({"cbport": "0"}, "cbport"),
        ({"cbhost": "a b"}, "cbhost"),
        ({"cb_single_url": "http://x:99999/"}, "URL"),
        ({"api_security_token": "[]"}, "api_security_token"),
        ({"api_security_token": '["a","b","c"]'}, "api_security_token"),
        ({"webhook_secret": "s3cret\n"}, "webhook_secret"),
        ({}, "cbport"),
    ],
)
def test_set_config_refuses_with_a_hint_and_changes_nothing(rig, form, hint):
    answer = rig.form("set_config", cbhttps="true", **form) if form else rig.form("set_config")
    assert answer.code == "bad_request"
    assert hint in answer.error
    assert "s3cret" not in answer.error
    assert rig.changes == []


@pytest.mark.parametrize("text", ["maybe", "2", "[]"])
def test_a_flag_that_is_none_is_refused(rig, text):
    rig.channel("c")
    assert rig.form("publish", channel_name="c", send_hook=text).error == "send_hook must be true or false"
    assert rig.json("publish", channel_name="c", send_hook=[1]).error == "send_hook must be true or false"
