from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.core.cookies import from_wsgi, merge, read_cookies, read_set_cookie
from hookbox.errors import ProtocolError

names = st.text("abcXYZ019-_.", min_size=1, max_size=8)
values = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters=";"), max_size=12
)
jars = st.dictionaries(names, values, max_size=6)


def header(jar):
    return "; ".join(f"{name}={value}" for name, value in jar.items())


@given(jars)
def test_what_a_browser_writes_is_read_back(jar):
    assert read_cookies(header(jar)) == jar


@given(st.text())
def test_any_text_is_read(text):
    assert all(name and isinstance(value, str) for name, value in read_cookies(text).items())


@given(jars, jars, st.dictionaries(names, st.none() | values, max_size=4))
def test_A4_the_request_wins_over_script_and_the_application_over_both(request_jar, script, kept):
    merged = read_cookies(merge(header(request_jar), header(script), kept, None))
    expected = {**script, **request_jar, **kept}
    assert merged == {name: value for name, value in expected.items() if value is not None}


@given(jars, jars, st.dictionaries(names, st.none() | values, max_size=4), names)
def test_A4_narrowing_forwards_one_name_only(request_jar, script, kept, only):
    merged = read_cookies(merge(header(request_jar), header(script), kept, only))
    expected = {**script, **request_jar, **kept}.get(only)
    assert merged == ({} if expected is None else {only: expected})


@pytest.mark.parametrize("only", [None, "__Host-hookbox_admin", "a"])
def test_A4_the_cookie_of_a_login_at_the_console_is_never_forwarded(only):
    secret = "__Host-hookbox_admin=secret"
    merged = merge(f"a=1; {secret}", secret, {"__Host-hookbox_admin": "secret"}, only)
    assert "secret" not in merged


@given(st.text(), st.text(), st.text())
def test_A4_nothing_merged_can_break_out_of_its_header(request_text, script, kept):
    with suppress(ProtocolError):
        merged = merge(request_text, script, {"kept": kept}, None)
        assert not set(merged) & {"\r", "\n", "\0"}
        merged.encode()


@pytest.mark.parametrize("bad", ["a=1\r\nX-Evil: 1", "a=1\n", "a=\0", "a=\x1b[0m"])
@pytest.mark.parametrize("source", ["request", "script"])
def test_M10_control_characters_are_refused_wherever_they_come_from(bad, source):
    with pytest.raises(ProtocolError, match="control"):
        merge(**{"request": "", "script": "", source: bad + "z"}, kept={}, only=None)


def test_the_requests_own_header_is_passed_on_as_it_came():
    text = 'a=1; a=2; quoted="x y"; base64=ab==; nameless; $Version=1'
    assert merge(text, "a=3; b=4", {}, None) == f"{text}; b=4"


def test_of_two_with_one_name_the_first_counts():
    assert read_cookies("a=1; a=2") == {"a": "1"}


def test_a_cookie_is_split_at_its_first_equals_sign():
    assert read_cookies("a=b=c; d=; =e; f") == {"a": "b=c", "d": ""}


@given(names, values)
def test_a_set_cookie_is_read(name, value):
    cookie = read_set_cookie(f"{name}={value}; Path=/; Secure")
    assert (cookie.name, cookie.value, cookie.http_only, cookie.expired) == (name, value, False, False)


@given(st.text())
def test_any_set_cookie_is_read_or_a_value_error(text):
    try:
        cookie = read_set_cookie(text)
    except ValueError:
        return
    assert cookie.name
    assert cookie.raw == text


@given(st.text(max_size=40), st.text("0123456789-", max_size=12))
def test_any_expiry_is_read(expires, max_age):
    for attributes in (f"Expires={expires}", f"Max-Age={max_age}"):
        with suppress(ValueError):
            assert read_set_cookie(f"a=1; {attributes}").name == "a"


@pytest.mark.parametrize("attribute", ["HttpOnly", "httponly", " HTTPONLY ", "HttpOnly=true"])
def test_A5_http_only_is_seen_however_it_is_written(attribute):
    assert read_set_cookie(f"sessionid=abc; Path=/;{attribute}; SameSite=Lax").http_only


def test_A5_http_only_in_a_value_is_no_attribute():
    assert not read_set_cookie("a=HttpOnly").http_only


@pytest.mark.parametrize(
    ("attributes", "expired"),
    [
        ("Max-Age=0", True),
        ("Max-Age=00", True),
        ("Max-Age=-5", True),
        ("Max-Age=60", False),
        ("Max-Age=soon", False),
        ("expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/", True),
        ("expires=Thu, 01-Jan-1970 00:00:01 GMT", True),
        ("expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=60", False),
        ("Expires=Fri, 01 Jan 2100 00:00:00 GMT", False),
        ("Expires=never", False),
        ("Expires", False),
    ],
)
def test_a_cookie_taken_away_is_told_from_one_set(attributes, expired):
    assert read_set_cookie(f"a=1; {attributes}").expired is expired


def test_a_date_is_past_by_the_time_it_is_given():
    set_cookie = "a=1; Expires=Wed, 01 Jan 2025 00:00:00 GMT"
    assert read_set_cookie(set_cookie, now=1_767_323_045.0).expired
    assert not read_set_cookie(set_cookie, now=1_700_000_000.0).expired


@pytest.mark.parametrize("bad", ["", "nameless", "=value", "; Path=/", "a=1\r\nSet-Cookie: b=2", "a=\0"])
def test_a_set_cookie_that_sets_nothing_is_refused(bad):
    with pytest.raises(ValueError, match="Set-Cookie"):
        read_set_cookie(bad)


@given(values)
def test_utf_8_survives_wsgi(value):
    assert from_wsgi(value.encode().decode("latin-1")) == value


def test_what_is_not_utf_8_is_kept_as_latin_1():
    assert from_wsgi("a=\xe9") == "a=\xe9"
