import gevent
import pytest
from gevent.util import wrap_errors

from hookbox.clock import SystemClock
from hookbox.errors import NotAsked
from hookbox.webhooks.breaker import BreakerRules, Mode
from hookbox.webhooks.shield import Outcome, Shield, ShieldRules

LONG = 30.0
CLOCK = SystemClock()


def shield(concurrency=2, queue=10, queue_wait=LONG, **breaker):
    rules = ShieldRules(concurrency, queue, queue_wait, BreakerRules(**breaker))
    return Shield("http://app:80", rules, CLOCK)


def later():
    return CLOCK.monotonic() + LONG


def end(guard, place, outcome=Outcome.GOOD):
    place.outcome = outcome
    guard.leave(place)


def begin(guard, deadline=None):
    """Ask for a place in a greenlet, whose value is the place or the refusal."""
    return gevent.spawn(wrap_errors(NotAsked, guard.enter), deadline or later())


def settle():
    """Let every greenlet that can run do so."""
    for _ in range(5):
        gevent.sleep(0)


def test_no_more_than_the_concurrency_are_out_at_once():
    guard = shield(concurrency=2)
    places = [guard.enter(later()) for _ in range(2)]
    third = begin(guard)
    settle()
    assert (guard.out, guard.waiting, third.ready()) == (2, 1, False)
    end(guard, places[0])
    assert third.get(timeout=LONG)
    assert (guard.out, guard.waiting) == (2, 0)


def test_the_queue_is_served_in_order():
    guard = shield(concurrency=1)
    place = guard.enter(later())
    served = []

    def ask(name):
        mine = guard.enter(later())
        served.append(name)
        gevent.sleep(0)
        end(guard, mine)

    asking = [gevent.spawn(ask, name) for name in range(8)]
    settle()
    end(guard, place)
    gevent.joinall(asking, timeout=LONG, raise_error=True)
    assert served == list(range(8))


def test_nobody_overtakes_the_queue():
    guard = shield(concurrency=1)
    place = guard.enter(later())
    order = []
    waiting = gevent.spawn(lambda: order.append(("first", guard.enter(later()))[0]))
    settle()
    end(guard, place)  # the place is the waiter's before it has run
    newcomer = gevent.spawn(lambda: order.append(("second", guard.enter(later()))[0]))
    settle()
    assert order == ["first"]
    gevent.killall([waiting, newcomer])


def test_a_full_queue_refuses_at_once():
    guard = shield(concurrency=1, queue=1)
    guard.enter(later())
    waiting = begin(guard)
    settle()
    with pytest.raises(NotAsked) as caught:
        guard.enter(later())
    assert "1 questions wait" in caught.value.detail
    assert caught.value.code == "app_unavailable"
    waiting.kill()


@pytest.mark.parametrize(("queue_wait", "deadline"), [(0.02, LONG), (LONG, 0.02)])
def test_a_turn_that_does_not_come_in_time_is_a_refusal(queue_wait, deadline):
    guard = shield(concurrency=1, queue_wait=queue_wait)
    place = guard.enter(later())
    with pytest.raises(NotAsked, match="not available"):
        guard.enter(CLOCK.monotonic() + deadline)
    assert guard.waiting == 0
    end(guard, place)
    assert guard.out == 0


def test_F9_a_turn_that_comes_after_the_deadline_is_passed_on():
    guard = shield(concurrency=1)
    place = guard.enter(later())
    late = begin(guard, CLOCK.monotonic() + 0.02)
    settle()
    until = CLOCK.monotonic() + 0.03
    while CLOCK.monotonic() < until:
        pass  # the loop is busy, so the waiter cannot notice that its time is over
    end(guard, place)
    assert "no turn in time" in late.get(timeout=LONG).detail
    assert (guard.out, guard.waiting) == (0, 0)


@pytest.mark.parametrize("granted", [False, True])
def test_a_waiter_that_is_killed_leaves_no_hole(granted):
    guard = shield(concurrency=1)
    place = guard.enter(later())
    waiting = begin(guard)
    settle()
    waiting.kill(block=not granted)  # if not blocking, it dies with its turn already given
    end(guard, place)
    settle()
    assert (guard.out, guard.waiting) == (0, 0)
    end(guard, guard.enter(later()))


def test_opening_turns_the_queue_away_at_once():
    guard = shield(concurrency=1, failures=1)
    place = guard.enter(later())
    waiting = [begin(guard) for _ in range(3)]
    settle()
    end(guard, place, Outcome.BAD)
    gevent.joinall(waiting, timeout=LONG)
    assert [str(waiter.value) for waiter in waiting] == ["failure: the application is not available"] * 3
    assert (guard.out, guard.waiting, guard.openings) == (0, 0, 1)
    with pytest.raises(NotAsked):
        guard.enter(later())


def test_a_turn_given_just_before_the_breaker_opened_is_not_taken():
    guard = shield(concurrency=2, failures=1)
    first, second = guard.enter(later()), guard.enter(later())
    waiting = begin(guard)
    settle()
    end(guard, first)
    end(guard, second, Outcome.BAD)  # before the waiter has run
    assert "the breaker opened" in waiting.get(timeout=LONG).detail
    assert guard.out == 0


def open_briefly(guard):
    end(guard, guard.enter(later()), Outcome.BAD)
    assert guard.mode is Mode.OPEN


def test_F9_one_probe_then_the_ramp_lets_the_queue_in_by_time_alone():
    guard = shield(concurrency=4, failures=1, first_pause=0.0)
    open_briefly(guard)
    probe = guard.enter(later())
    with pytest.raises(NotAsked):
        guard.enter(later())
    end(guard, probe)
    first = guard.enter(later())
    second = begin(guard)
    settle()
    assert not second.ready()
    assert second.get(timeout=LONG)  # nobody left: a second passed and two may be out
    assert (guard.out, first.generation) == (2, second.value.generation)


def test_a_probe_whose_asker_dies_does_not_close_the_door_for_ever():
    guard = shield(failures=1, first_pause=0.0)
    open_briefly(guard)
    guard.leave(guard.enter(later()))  # outcome unknown
    assert guard.mode is Mode.OPEN
    end(guard, guard.enter(later()))
    assert guard.mode is Mode.CLOSED


def test_a_probe_that_finds_all_places_taken_by_old_calls_does_not_close_the_door_for_ever():
    guard = shield(concurrency=2, queue=0, failures=1, first_pause=0.0)
    hanging, failing = guard.enter(later()), guard.enter(later())
    end(guard, failing, Outcome.BAD)
    guard.change(ShieldRules(1, 0, LONG, BreakerRules(failures=1, first_pause=0.0)))
    with pytest.raises(NotAsked) as caught:
        guard.enter(later())
    assert "wait already" in caught.value.detail
    end(guard, hanging, Outcome.BAD)
    end(guard, guard.enter(later()))
    assert guard.mode is Mode.CLOSED


def test_a_probe_whose_turn_comes_too_late_does_not_close_the_door_for_ever():
    guard = shield(concurrency=2, failures=1, first_pause=0.0)
    hanging, failing = guard.enter(later()), guard.enter(later())
    end(guard, failing, Outcome.BAD)
    guard.change(ShieldRules(1, 1, LONG, BreakerRules(failures=1, first_pause=0.0)))
    late = begin(guard, CLOCK.monotonic() + 0.02)
    settle()
    assert guard.mode is Mode.PROBING
    until = CLOCK.monotonic() + 0.03
    while CLOCK.monotonic() < until:
        pass  # the loop is busy
    end(guard, hanging)
    assert "no turn in time" in late.get(timeout=LONG).detail
    end(guard, guard.enter(later()))
    assert guard.mode is Mode.CLOSED


def test_calls_that_hang_since_before_the_pause_do_not_hold_up_the_probe():
    guard = shield(concurrency=2, failures=1, first_pause=0.0)
    hanging, failing = guard.enter(later()), guard.enter(later())
    end(guard, failing, Outcome.BAD)
    probe = guard.enter(later())
    assert guard.out == 2
    end(guard, probe)
    end(guard, hanging, Outcome.BAD)
    assert (guard.out, guard.mode) == (0, Mode.CLOSED)


def test_more_room_lets_the_queue_in():
    guard = shield(concurrency=1)
    guard.enter(later())
    waiting = [begin(guard) for _ in range(3)]
    settle()
    guard.change(ShieldRules(concurrency=3))
    settle()
    assert (guard.out, guard.waiting) == (3, 1)
    gevent.killall(waiting)
