import traceback

import gevent
from gevent.event import Event
from gevent.util import wrap_errors

from hookbox.errors import HookboxError, NotPermitted, WebhookError
from hookbox.webhooks.singleflight import SingleFlight

LONG = 30.0


class Slow:
    """A function that waits to be released and counts how often it ran."""

    def __init__(self, result="done"):
        self.release = Event()
        self.started = Event()
        self.runs = 0
        self.result = result

    def __call__(self):
        self.runs += 1
        self.started.set()
        assert self.release.wait(LONG)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def asked(flights, function, times, key="lobby"):
    do = wrap_errors(HookboxError, flights.do)
    waiting = [gevent.spawn(do, key, function) for _ in range(times)]
    assert function.started.wait(LONG)
    return waiting


def test_however_many_ask_it_is_done_once_and_all_get_the_outcome():
    flights, function = SingleFlight(), Slow()
    waiting = asked(flights, function, 100)
    function.release.set()
    gevent.joinall(waiting, timeout=LONG)
    assert [waiter.value for waiter in waiting] == ["done"] * 100
    assert (function.runs, len(flights)) == (1, 0)


def test_all_get_the_same_exception():
    flights, function = SingleFlight(), Slow(NotPermitted("no"))
    waiting = asked(flights, function, 3)
    function.release.set()
    assert [waiter.get(timeout=LONG) for waiter in waiting] == [function.result] * 3
    assert len(flights) == 0


def test_the_death_of_whoever_came_first_fails_nobody_else():
    flights, function = SingleFlight(), Slow()
    first, *others = asked(flights, function, 3)
    first.kill()
    function.release.set()
    gevent.joinall(others, timeout=LONG)
    assert [other.value for other in others] == ["done"] * 2
    assert function.runs == 1


def test_keys_do_not_wait_for_each_other():
    flights, slow = SingleFlight(), Slow()
    waiting = asked(flights, slow, 1)
    assert flights.do("other", lambda: "at once") == "at once"
    slow.release.set()
    gevent.joinall(waiting, timeout=LONG)


def test_once_the_outcome_is_known_the_next_asks_anew():
    flights = SingleFlight()
    results = iter(["first", "second"])
    assert flights.do("lobby", lambda: next(results)) == "first"
    assert flights.do("lobby", lambda: next(results)) == "second"


def test_stopping_waits_and_then_ends_what_is_left():
    flights, function = SingleFlight(), Slow()
    waiting = asked(flights, function, 2)
    flights.stop(0.01)
    assert [type(waiter.get(timeout=LONG)) for waiter in waiting] == [WebhookError] * 2
    assert len(flights) == 0


def test_nobody_waiting_any_more_does_no_harm():
    flights, function = SingleFlight(), Slow(NotPermitted("no"))
    (waiter,) = asked(flights, function, 1)
    waiter.kill()
    function.release.set()
    flights.stop(LONG)
    assert len(flights) == 0


def test_where_an_unforeseen_error_came_from_is_told_to_all_who_waited():
    flights, function = SingleFlight(), Slow(RuntimeError("ours"))
    waiting = [gevent.spawn(wrap_errors(RuntimeError, flights.do), "lobby", function) for _ in range(2)]
    assert function.started.wait(LONG)
    function.release.set()
    for waiter in waiting:
        error = waiter.get(timeout=LONG)
        assert "__call__" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
