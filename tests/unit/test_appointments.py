"""Who could not be asked about comes again one after the other, at the application's pace."""

import pytest

from hookbox.webhooks.appointments import CALLS_EACH, LATEST, SOONEST, Appointments


def made(count, *, call=0.05, at_once=10, closed=0.0, now=100.0, chance=lambda: 0.5):
    appointments = Appointments(chance)
    for _ in range(200):
        appointments.answered(call)
    return [appointments.make(now, closed, at_once) for _ in range(count)]


def test_the_first_comes_soon_and_the_others_as_fast_as_calls_are_answered():
    first, *others = made(5, call=0.1, at_once=10)
    assert first == SOONEST
    assert others == pytest.approx([SOONEST + CALLS_EACH * 0.01 * step for step in range(1, 5)], rel=1e-3)


def test_nobody_comes_while_nobody_is_asked():
    assert min(made(100, closed=7.0)) == 7.0 + SOONEST


def test_who_would_be_too_late_comes_at_any_time():
    times = made(10_000, call=0.1, at_once=1)
    assert max(times) <= LATEST
    assert times[-1] == SOONEST + 0.5 * (LATEST - SOONEST)


def test_when_things_are_calm_again_there_is_no_queue_any_more():
    appointments = Appointments(lambda: 0.5)
    for _ in range(1000):
        appointments.make(0.0, 0.0, 1)
    assert appointments.make(100.0, 0.0, 1) == SOONEST


def test_a_slow_application_gets_less():
    assert made(10, call=1.0)[-1] > made(10, call=0.01)[-1]
