"""Parameters of the backlog's calls: times, cursors, names; and secrets that follow one another."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.ids import first_ulid, ulid
from hookbox.delivery.models import State
from hookbox.errors import HookboxError
from hookbox.web.backlog.asked import Asked, read_cursor, read_time, write_cursor
from hookbox.web.backlog.endpoint_values import MEMBERS, read_endpoint
from hookbox.web.backlog.endpoints import rotated
from hookbox.web.bodies import Unreadable

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2024-11-20T12:00:00Z", 1732104000000),
        ("2024-11-20T12:00:00.123456Z", 1732104000123),
        ("2024-11-20t12:00:00.5z", 1732104000500),
        ("2024-11-20 14:00:00+02:00", 1732104000000),
        ("2024-11-20T14:00:00 02:00", 1732104000000),
        ("2024-11-20T06:30:00-05:30", 1732104000000),
        ("2016-12-31T23:59:60Z", 1483228799000),
        ("1732104000", 1732104000000),
        ("1732104000.25", 1732104000250),
        (1732104000, 1732104000000),
        (1732104000.25, 1732104000250),
        (0, 0),
    ],
)
def test_B01_times_are_rfc_3339_or_seconds(text, time_ms):
    assert read_time("since", text) == time_ms


@pytest.mark.parametrize(
    "text",
    [
        "now", "2024-11-20", "2024-11-20T12:00:00", "2024-W47-3T12:00:00Z", "2024-02-30T12:00:00Z", "-1",
        "1969-12-31T23:59:59Z", "2024-11-20T25:00:00Z", "2024-11-20T12:00:00+24:00", "2024-11-20T12:00:00+02:60",
        "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "1e9", "٢٠٢٤-11-20T12:00:00Z", True, [], {}, 1e30,
        float("inf"), "9" * 5000, "2024-11-20T12:00:00Z\n",
    ],
)  # fmt: skip
def test_B01_what_is_no_time_is_refused_by_name(text):
    with pytest.raises(Unreadable, match="since has to be a time"):
        read_time("since", text)


@given(
    st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 28)),
    st.integers(-23 * 60, 23 * 60),
)
def test_B01_every_time_is_read_in_every_zone(moment, minutes):
    moment = moment.replace(tzinfo=UTC)
    text = moment.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert read_time("since", text) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(JSONS | st.text("0123456789-+:TZ. ", max_size=30))
def test_any_value_is_a_time_or_refused(value):
    with suppress(Unreadable):
        assert 0 <= read_time("since", value) < 2**48


@given(st.sampled_from("dme"), st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ_", min_size=1, max_size=40))
def test_B01_a_cursor_gives_its_place_again_and_only_to_its_listing(kind, place):
    cursor = write_cursor(kind, place)
    with suppress(Unreadable):
        assert read_cursor(kind, cursor) == place
        assert place.replace("_", "")
    with pytest.raises(Unreadable):
        read_cursor("x", cursor)


@given(st.text() | st.text("ABCDEFGHabcdefgh0123456789-_=", max_size=200))
def test_any_text_is_a_cursor_or_refused(text):
    with suppress(Unreadable):
        assert read_cursor("d", text)


@pytest.mark.parametrize("name", ["limit", "since", "state", "q", "flag"])
@given(JSONS)
def test_any_value_of_a_parameter_is_read_or_refused(name, value):
    asked = Asked({name: value}, [name])
    readers = {
        "limit": asked.limit, "since": lambda: asked.time_ms("since"), "state": asked.states,
        "q": lambda: asked.text("q"), "flag": lambda: asked.flag("flag"),
    }  # fmt: skip
    with suppress(HookboxError):
        readers[name]()


def test_states_are_read_with_commas_and_undelivered_is_three_of_them():
    assert Asked({"state": "dead, held"}, ["state"]).states() == (State.DEAD, State.HELD)
    assert set(Asked({"state": "undelivered"}, ["state"]).states()) == {State.DEAD, State.HELD, State.CANCELLED}
    with pytest.raises(Unreadable, match="did you mean dead"):
        Asked({"state": "deda"}, ["state"]).states()


def test_an_unknown_parameter_is_refused_with_the_nearest_and_all_that_are_known():
    with pytest.raises(Unreadable, match="unknown parameter 'limt'; did you mean limit.*known are cursor, limit"):
        Asked({"limt": "3"}, ["limit", "cursor"])


@given(st.sampled_from(MEMBERS), JSONS)
def test_any_member_of_an_endpoint_is_read_or_refused(name, value):
    with suppress(HookboxError):
        fields = read_endpoint({name: value}, lambda _, url: url, MEMBERS)
        assert len(fields) == 1


@given(st.integers(0, 2**48 - 1))
def test_the_first_ulid_of_a_time_is_before_all_others_of_it(time_ms):
    assert first_ulid(time_ms) <= ulid(time_ms)
    if time_ms:
        assert ulid(time_ms - 1) < first_ulid(time_ms)


def test_S02_old_secrets_end_after_the_grace_and_at_most_five_are_kept():
    secrets = (("new", 0), ("old", 900))
    assert rotated(secrets, "newer", 1000, 5000) == (("newer", 0), ("new", 6000))
    assert rotated((("new", 0), ("old", 3000)), "newer", 1000, 5000) == (("newer", 0), ("new", 6000), ("old", 3000))
    assert rotated((("new", 0), ("old", 3000)), "newer", 1000, 0) == (("newer", 0),)
    many = (("s0", 0), *((f"s{n}", 9000) for n in range(1, 8)))
    assert [text for text, _ in rotated(many, "newer", 1000, 5000)] == ["newer", "s0", "s1", "s2", "s3", "s4"]
