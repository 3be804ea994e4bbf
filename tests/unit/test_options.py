"""Options: read all or nothing, and every wrong one is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.core.options import (
    BadOption,
    ChannelOptions,
    Polling,
    UserOptions,
    read_channel_options,
    read_user_options,
)

DEFAULTS = ChannelOptions()
FLAGS = ["reflective", "history_publish_only", "moderated", "moderated_publish", "moderated_subscribe",
         "moderated_unsubscribe", "presenceful", "server_presenceful", "anonymous"]  # fmt: skip
COUNTS = ["history_size", "presence_in_publish", "recovery_size"]
SECONDS = ["history_duration", "recovery_duration"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read(**given):
    return read_channel_options(given, DEFAULTS)


def test_nothing_given_changes_nothing():
    change = read()
    assert (change.options, change.history, change.state) == (DEFAULTS, None, None)


def test_the_defaults_are_those_of_the_manual():
    assert DEFAULTS.as_json() == {
        "reflective": True,
        "history_size": 0,
        "history_duration": 0,
        "history_publish_only": False,
        "moderated": True,
        "moderated_publish": True,
        "moderated_subscribe": True,
        "moderated_unsubscribe": True,
        "presenceful": False,
        "presence_in_publish": 100,
        "server_presenceful": False,
        "server_user_presence": [],
        "anonymous": False,
        "polling": {"mode": "", "url": "", "interval": 5.0, "form": {}, "originator": ""},
        "recovery_size": 100,
        "recovery_duration": 120,
        "durable": False,
    }
    assert UserOptions().as_json() == {
        "reflective": True,
        "moderated_message": True,
        "per_connection_subscriptions": False,
        "global_unsubscriptions": False,
    }


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("wrong", [1, 0, "true", None, [], {}])
def test_a_flag_is_true_or_false_and_nothing_else(name, wrong):
    assert getattr(read(**{name: False}).options, name) is False
    with pytest.raises(BadOption, match=f"option {name} must be true or false"):
        read(**{name: wrong})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("wrong", [-1, 10_001, 1.0, "1", True, None])
def test_a_size_is_a_whole_number_in_range(name, wrong):
    assert getattr(read(**{name: 10_000}).options, name) == 10_000
    with pytest.raises(BadOption, match=name):
        read(**{name: wrong})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("wrong", [-0.1, 1e10, "1", True, None, float("inf"), float("nan")])
def test_a_duration_is_a_number_of_seconds(name, wrong):
    assert getattr(read(**{name: 0.5}).options, name) == 0.5
    with pytest.raises(BadOption, match=name):
        read(**{name: wrong})


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("histroy_size", "history_size"),
        ("moderate", "moderated"),
        ("presencefull", "presenceful"),
        ("state_", "state"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(wrong, hint):
    with pytest.raises(BadOption, match=f"unknown option {wrong}; did you mean {hint}?"):
        read(**{wrong: 1})


def test_an_option_like_no_other_is_refused_without_a_guess():
    with pytest.raises(BadOption) as refusal:
        read(**{"x" * 500: 1})
    assert str(refusal.value) == "unknown option " + "x" * 80


def test_history_goes_by_its_type():
    assert read(history=7).options.history_size == 7
    entries = [["PUBLISH", {"payload": 1}], ["SUBSCRIBE", {"user": "a"}]]
    for name in ("history", "set_history"):
        change = read(**{name: entries})
        assert [[entry.kind, entry.args] for entry in change.history] == entries
        assert change.options.history_size == 0
    assert read(history=[]).history == ()
    for wrong in (True, "7", {}, [1], [["PUBLISH"]], [["OTHER", {}]], [["PUBLISH", []]], 10_001):
        with pytest.raises(BadOption, match="history"):
            read(history=wrong)
    with pytest.raises(BadOption, match="set_history"):
        read(set_history=7)


def test_state_is_an_object():
    assert read(state={"a": [1]}).state == {"a": [1]}
    for wrong in (None, [], "x", 1):
        with pytest.raises(BadOption, match="option state must be an object"):
            read(state=wrong)


@pytest.mark.parametrize("action", ["publish", "subscribe", "unsubscribe"])
@pytest.mark.parametrize(
    ("moderated", "own", "asked"),
    [(True, None, True), (True, False, True), (True, True, True), (False, None, False), (False, True, True),
     (False, False, False)],
)  # fmt: skip
def test_an_action_is_asked_about_when_the_channel_or_its_own_flag_says_so(action, moderated, own, asked):
    given_options = {"moderated": moderated} | ({} if own is None else {f"moderated_{action}": own})
    assert read(**given_options).options.asks(action) is asked


def test_a_flag_never_set_follows_moderated_also_when_that_changes():
    options = read(moderated=False).options
    assert options.as_json()["moderated_publish"] is False
    again = read_channel_options({"moderated": True}, options).options
    assert again.as_json()["moderated_publish"] is True


# polling


def test_polling_parts_are_merged_with_what_there_is():
    options = read(polling={"mode": "simple", "url": "https://x/"}).options
    assert options.polling == Polling("simple", "https://x/")
    options = read_channel_options({"polling": {"interval": 9, "form": {"a": "b"}}}, options).options
    assert options.polling == Polling("simple", "https://x/", 9.0, {"a": "b"})
    for off in ("off", "", None, False, {"mode": "off"}, {"mode": None}):
        assert read_channel_options({"polling": off}, options).options.polling.mode == ""


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("simple", "polling"),
        ([], "polling"),
        ({"mode": "sometimes"}, "polling.mode"),
        ({"mode": "simple"}, "polling.url is needed"),
        ({"url": "file:///etc/passwd"}, "polling.url"),
        ({"url": "ftp://x/"}, "polling.url"),
        ({"url": "//x/"}, "polling.url"),
        ({"url": 1}, "polling.url"),
        ({"interval": 0}, "polling.interval"),
        ({"interval": 0.05}, "polling.interval"),
        ({"interval": 86_401}, "polling.interval"),
        ({"interval": "5"}, "polling.interval"),
        ({"interval": True}, "polling.interval"),
        ({"form": "a=b"}, "polling.form"),
        ({"form": {"a": 1}}, "polling.form"),
        ({"originator": 1}, "polling.originator"),
        ({"URL": "http://x/"}, "did you mean polling.url?"),
    ],
)
def test_a_wrong_part_of_polling_is_named(wrong, named):
    with pytest.raises(BadOption, match=named.replace(".", r"\.").replace("?", r"\?")):
        read(polling=wrong)


def test_a_form_given_by_one_channel_is_not_shared_with_another():
    form = {"a": "b"}
    options = read(polling={"mode": "once", "url": "http://x/", "form": form}).options
    form["secret"] = "x"
    assert options.polling.form == {"a": "b"}
    options.as_json()["polling"]["form"]["more"] = "y"
    assert options.polling.form == {"a": "b"}
    assert Polling().form == {}


# users


def test_user_options_are_flags():
    options = read_user_options({"reflective": False}, UserOptions())
    assert options == UserOptions(reflective=False)
    assert read_user_options({}, options) is not None
    for wrong in (1, "false", None):
        with pytest.raises(BadOption, match="moderated_message must be true or false"):
            read_user_options({"moderated_message": wrong}, options)
    with pytest.raises(BadOption, match="did you mean reflective?"):
        read_user_options({"reflektive": True}, options)


@given(
    st.dictionaries(
        st.sampled_from([*DEFAULTS.as_json(), "history", "set_history", "state", "x"]), JSON, max_size=4
    )
)
def test_any_options_are_applied_whole_or_refused(given_options):
    before = DEFAULTS.as_json()
    try:
        change = read_channel_options(given_options, DEFAULTS)
    except BadOption as refusal:
        assert str(refusal)
        assert "\n" not in str(refusal)[:40]
    else:
        json.dumps(change.options.as_json(), allow_nan=False)
        for name, value in given_options.items():
            if name in FLAGS + COUNTS + SECONDS and "history" not in given_options:
                assert getattr(change.options, name) == value
    assert DEFAULTS.as_json() == before


@pytest.mark.parametrize("name", ["history_size", "history", "recovery_size"])
def test_no_more_is_kept_than_the_operator_allows(name):
    assert read_channel_options({name: 30}, DEFAULTS, 30).options
    with pytest.raises(BadOption, match="a whole number from 0 to 30, not the number 31"):
        read_channel_options({name: 31}, DEFAULTS, 30)
    assert read_channel_options({name: 31}, DEFAULTS, 31).options
