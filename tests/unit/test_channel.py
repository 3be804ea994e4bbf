"""A channel's state, presence and listeners; options, names and rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.core.channel import Channel, Remembered
from hookbox.core.connection import Connection
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.core.limits import Bucket
from hookbox.core.names import (
    CHANNEL_CHARACTERS,
    USER_BYTES,
    channel_name_fault,
    read_channel_name,
    user_name_fault,
)
from hookbox.core.options import (
    BadOption,
    ChannelOptions,
    Polling,
    UserOptions,
    read_channel_options,
    read_user_options,
)
from hookbox.core.user import User
from hookbox.errors import CommandRefused, ProtocolError


class Box:
    """An outbox that is only told apart from others."""

    def put(self, frame):
        pass


def make_channel(**options):
    return Channel("lobby", '"lobby"', ChannelOptions(**options), Budget(10**6, 10**5))


def connection(name="c"):
    return Connection(name, Box(), "", "", 0.0)


# state


def test_only_what_changes_is_told():
    channel = make_channel()
    first = channel.change_state({"a": 1, "b": [1]})
    assert (first.updates, first.deletes) == ({"a": 1, "b": [1]}, [])
    second = channel.change_state({"a": 1, "b": [2]}, ["nothing"])
    assert (second.updates, second.deletes) == ({"b": [2]}, [])
    assert not channel.change_state({"a": 1}, ["nothing"])
    third = channel.change_state({}, ["a"])
    assert (third.updates, third.deletes) == ({}, ["a"])
    assert channel.state == {"b": [2]}


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (0, False), (1, 1.0), ("1", 1), (None, False), ([1], [True])]
)
def test_values_that_python_takes_for_equal_are_told_apart(before, after):
    channel = make_channel()
    channel.change_state({"k": before})
    assert channel.change_state({"k": after}).updates == {"k": after}


def test_replacing_tells_what_went():
    channel = make_channel()
    channel.replace_state({"a": 1, "b": 2})
    change = channel.replace_state({"b": 2, "c": 3})
    assert (change.updates, change.deletes) == ({"c": 3}, ["a"])
    assert channel.state == {"b": 2, "c": 3}


json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), st.lists, max_leaves=4
)
objects = st.dictionaries(st.sampled_from("abcd"), json)


@given(objects, objects)
def test_a_mirror_that_applies_what_it_is_told_is_the_same(before, after):
    channel = make_channel()
    mirror = {}
    for wanted in (before, after):
        change = channel.replace_state(dict(wanted))
        for key in change.deletes:
            del mirror[key]
        mirror.update(change.updates)
        assert (
            repr(sorted(mirror.items()))
            == repr(sorted(wanted.items()))
            == repr(sorted(channel.state.items()))
        )


def test_changes_of_presence_and_state_are_counted():
    channel = make_channel()
    counts = [channel.changes]
    channel.change_state({"a": 1})
    counts.append(channel.changes)
    channel.add(User("ann"))
    counts.append(channel.changes)
    channel.change_state({"a": 1})
    assert counts == sorted(set(counts))
    assert channel.changes == counts[-1]


# who listens


def test_a_user_that_is_removed_hears_nothing_more():
    hub, channel = Hub(Budget(100)), make_channel()
    one, two, other = connection("1"), connection("2"), connection("3")
    user = hub.attach(one, "ann")
    hub.attach(two, "ann")
    channel.add(user)
    channel.add(hub.attach(other, "bob"))
    for each in (one, two, other):
        channel.listen(each)
    assert channel.audience == (one.outbox, two.outbox, other.outbox)
    channel.remove(user)
    assert channel.audience == (other.outbox,)
    assert user.channels == {}
    channel.remove(user)


def test_the_audience_is_the_same_as_long_as_nobody_comes_or_goes():
    channel, one, two = make_channel(), connection("1"), connection("2")
    channel.listen(one)
    assert channel.audience is channel.audience
    before = channel.audience
    channel.listen(two)
    assert channel.audience == (one.outbox, two.outbox)
    assert before == (one.outbox,)
    channel.silence(one)
    channel.silence(one)
    assert channel.audience == (two.outbox,)


def test_a_connection_that_is_detached_is_in_nothing():
    hub, channel = Hub(Budget(100)), make_channel()
    one, two = connection("1"), connection("2")
    user = hub.attach(one, "ann")
    hub.attach(two, "ann")
    channel.add(user)
    channel.listen(one)
    channel.listen(two)
    assert hub.detach(one) is user
    assert hub.detach(one) is None
    assert channel.audience == (two.outbox,)
    assert (user.speaker, user.last_connection, user.absences) == (two, None, 0)
    assert hub.detach(two) is user
    assert (user.speaker, user.absences) == (two, 1)
    assert hub.connections == {}
    again = connection("3")
    hub.attach(again, "ann")
    assert (user.speaker, user.last_connection) == (again, None)


# history


def test_history_keeps_what_the_options_say():
    channel = make_channel(history_size=2, history_duration=10)
    for at in range(3):
        channel.remember(Remembered(f'["PUBLISH", {{"payload": {at}}}]', float(at)))
    assert [entry.at for entry in channel.history] == [1.0, 2.0]
    channel.forget_old(11.5)
    assert [entry.at for entry in channel.history] == [2.0]


def test_smaller_options_take_effect_at_once():
    channel = make_channel(history_size=10)
    for at in range(5):
        channel.remember(Remembered("x", float(at)))
    channel.apply(read_channel_options({"history_size": 2}, channel.options), None, 5.0)
    assert [entry.at for entry in channel.history] == [3.0, 4.0]


# options


@pytest.mark.parametrize(
    "given",
    [
        {"reflective": 1}, {"reflective": "true"}, {"reflective": None}, {"history_size": -1}, {"history_size": True},
        {"history_size": 1.5}, {"history_size": 10_001}, {"history_size": "5"}, {"history": -1}, {"history": True},
        {"history": "x"}, {"history": [["NONSENSE", {}]]}, {"history": [["PUBLISH"]]}, {"history": [{}]}, {"set_history": 5},
        {"history_duration": -1}, {"history_duration": "5"}, {"history_duration": True}, {"history_duration": 1e300},
        {"state": []}, {"state": None}, {"server_user_presence": "ann"}, {"server_user_presence": [1]},
        {"presence_in_publish": -1}, {"moderated_publish": None}, {"polling": 5}, {"polling": {"mode": "x"}},
        {"polling": {"mode": "simple"}}, {"polling": {"url": "ftp://x"}}, {"polling": {"interval": 0}}, {"polling": {"x": 1}},
        {"polling": {"form": {"a": 1}}}, {"unknown": 1}, {"": 1}, {"recovery_size": 10_001}, {"recovery_duration": -0.1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_option_is_named(given):
    (name,) = given
    with pytest.raises(BadOption, match=f"option {name}" if name else "unknown option"):
        read_channel_options(given, ChannelOptions())


def test_history_goes_by_its_type():
    sized = read_channel_options({"history": 7}, ChannelOptions())
    assert (sized.options.history_size, sized.history) == (7, None)
    entries = [["PUBLISH", {"payload": 1}], ["SUBSCRIBE", {"user": "ann"}]]
    for name in ("history", "set_history"):
        change = read_channel_options({name: entries}, ChannelOptions())
        assert [[entry.kind, entry.args] for entry in change.history] == entries
        assert change.options.history_size == 0


def test_moderation_of_an_action_follows_moderated_unless_it_was_set():
    assert ChannelOptions().asks("publish")
    assert not ChannelOptions(moderated=False).asks("publish")
    assert ChannelOptions(moderated=False, moderated_publish=True).asks("publish")
    assert ChannelOptions(moderated=True, moderated_publish=False).asks("publish")
    shown = ChannelOptions(moderated=False, moderated_publish=True).as_json()
    assert (shown["moderated_publish"], shown["moderated_subscribe"]) == (True, False)


@pytest.mark.parametrize("off", ["", "off", None, False, {"mode": "off"}, {"mode": None}])
def test_polling_can_be_turned_off(off):
    base = ChannelOptions(polling=Polling("simple", "http://x/"))
    assert read_channel_options({"polling": off}, base).options.polling.mode == ""


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
known = st.sampled_from([*ChannelOptions().as_json(), "history", "set_history", "state", "nonsense"])


@given(st.dictionaries(known, anything, max_size=3))
def test_any_object_is_options_or_a_bad_option(given):
    base = ChannelOptions(history_size=3)
    try:
        change = read_channel_options(given, base)
    except BadOption as error:
        assert str(error)
    else:
        assert read_channel_options(change.options.as_json(), ChannelOptions()).options.history_size >= 0
    assert base == ChannelOptions(history_size=3)


@given(
    st.dictionaries(
        st.sampled_from([*UserOptions().as_json(), "nonsense"]), st.booleans() | st.integers(0, 1)
    )
)
def test_user_options_are_flags(given):
    good = "nonsense" not in given and all(isinstance(value, bool) for value in given.values())
    if good:
        assert read_user_options(given, UserOptions()).as_json().items() >= given.items()
    else:
        with pytest.raises(BadOption):
            read_user_options(given, UserOptions())


# names


@given(st.text(st.characters()))
def test_every_name_has_a_fault_or_none(name):
    assert isinstance(channel_name_fault(name), str)
    if not user_name_fault(name):
        assert 1 <= len(name.encode()) <= USER_BYTES


@given(anything)
def test_every_value_is_a_channel_name_or_an_error(value):
    try:
        name = read_channel_name(value)
    except ProtocolError as error:
        assert not isinstance(value, str)
        assert error.code == "bad_frame"
    except CommandRefused as error:
        assert error.code == "bad_channel"
    else:
        assert name == value
        assert 1 <= len(name) <= CHANNEL_CHARACTERS


@pytest.mark.parametrize(
    "mark",
    [
        chr(n)
        for n in (0, 7, 10, 13, 27, 127, 133, 0x200B, 0x200E, 0x202E, 0x2028, 0x2029, 0x2066, 0xFEFF, 0xE0001)
    ],
)
def test_M6_no_name_has_a_control_or_format_character(mark):
    assert channel_name_fault(f"a{mark}b")
    assert user_name_fault(f"a{mark}b")


@pytest.mark.parametrize(
    "name", ["a b", "é", "世界", "😀", "a/b", "\u00a0", "\ue000", "ﷺ", "שלום", "a\u0301"]
)
def test_names_of_any_script_are_good(name):
    assert channel_name_fault(name) == user_name_fault(name) == ""


# rates


def test_a_bucket_gives_a_burst_and_then_its_rate():
    bucket = Bucket(3, 100.0)
    assert [bucket.take(100.0, 8, 3) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.125, 8, 3), bucket.take(100.125, 8, 3)] == [True, False]
    assert [bucket.take(200.0, 8, 3) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_goes_by_the_rate_and_burst_it_is_told_now():
    bucket = Bucket(3, 100.0)
    assert [bucket.take(100.0, 8, 3) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(100.5, 2, 3)
    assert [bucket.take(200.0, 8, 1) for _ in range(2)] == [True, False]


def test_a_rate_of_0_is_no_limit():
    bucket = Bucket(0, 0.0)
    assert all(bucket.take(0.0, 0, 0) for _ in range(1000))


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 10))
def test_a_bucket_never_gives_more_than_burst_and_rate(pauses, rate, burst):
    bucket, now, taken = Bucket(burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now, rate, burst)
    assert taken <= burst + rate * now + 1e-6
