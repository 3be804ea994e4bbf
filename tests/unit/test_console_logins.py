"""Who is let in at the console: passwords, logins, their ends, and how often one may try."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.admin import logins
from hookbox.admin.gatekeeper import is_own
from hookbox.admin.logins import IDLE_SECONDS, LONGEST_SECONDS, MOST_LOGINS, Logins, TooManyTries
from hookbox.admin.passwords import keep, read_kept
from hookbox.clock import ManualClock
from hookbox.errors import ConfigError
from hookbox.settings import Settings
from hookbox.sources import read_value
from hookbox.tool.password import run_password


class Rig:
    def __init__(self, password="right"):
        self.password = password
        self.clock = ManualClock()
        self.logins = Logins(lambda: self.password, self.clock)

    def open(self, password="right", address="192.0.2.1"):
        return self.logins.open(password, address)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Passwords that take no tenth of a second each."""
    monkeypatch.setattr("hookbox.admin.passwords.COST", 16)
    monkeypatch.setattr("hookbox.admin.passwords.BLOCKS", 1)


@pytest.fixture
def rig():
    return Rig()


def test_A11_what_is_kept_of_a_password_fits_it_alone_and_is_another_each_time():
    kept = keep("Pässwort")
    assert kept.fits("Pässwort")
    assert not kept.fits("Passwort")
    assert kept.text() != keep("Pässwort").text()
    assert read_kept(kept.text()) == kept
    assert "Pässwort" not in kept.text() + repr(kept)


@given(st.text())
def test_a_text_that_begins_with_scrypt_is_one_or_an_error(text):
    try:
        kept = read_kept("scrypt$" + text)
    except ConfigError:
        return
    assert kept is not None


@pytest.mark.parametrize(
    "text",
    [
        "scrypt$what",
        "scrypt$15$8$1$c2FsdHNhbHQ=$" + "A" * 44,
        "scrypt$1073741824$8$1$c2FsdHNhbHQ=$" + "A" * 44,
        "scrypt$16$1$1$c2FsdHNhbHQ=$QUJD",
        "scrypt$16$1$1$c2FsdHNhbHQ",
    ],
)
def test_a_setting_that_only_looks_like_scrypt_is_refused_with_what_to_do(text):
    with pytest.raises(ConfigError, match="hookbox password") as refused:
        read_value("admin_password", text, "here")
    assert text not in str(refused.value)


@pytest.mark.parametrize("as_scrypt", [True, False])
def test_A11_the_right_password_opens_and_a_wrong_one_does_not(as_scrypt):
    rig = Rig(keep("right").text() if as_scrypt else "right")
    assert rig.open("wrong") is None
    cookie = rig.open()
    assert rig.logins.find(cookie) is not None
    for other in ("", cookie[:-1], cookie + "x", "é"):
        assert rig.logins.find(other) is None


def test_A11_without_a_password_nobody_gets_in():
    rig = Rig("")
    assert rig.open("") is None


def test_A11_the_scrypt_text_is_no_password():
    text = keep("right").text()
    assert Rig(text).open(text) is None


def test_A11_after_five_tries_there_is_one_a_minute_for_each_address(rig):
    for _ in range(5):
        assert rig.open("wrong") is None
    with pytest.raises(TooManyTries) as refused:
        rig.open("right")
    assert refused.value.retry_after == 60
    assert rig.open("right", "192.0.2.2") is not None
    rig.clock.advance(60.5)
    assert rig.open("wrong") is None
    with pytest.raises(TooManyTries):
        rig.open("right")


def test_A11_addresses_of_one_ipv6_network_count_as_one(rig):
    for number in range(5):
        rig.open("wrong", f"2001:db8::{number}")
    with pytest.raises(TooManyTries):
        rig.open("wrong", "2001:db8::ffff")
    assert rig.open("wrong", "2001:db8:0:1::1") is None


def test_A11_many_addresses_do_not_make_tries_forgotten_before_they_are_all_there_again(rig, monkeypatch):
    monkeypatch.setattr(logins, "MOST_ADDRESSES", 10)
    for _ in range(5):
        rig.logins.tries.take("192.0.2.1")
    for number in range(9):
        rig.logins.tries.take(f"2001:db8:0:{number}::1")
    rig.logins.check()
    with pytest.raises(TooManyTries):
        rig.logins.tries.take("192.0.2.1")
    rig.clock.advance(300)
    rig.logins.check()
    assert len(rig.logins.tries) == 0


def test_A11_whoever_has_very_many_addresses_does_not_lock_others_out(rig, monkeypatch):
    monkeypatch.setattr(logins, "MOST_ADDRESSES", 10)
    with pytest.raises(TooManyTries):
        for number in range(99):
            rig.logins.tries.take(f"2001:db8:0:{number}::1")
    assert len(rig.logins.tries) == 11
    rig.logins.tries.take("192.0.2.1")
    rig.logins.tries.take("2001:db9::1")


def test_whoever_knows_the_password_does_not_use_tries_up(rig):
    for _ in range(20):
        assert rig.open() is not None


def test_A11_a_login_ends_after_half_an_hour_of_silence_and_after_twelve_hours(rig):
    idle, busy = rig.open(), rig.open()
    rig.clock.advance(IDLE_SECONDS - 1)
    assert rig.logins.find(busy)
    assert rig.logins.find(idle, acts=False)
    rig.clock.advance(2)
    assert rig.logins.find(idle) is None
    login = rig.logins.find(busy)
    while rig.clock.monotonic() - login.began < LONGEST_SECONDS - 1000:
        rig.clock.advance(1000)
        assert rig.logins.find(busy)
    rig.clock.advance(1000)
    rig.logins.check()
    assert login.over
    assert rig.logins.find(busy) is None


def test_A11_another_password_ends_all_logins(rig):
    first = rig.open()
    login = rig.logins.find(first)
    rig.password = "another"
    rig.logins.check()
    assert login.over
    assert rig.logins.find(first) is None
    assert rig.open("right") is None
    assert rig.open("another") is not None


def test_there_are_only_so_many_logins_and_the_oldest_go(rig):
    cookies = [rig.open() for _ in range(MOST_LOGINS + 1)]
    assert rig.logins.find(cookies[0]) is None
    assert rig.logins.find(cookies[1]) is not None


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://localhost:8001", "localhost:8001", True),
        ("https://example.com", "example.com", True),
        ("https://example.com:443", "example.com", True),
        ("http://example.com", "example.com:80", True),
        ("http://[::1]:8001", "[::1]:8001", True),
        ("http://example.com", "example.com:8001", False),
        ("http://example.com:8000", "example.com:8001", False),
        ("http://a.example.com", "example.com", False),
        ("http://example.com.evil", "example.com", False),
        ("null", "example.com", False),
        ("", "example.com", False),
        ("ftp://example.com", "example.com", False),
        ("http://example.com/", "example.com", False),
        ("http://x@example.com", "example.com", False),
        ("http://example.com, http://example.com", "example.com", False),
        ("http://example.com:99999", "example.com:99999", False),
        ("http://example.com", "", False),
    ],
)
def test_A11_only_a_page_of_the_very_host_may_change_anything(origin, host, own):
    assert is_own(origin, host) is own


@given(st.text(), st.text())
def test_any_origin_and_host_are_judged(origin, host):
    assert is_own(origin, host) in (True, False)


def test_the_command_prints_a_line_that_the_configuration_takes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long password\n"))
    assert run_password([]) == 0
    name, _, value = capsys.readouterr().out.strip().partition(" = ")
    assert name == "admin_password"
    assert read_kept(Settings(admin_password=value.strip('"')).admin_password).fits("a long password")


@pytest.mark.parametrize(("typed", "said"), [("", "no password"), ("x" * 2000, "at most"), ("short", "warning")])
def test_the_command_says_what_is_wrong_with_a_password(monkeypatch, capsys, typed, said):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed + "\n"))
    assert (run_password([]) == 0) is (said == "warning")
    assert said in capsys.readouterr().err
