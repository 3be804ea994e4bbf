"""When a delivery is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_values import is_ulid

from hookbox.delivery.ids import ulid
from hookbox.delivery.schedule import DEFAULT, next_wait, read_retry_after, read_schedule, read_waits

NOW = 1_732_104_000.0


def test_ten_attempts_over_more_than_three_days():
    waits = [next_wait(DEFAULT, failures, "http_500", 0.5) for failures in range(1, 11)]
    assert waits[-1] is None
    assert sum(waits[:-1]) == pytest.approx(75 * 3600 + 35 * 60 + 5)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 9))
def test_waits_are_spread_by_a_fifth_either_way(chance, failures):
    wait = next_wait(DEFAULT, failures, "refused", chance)
    assert 0.8 * DEFAULT[failures - 1] <= wait <= 1.2 * DEFAULT[failures - 1]


@pytest.mark.parametrize(
    "outcome", ["timeout", "connect_timeout", "http_429", "http_502", "http_503", "http_504"]
)
def test_who_is_busy_is_left_alone_for_a_minute(outcome):
    assert next_wait(DEFAULT, 1, outcome, 0.0) == 48
    assert next_wait(DEFAULT, 1, "http_500", 0.0) == 4


def test_R05_it_never_comes_earlier_than_it_was_asked_to():
    assert next_wait(DEFAULT, 1, "http_429", 0.0, 120.0) == 120
    assert next_wait(DEFAULT, 1, "http_429", 0.9, 120.0) == pytest.approx(130.8)
    assert next_wait(DEFAULT, 3, "http_503", 0.0, 2.0) == 1440


def test_R09_without_retry_the_first_failure_is_the_last():
    assert next_wait((), 1, "http_500", 0.5) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1000000000", 86_400),
        ("9" * 40, 86_400),
        ("Wed, 20 Nov 2024 12:02:00 GMT", 120),
        ("Wednesday, 20-Nov-24 12:02:00 GMT", 120),
        ("Wed Nov 20 12:02:00 2024", 120),
        ("Wed, 20 Nov 2024 11:59:59 GMT", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Wed, 20 Nov 2024 12:02:00 +99999999999999999999", None),
        ("Wed, 20 Nov 99999999999999999999 12:02:00 GMT", None),
        ("Wed, 20 Nov 2024 99999999999:02:00 GMT", None),
    ],
)
def test_R05_every_form_of_retry_after_and_no_nonsense(text, seconds):
    assert read_retry_after(text, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_a_time_or_nothing(text):
    seconds = read_retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("none", ()),
        ("hookah", (5, 10, 15)),
        ("0", ()),
        ("3", DEFAULT[:3]),
        ("0.2,0.4, 0.8", (0.2, 0.4, 0.8)),
        ("5,", None),
        ("51", None),
        ("-1", None),
        ("nan", None),
        ("inf,1", None),
        ("2592001,1", None),
        (",".join(["1"] * 51), None),
        ("soon", None),
    ],
)
def test_R09_a_schedule_as_people_write_it(text, schedule):
    if schedule is None:
        with pytest.raises(ValueError, match="seconds|retries"):
            read_schedule(text)
    else:
        assert read_schedule(text) == schedule


def test_R09_a_count_is_of_the_schedule_in_force_and_its_last_entry_repeats():
    assert read_schedule("2", (0.2, 0.4, 0.8)) == (0.2, 0.4)
    assert read_schedule("5", (0.2, 0.4)) == (0.2, 0.4, 0.4, 0.4, 0.4)
    assert read_schedule("5", ()) == ()
    assert len(read_schedule("50")) == 50


def test_R09_a_list_is_a_list_of_seconds_even_of_one():
    assert read_waits([5]) == (5,)
    assert read_waits([]) == ()
    for wrong in ([-1], [True, None], [[1]], [1] * 51):
        with pytest.raises(ValueError, match="seconds|retries"):
            read_waits(wrong)


def test_identifiers_sort_by_time_and_never_repeat():
    made = [ulid(time_ms) for time_ms in range(1_732_104_000_000, 1_732_104_000_500)]
    assert made == sorted(made)
    assert len({ulid(1) for _ in range(1000)}) == 1000
    assert all(is_ulid(text) for text in made)
    assert not is_ulid("8" + made[0][1:])
    assert not is_ulid(made[0].lower())
    assert ulid(2**48 - 1) <= "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
