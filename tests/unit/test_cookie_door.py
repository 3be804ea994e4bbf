"""`/cookie/<key>`: a POST gets the cookies once; nothing else gets any, and no header can be slipped in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import House

from hookbox.core.cookies import read_set_cookie
from hookbox.web.cookie import make_cookie_door
from hookbox.web.paths import loggable

ORIGIN = "http://app.example:8000"


@pytest.fixture(scope="module")
def house():
    return House()


def ask(house, key, method="POST", origin=ORIGIN, **environ):
    answer = {}

    def start_response(status, headers):
        answer.update(status=int(status[:3]), headers=headers)

    environ = {"REQUEST_METHOD": method, "PATH_INFO": f"/cookie/{key}", "hookbox.origin": origin, **environ}
    answer["body"] = b"".join(make_cookie_door(house.site)(environ, start_response)).decode()
    return answer


def waiting(house, *raw):
    return house.site.pickups.put("c1", [read_set_cookie(text) for text in raw], house.clock.monotonic(), 5)


def values(answer, name):
    return [value for key, value in answer["headers"] if key == name]


def test_a_post_gets_all_cookies_of_an_answer_once(house):
    key = waiting(house, "sid=1; HttpOnly; Path=/", "town=Köln")
    answer = ask(house, key)
    assert (answer["status"], answer["body"]) == (204, "")
    assert values(answer, "Set-Cookie") == ["sid=1; HttpOnly; Path=/", "town=K\xc3\xb6ln; Path=/"]
    assert values(answer, "Cache-Control") == ["no-store"]
    assert values(answer, "Access-Control-Allow-Origin") == [ORIGIN]
    assert values(answer, "Access-Control-Allow-Credentials") == ["true"]
    assert values(answer, "Vary") == ["Origin"]
    again = ask(house, key)
    assert (again["status"], values(again, "Set-Cookie")) == (410, [])


def test_a_cookie_that_the_browser_got_anew_meanwhile_is_not_overwritten(house):
    after = {"sid": frozenset({"old"})}
    for header, gets in (("a=1; sid=old", ["sid=1; Path=/"]), ("sid=another; a=1", [])):
        key = house.site.pickups.put("c1", [read_set_cookie("sid=1")], house.clock.monotonic(), 5, after)
        assert values(ask(house, key, HTTP_COOKIE=header), "Set-Cookie") == gets


def test_a_program_without_an_origin_gets_no_cors(house):
    answer = ask(house, waiting(house, "sid=1"), origin="")
    assert answer["status"] == 204
    assert not values(answer, "Access-Control-Allow-Origin")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_A3_nothing_but_a_post_gets_cookies(house, method):
    key = waiting(house, "sid=1")
    answer = ask(house, key, method)
    assert (answer["status"], values(answer, "Allow"), values(answer, "Set-Cookie")) == (405, ["POST, OPTIONS"], [])
    if method != "HEAD":
        assert "must not set any" in answer["body"]
    assert ask(house, key)["status"] == 204  # the key is still good


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded; charset=utf-8", "Multipart/Form-Data; boundary=x"]
)
def test_H16_a_form_gets_no_cookies(house, kind):
    key = waiting(house, "sid=1")
    assert ask(house, key, CONTENT_TYPE=kind)["status"] == 415
    assert ask(house, key)["status"] == 204


def test_a_preflight_is_answered_and_uses_no_key_up(house):
    key = waiting(house, "sid=1")
    answer = ask(house, key, "OPTIONS")
    assert (answer["status"], values(answer, "Access-Control-Allow-Methods")) == (204, ["POST, OPTIONS"])
    assert ask(house, key)["status"] == 204


@pytest.mark.parametrize("key", ["", "x", "x" * 500, "../healthz", "é"])
def test_an_unknown_key_gets_nothing(house, key):
    assert ask(house, key)["status"] in (404, 410)


@given(st.lists(st.text(max_size=40) | st.text("a=;\r\n\0\t Path/HttpOnly\x7fé\ud800", max_size=40), max_size=4))
def test_whatever_the_application_sets_no_header_is_slipped_in(raw):
    house = House()
    house.gate.allow("connect", *raw, name="ann")
    client = house.client()
    client.connect("ann", features=["cookies"])
    for frame in client.take():
        if frame.name == "COOKIE":
            for cookie in values(ask(house, frame.args["path"].removeprefix("cookie/")), "Set-Cookie"):
                assert not set(cookie) & set("\r\n\0")
                assert "=" in cookie
                cookie.encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "path", "shown"),
    [
        ("/cookie/KEY", "/cookie/KEY", "/cookie/..."),
        ("/push/cookie/KEY", "/push/cookie/KEY", "/cookie/..."),
        ("/%63ookie/KEY", "/cookie/KEY", "/cookie/..."),
        ("/csp/send", "/csp/send", "/csp/send"),
    ],
)
def test_A13_a_key_is_not_in_the_access_log(raw, path, shown):
    assert loggable(raw, path) == shown
