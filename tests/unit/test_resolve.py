import socket
import threading

import gevent
import pytest

from hookbox.clock import ManualClock
from hookbox.webhooks.resolve import KEEP, MOST_LOOKUPS, Resolver

LONG = 30.0


class Names:
    """A name service: answers at once, except for names that hang until released."""

    def __init__(self):
        self.asked = []
        self.release = threading.Event()

    def __call__(self, host, port):
        self.asked.append(host)
        if host.startswith("hangs"):
            self.release.wait(LONG)
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host.startswith("odd"):
            raise UnicodeError("label too long")
        return [(socket.AF_INET, ("192.0.2.1", port))]


@pytest.fixture
def names():
    names = Names()
    yield names
    names.release.set()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def resolver(names, clock):
    return Resolver(clock, names)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", (socket.AF_INET, ("127.0.0.1", 80))),
        ("::1", (socket.AF_INET6, ("::1", 80, 0, 0))),
        ("[::1]", (socket.AF_INET6, ("::1", 80, 0, 0))),
    ],
)
def test_an_address_is_not_looked_up(resolver, names, host, expected):
    assert resolver.addresses(host, 80) == [expected]
    assert names.asked == []


def test_an_answer_is_kept_for_a_few_seconds(resolver, names, clock):
    resolver.addresses("app", 80)
    clock.advance(KEEP - 0.1)
    resolver.addresses("app", 80)
    assert names.asked == ["app"]
    clock.advance(0.2)
    resolver.addresses("app", 80)
    assert names.asked == ["app", "app"]


@pytest.mark.parametrize("host", ["unknown", "odd"])
def test_F8_a_name_that_is_not_there_is_told_and_asked_again(resolver, names, host, capfd):
    for _ in range(2):
        with pytest.raises(OSError):
            resolver.addresses(host, 80)
    assert names.asked == [host] * 2
    assert capfd.readouterr().err == ""


def test_F8_many_who_wait_for_one_name_share_one_lookup(resolver, names):
    waiting = [gevent.spawn(resolver.addresses, "hangs", 80) for _ in range(50)]
    gevent.sleep(0)
    names.release.set()
    gevent.joinall(waiting, timeout=LONG, raise_error=True)
    assert names.asked == ["hangs"]


def test_F8_twenty_names_that_hang_do_not_hold_up_another(resolver, names):
    waiting = [gevent.spawn(resolver.addresses, f"hangs{number}", 80) for number in range(20)]
    gevent.sleep(0)
    assert resolver.addresses("app", 80)
    assert not any(waiter.ready() for waiter in waiting)
    names.release.set()
    gevent.joinall(waiting, timeout=LONG, raise_error=True)


def test_F8_beyond_the_most_lookups_a_name_is_refused_at_once(resolver, names):
    waiting = [gevent.spawn(resolver.addresses, f"hangs{number}", 80) for number in range(MOST_LOOKUPS)]
    gevent.sleep(0)
    with pytest.raises(OSError, match="hanging"):
        resolver.addresses("app", 80)
    names.release.set()
    gevent.joinall(waiting, timeout=LONG, raise_error=True)
    assert resolver.addresses("app", 80)


def test_F8_an_asker_that_gives_up_does_not_end_the_lookup_for_others(resolver, names):
    first, second = (gevent.spawn(resolver.addresses, "hangs", 80) for _ in range(2))
    gevent.sleep(0)
    first.kill()
    names.release.set()
    assert second.get(timeout=LONG)


def test_the_systems_own_lookup_knows_localhost(clock):
    addresses = Resolver(clock).addresses("localhost", 80)
    assert {address[0] for _, address in addresses} <= {"127.0.0.1", "::1"}
    assert addresses
