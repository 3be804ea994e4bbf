import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.webhooks.breaker import Breaker, BreakerRules, Mode

RULES = BreakerRules(failures=10, ratio=0.5, calls=20, window=10.0, first_pause=1.0, longest_pause=30.0)
MIDDLE = 0.5  # the draw that leaves a pause as it is


def breaker(rules=RULES, draw=MIDDLE):
    return Breaker(rules, lambda: draw)


def fail(target, times, now):
    for _ in range(times):
        assert target.admit(now)
        target.failed(target.generation, now)


def opened(draw=MIDDLE, now=0.0):
    target = breaker(draw=draw)
    fail(target, 10, now)
    return target


def pause(target, now):
    """Seconds until the breaker lets a probe out, which then fails."""
    left = target.pause_left(now)
    assert not target.admit(now + left - 0.001)
    assert target.admit(now + left)
    return left


def test_ten_failures_in_a_row_open_it():
    target = breaker()
    fail(target, 9, 0.0)
    assert target.mode is Mode.CLOSED
    assert target.failed(target.generation, 0.0)
    assert target.mode is Mode.OPEN
    assert not target.admit(0.9)


def test_a_success_breaks_the_row():
    target = breaker()
    fail(target, 9, 0.0)
    target.succeeded(target.generation, 0.0)
    fail(target, 9, 0.0)
    assert target.mode is Mode.CLOSED


def test_half_of_twenty_calls_in_the_window_open_it():
    target = breaker()
    for number in range(19):
        (target.failed if number % 2 else target.succeeded)(target.generation, number * 0.1)
    assert target.mode is Mode.CLOSED
    assert target.failed(target.generation, 2.0)


def test_less_than_half_do_not_open_it():
    target = breaker()
    for number in range(300):
        (target.succeeded if number % 5 < 3 else target.failed)(target.generation, number * 0.01)
    assert target.mode is Mode.CLOSED


def test_failures_that_left_the_window_do_not_count():
    target = breaker()
    for second in range(100):
        target.failed(target.generation, second * 2.0)
        target.succeeded(target.generation, second * 2.0)
    assert target.mode is Mode.CLOSED


@pytest.mark.parametrize(("draw", "first"), [(0.0, 0.5), (0.5, 1.0), (0.999, 1.499)])
def test_pauses_double_up_to_the_longest_and_are_jittered_by_half(draw, first):
    target = opened(draw)
    now = 0.0
    pauses = []
    for _ in range(8):
        left = pause(target, now)
        pauses.append(left)
        now += left
        assert target.failed(target.generation, now)
    factor = first / 1.0
    assert pauses == pytest.approx([seconds * factor for seconds in (1, 2, 4, 8, 16, 30, 30, 30)])


def test_one_probe_goes_out_after_the_pause():
    target = opened()
    assert target.admit(1.0)
    assert target.mode is Mode.PROBING
    assert target.limit(1.0, 32) == 1
    assert not any(target.admit(now) for now in (1.0, 2.0, 60.0))


def test_a_probe_that_tells_nothing_lets_the_next_caller_probe():
    target = opened()
    assert target.admit(1.0)
    target.abandoned(target.generation)
    assert target.mode is Mode.OPEN
    assert target.admit(1.0)


def test_F9_after_the_probe_the_concurrency_doubles_each_second_up_to_the_full_one():
    target = opened()
    assert target.admit(1.0)
    assert target.succeeded(target.generation, 1.0)
    assert [target.limit(1.0 + second, 32) for second in range(7)] == [1, 2, 4, 8, 16, 32, 32]
    assert not target.ramping


def test_F9_the_ramp_ends_at_any_concurrency():
    target = opened()
    assert target.admit(1.0)
    target.succeeded(target.generation, 1.0)
    assert [target.limit(1.0 + second, 5) for second in range(5)] == [1, 2, 4, 5, 5]


def test_one_failure_while_ramping_up_is_forgiven_ten_double_the_pause():
    target = opened()
    assert target.admit(1.0)
    target.succeeded(target.generation, 1.0)
    fail(target, 9, 2.0)
    assert target.mode is Mode.CLOSED
    target.failed(target.generation, 2.0)
    assert target.pause_left(2.0) == pytest.approx(2.0)


def test_after_a_whole_ramp_the_next_pause_is_the_first_again():
    target = opened()
    assert target.admit(1.0)
    target.succeeded(target.generation, 1.0)
    assert target.limit(100.0, 32) == 32
    fail(target, 10, 100.0)
    assert target.pause_left(100.0) == pytest.approx(1.0)


def test_results_of_calls_from_before_the_pause_change_nothing():
    target = breaker()
    before = target.generation
    fail(target, 10, 0.0)
    assert target.admit(1.0)
    assert not target.succeeded(before, 1.0)
    assert not target.failed(before, 1.0)
    target.abandoned(before)
    assert target.mode is Mode.PROBING


steps = st.lists(
    st.tuples(
        st.sampled_from(["call", "good", "bad", "gone"]),
        st.floats(0, 5),
        st.integers(0, 50),
    ),
    max_size=200,
)


@given(steps, st.floats(0, 0.999))
def test_whatever_happens_it_never_refuses_longer_than_the_longest_pause_and_never_probes_twice(steps, draw):
    target = breaker(draw=draw)
    now = 0.0
    out = []
    refused_since = None
    for what, passed, which in steps:
        now += passed
        if what == "call":
            if target.admit(now):
                out.append(target.generation)
                refused_since = None
                probes = [call for call in out if call == target.generation]
                assert target.mode is Mode.CLOSED or len(probes) == 1
            elif target.mode is Mode.OPEN:
                refused_since = now if refused_since is None else refused_since
                assert now - refused_since <= RULES.longest_pause * 1.5
        elif out:
            generation = out.pop(which % len(out))
            if what == "gone":
                target.abandoned(generation)
            else:
                (target.succeeded if what == "good" else target.failed)(generation, now)
        assert 1 <= target.limit(now, 32) <= 32
