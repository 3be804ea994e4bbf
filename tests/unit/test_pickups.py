"""Cookies that wait to be fetched: by one use of one key, for a minute, within bounds."""

import pytest

from hookbox.core.cookies import read_set_cookie
from hookbox.core.pickups import LIFE_SECONDS, MOST_BYTES, MOST_COOKIES, MOST_KEYS, Pickups

GRACE = 5.0


@pytest.fixture
def pickups():
    return Pickups()


def put(pickups, owner, *raw, now=0.0):
    return pickups.put(owner, [read_set_cookie(text) for text in raw], now, GRACE)


def test_a_key_is_good_for_one_use(pickups):
    key = put(pickups, "c1", "sid=1; HttpOnly; Path=/", "t=2; Path=/app")
    assert pickups.take(key, 1) == ("sid=1; HttpOnly; Path=/", "t=2; Path=/app")
    assert pickups.take(key, 1) is None
    assert len(pickups) == 0


def test_A8_keys_are_long_and_never_alike(pickups):
    keys = {put(pickups, f"c{n}", "sid=1") for n in range(100)}
    assert len(keys) == 100
    assert all(len(key) >= 43 for key in keys)  # 256 bits in base64


def test_a_key_is_good_for_a_minute(pickups):
    assert pickups.take(put(pickups, "c1", "sid=1"), LIFE_SECONDS - 1) == ("sid=1; Path=/",)
    assert pickups.take(put(pickups, "c1", "sid=1"), LIFE_SECONDS) is None


def test_of_two_keys_the_first_used_gets_everything_and_the_newest(pickups):
    first = put(pickups, "c1", "sid=1", "theme=a")
    second = put(pickups, "c1", "sid=2")
    assert pickups.take(first, 1) == ("theme=a; Path=/", "sid=2; Path=/")
    assert pickups.take(second, 1) == ()
    assert pickups.take(second, 1) is None


def test_cookies_of_other_paths_or_domains_are_others(pickups):
    key = put(pickups, "c1", "a=1", "a=2; Path=/x", "a=3; Domain=.Example.com", "a=4; domain=example.com; path=/")
    assert pickups.take(key, 0) == ("a=1; Path=/", "a=2; Path=/x", "a=4; domain=example.com; path=/")


def test_what_was_not_fetched_is_found_again_and_what_was_is_not(pickups):
    key = put(pickups, "c1", "sid=1")
    put(pickups, "c2", "sid=other")
    again = pickups.again("c1", LIFE_SECONDS + GRACE - 1, GRACE)
    assert pickups.take(key, LIFE_SECONDS + GRACE - 1) is None
    assert pickups.take(again, LIFE_SECONDS + GRACE) == ("sid=1; Path=/",)
    assert pickups.again("c1", LIFE_SECONDS + GRACE, GRACE) == ""
    assert pickups.again("never there", 0, GRACE) == ""


def test_in_the_end_nothing_is_kept(pickups):
    put(pickups, "c1", "sid=1")
    put(pickups, "c2", "sid=2", now=LIFE_SECONDS)
    assert pickups.take("unknown", LIFE_SECONDS + GRACE) is None
    assert len(pickups) == 1


def test_of_one_connection_only_so_much_waits(pickups):
    key = put(pickups, "c1", *(f"c{n}=x" for n in range(MOST_COOKIES + 2)))
    assert len(pickups.take(key, 0)) == MOST_COOKIES
    key = put(pickups, "c1", *(f"c{n}={'x' * 4000}" for n in range(8)))
    taken = pickups.take(key, 0)
    assert taken[-1].startswith("c7=")
    assert sum(map(len, taken)) <= MOST_BYTES
    assert put(pickups, "c1", f"big={'x' * MOST_BYTES}") == ""
    assert len(pickups) == 0
    keys = [put(pickups, "c1", "sid=1") for _ in range(MOST_KEYS + 1)]
    assert pickups.take(keys[0], 0) is None
    assert pickups.take(keys[1], 0) is not None


def test_altogether_the_oldest_goes_first():
    pickups = Pickups(most_bytes=100)
    keys = [put(pickups, f"c{n}", f"sid={'x' * 20}") for n in range(10)]
    assert [pickups.take(key, 0) is None for key in keys] == [True] * 7 + [False] * 3
    assert pickups.dropped == 7
    assert len(pickups) == 0
