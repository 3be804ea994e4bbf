"""Which session a Cookie header belongs to, and which connections belong to a session."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.core.connection import Connection
from hookbox.core.sessions import USUAL_NAMES, Sessions, digest_of, session_of, sessions_of

CHARACTERS = st.characters(codec="utf-8", exclude_characters=";= \t\"\r\n\0", exclude_categories=["Cc", "Cs"])
NAMES = st.text(CHARACTERS, min_size=1, max_size=20)
VALUES = st.text(CHARACTERS, min_size=1)


def digest(value):
    """As an application computes it."""
    return sha256(value.encode()).hexdigest()[:32]


@given(VALUES)
def test_a_session_is_what_an_application_computes_from_the_cookie(value):
    assert session_of(f"sessionid={value}") == digest_of(value) == digest(value)


@given(st.text())
def test_any_header_has_a_session_or_none(text):
    for names in ((), ("sid",)):
        assert len(session_of(text, names)) in (0, 32)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6), st.randoms())
def test_the_order_of_cookies_does_not_matter(cookies, chance):
    pairs = [f"{name}={value}" for name, value in cookies.items()]
    before = session_of("; ".join(pairs))
    chance.shuffle(pairs)
    assert session_of("; ".join(pairs)) == before


@given(NAMES, VALUES, NAMES, VALUES)
def test_only_the_cookie_that_is_named_counts(name, value, other, another):
    expected = digest(another) if other == name else digest(value)
    assert session_of(f"{name}={value}", (name,)) == digest(value)
    assert session_of(f"{other}={another}; {name}={value}", (name,)) == expected


@pytest.mark.parametrize("name", [*USUAL_NAMES, "__Host-sessionid", "__Secure-PHPSESSID", "_myapp_session"])
def test_the_usual_names_are_known(name):
    assert session_of(f"a=1; {name}=abc; csrftoken=2") == digest("abc")


@pytest.mark.parametrize("name", ["sid", "auth_token", "jwt", "MySess", "loginCookie"])
def test_a_name_that_sounds_like_a_session_is_taken_for_one(name):
    assert session_of(f"a=1; {name}=abc; XSRF-TOKEN=2") == digest("abc")


def test_the_only_cookie_there_is_is_taken_for_the_session():
    assert session_of("user=ann; csrftoken=1; _ga=GA1.2.3") == digest("ann")
    assert session_of("user=ann; color=red") == ""


@pytest.mark.parametrize("header", ["", "csrftoken=1", "sessionid=", "a=1; b=2", "sessionid", "_ga=1; cookie_consent=1"])
def test_without_such_a_cookie_there_is_no_session(header):
    assert session_of(header) == ""


def test_of_several_the_first_configured_counts_that_is_there():
    assert session_of("b=2; a=1", ("a", "b")) == digest("1")
    assert session_of("b=2; a=", ("a", "b")) == digest("2")
    assert session_of("sessionid=1", ("a", "b")) == ""


def test_of_several_usual_ones_the_best_known_counts():
    assert session_of("x_session=3; session=2; sessionid=1") == digest("1")
    assert session_of("z_session=3; a_session=2") == digest("2")


def test_a_pair_of_quotes_does_not_count():
    assert session_of('sessionid="a b"') == digest_of('"a b"') == digest("a b")
    assert digest_of('"') == digest('"')
    assert digest_of('""') == ""


def connection(name):
    return Connection(name, None, "", "", 0.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "A", "B", "C", "gone"]))))
def test_sessions_are_what_their_connections_say(steps):
    sessions = Sessions()
    everybody = [connection(str(number)) for number in range(6)]
    belongs = {}
    for number, session in steps:
        if session == "gone":
            sessions.leave(everybody[number])
            belongs.pop(number, None)
        else:
            sessions.move(everybody[number], session)
            belongs.pop(number, None)
            belongs |= {number: session} if session else {}
    for session in "ABC":
        assert sessions.of(session) == [everybody[number] for number in belongs if belongs[number] == session]
    assert len(sessions) == len(set(belongs.values()))


def test_connections_of_one_session_share_its_text():
    sessions = Sessions()
    tabs = [connection(str(number)) for number in range(3)]
    for tab in tabs:
        sessions.move(tab, "".join(["A", "B"]))
    assert len({id(tab.session) for tab in tabs}) == 1
    assert sessions_of(tabs) == ["AB"]


def test_who_has_waited_longest_is_next():
    sessions = Sessions()
    for name in "ABC":
        sessions.move(connection(name), name)
    assert sessions.next_in_turn(2) == ["A", "B"]
    sessions.move(connection("D"), "D")
    assert sessions.next_in_turn(2) == ["C", "A"]
    assert sessions.next_in_turn(9) == ["B", "D", "C", "A"]
    assert sessions.next_in_turn(0) == []
