"""What `hookbox check` and `hookbox doctor` judge, without a server: silence, URLs, cookies, answers, reports."""

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.protocol.json_text import BadJSON
from hookbox.settings import Settings
from hookbox.tool.check.asking import Exchange
from hookbox.tool.check.judging import Tried, judge
from hookbox.tool.check.questions import Trial
from hookbox.tool.doctor.application import address, cookie_passage
from hookbox.tool.doctor.case import Case, Learned
from hookbox.tool.doctor.comet import Unpacker, frames_in
from hookbox.tool.doctor.command import PROBES
from hookbox.tool.doctor.idle import Watch, judge_idle
from hookbox.tool.doctor.mends import common_parent
from hookbox.tool.doctor.origins import _fault, within
from hookbox.tool.findings import Grade, exit_code, note, ok, warning, wrong
from hookbox.tool.places import Place, read_place
from hookbox.tool.problems import ToolError
from hookbox.tool.report import remedies, summary
from hookbox.tool.tables import width
from hookbox.tool.wire import MOST_READ, Flow
from hookbox.webhooks.asked import Asked, Verdict
from hookbox.webhooks.gate import Question
from hookbox.webhooks.hints import hint_for
from hookbox.webhooks.option_faults import KNOWN, option_fault


def test_nothing_of_it_imports_gevent_Z1():
    code = (
        "import sys, hookbox.tool.check.command, hookbox.tool.doctor.command; "
        "print([name for name in sys.modules if 'gevent' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# what reached the application


def case_with(webhook, **about):
    learned = Learned(connection="c1", webhook=webhook, own_address="198.51.100.9", peer_address="192.0.2.1", **about)
    return Case(Place("http", "a.example", 80), cookies="sessionid=1; theme=dark", marker="mark", learned=learned)


@pytest.mark.parametrize(
    ("client_ip", "bad"),
    [("198.51.100.9", []), ("8.8.8.8", []), ("127.0.0.1", ["address"]), ("10.0.0.5", ["address"])],
)
def test_a_proxy_that_is_taken_for_every_browser_is_named(client_ip, bad):
    found = list(address(case_with({"client_ip": client_ip})))
    assert [one.key for one in found if one.grade is Grade.WARNING] == bad
    if bad:
        assert f"--trusted-proxy {client_ip}" in found[0].mend


@pytest.mark.parametrize(
    ("arrived", "grade"),
    [
        (["mark", "sessionid", "theme"], Grade.OK),
        (["sessionid"], Grade.OK),  # the one that -c names
        ([], Grade.WRONG),
        (["mark"], Grade.WRONG),
    ],
)
def test_cookies_that_get_lost_on_the_way_are_named(arrived, grade):
    (finding,) = cookie_passage(case_with({"cookies": arrived}))
    assert finding.grade is grade


# silence


@pytest.mark.parametrize(
    ("watches", "grade"),
    [
        ([Watch("request", 30.0, cut=True)], Grade.WRONG),  # 30 s, pings every 25 s
        ([Watch("request", 24.9, cut=True), Watch("WebSocket", 52.0, cut=False)], Grade.WRONG),
        ([Watch("request", 60.0, cut=True)], Grade.OK),
        ([Watch("request", 40.0, cut=False)], Grade.OK),  # no request of comet is silent for longer
        ([Watch("request", 20.0, cut=False)], Grade.NOTE),
        ([], Grade.NOTE),
    ],
)
def test_a_timeout_has_to_be_above_twice_the_ping_interval(watches, grade):
    finding = judge_idle(watches, 25.0)
    assert (finding.key, finding.grade) == ("idle_timeout", grade)
    if grade is Grade.WRONG:
        assert "proxy_read_timeout 75s;" in finding.mend


# URLs


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://Example.com/realtime/", "https://example.com/realtime"),
        ("example.com/realtime", "https://example.com/realtime"),
        ("example.com:8443", "https://example.com:8443"),
        ("example.com:8001", "http://example.com:8001"),
        ("localhost", "http://localhost"),
        ("localhost:8001/ws", "http://localhost:8001"),
        ("192.168.0.7:8001", "http://192.168.0.7:8001"),
        ("[::1]:8001", "http://[::1]:8001"),
        ("wss://example.com/realtime/ws", "https://example.com/realtime"),
        ("ws://example.com", "http://example.com"),
        ("http://example.com:80/a?b#c", "http://example.com/a"),
        ("http://bücher.example/", "http://xn--bcher-kva.example"),
        (" 'http://a.example' ", "http://a.example"),
    ],
)
def test_a_url_is_read_as_people_type_it(typed, url):
    assert read_place(typed, "URL", ("/ws",)).url == url


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_an_error_that_says_so(typed):
    try:
        place = read_place(typed, "URL")
    except ToolError as error:
        assert error.exit_code == 2
    else:
        assert place.scheme in ("http", "https")
        assert place.host.isascii()


# cookies


@pytest.mark.parametrize(
    ("raw", "page", "place", "key"),
    [
        ("s=1", "http://localhost:8000", "http://localhost:8001", None),
        ("s=1", "http://localhost:8000", "http://127.0.0.1:8001", "cookie_host"),
        ("s=1", "https://www.a.example", "https://rt.a.example", "cookie_host"),
        ("s=1; Domain=.a.example", "https://www.a.example", "https://rt.a.example", None),
        ("s=1; Domain=www.a.example", "https://www.a.example", "https://rt.a.example", "cookie_host"),
        ("s=1; Secure", "https://a.example", "https://a.example:8443", None),
        ("s=1; Secure", "https://a.example", "http://a.example", "cookie_secure"),
        ("s=1; Path=/", "http://a.example", "http://a.example/realtime", None),
        ("s=1; Path=/real", "http://a.example", "http://a.example/realtime", "cookie_path"),
        ("s=; Max-Age=0", "http://a.example", "http://b.example", None),
    ],
)
def test_a_cookie_of_the_page_comes_along_or_not(raw, page, place, key):
    finding = _fault(raw, read_place(page, ""), read_place(place, ""))
    assert (finding.key if finding else None) == key


def test_a_domain_covers_its_subdomains_but_no_address():
    assert within("a.b.example", "b.example")
    assert not within("ab.example", "b.example")
    assert not within("10.0.0.1", "0.0.1")
    assert common_parent("www.a.example", "rt.a.example") == "a.example"
    assert common_parent("a.example", "b.example") == common_parent("10.1.2.3", "10.0.2.3") == ""


# answers


def asked(action="connect", verdict=Verdict.FAILED, **about):
    body = about.get("body", b"")
    about.setdefault("size", len(body))
    return Asked("k", 0.0, Question(action, {}), "http://app.example:8000/hookbox/connect", verdict, **about)


HTML = "text/html; charset=utf-8"
DJANGO_HOST = b"""DisallowedHost at /hookbox/connect
Invalid HTTP_HOST header: '127.0.0.1:8000'. You may need to add '127.0.0.1' to ALLOWED_HOSTS.

Installed Middleware:
['django.middleware.csrf.CsrfViewMiddleware']"""
DJANGO_SLASH = b"""RuntimeError at /hookbox/connect
You called this URL via POST, but the URL doesn't end in a slash and you have APPEND_SLASH set. Django can't"""
RAILS_FORBIDDEN = b'<html><meta name="csrf-token" content="x"><title>Not yours</title>'


@pytest.mark.parametrize(
    ("about", "key"),
    [
        ({"why": "http://app.example:8000: Connection refused"}, "refused"),
        ({"why": "http://app.example:8000: no complete answer within 5 s"}, "slow"),
        ({"why": "http://app.example:8000: no connection within 2 s"}, "unreachable"),
        ({"why": "http://app.example:8000: Name or service not known"}, "unknown_host"),
        ({"why": "http://app.example:8000: TLS: certificate verify failed"}, "tls"),
        ({"why": "http://app.example:8000: unusable answer: not HTTP/1.x"}, "not_http"),
        ({"why": "http://app.example:8000: connection closed without an answer"}, "broken"),
        ({"why": "not asked: too many wait", "verdict": Verdict.NOT_ASKED}, "not_asked"),
        ({"status": 301, "location": "/hookbox/connect/"}, "trailing_slash"),
        ({"status": 308, "location": "https://app.example:8000/hookbox/connect"}, "https_redirect"),
        ({"status": 301, "location": "http://www.app.example:8000/hookbox/connect"}, "host_redirect"),
        ({"status": 302, "location": "/accounts/login/?next=/hookbox/connect"}, "login_redirect"),
        ({"status": 302, "location": "/?next=%2Fhookbox"}, "login_redirect"),
        ({"status": 302, "location": "/elsewhere"}, "redirect"),
        ({"status": 302}, "redirect"),
        ({"status": 302, "location": "http://[/"}, "redirect"),
        ({"status": 403, "body": b"CSRF verification failed"}, "csrf"),
        ({"status": 422, "body": b"ActionController::InvalidAuthenticityToken"}, "csrf"),
        ({"status": 419, "body": b"<title>Page Expired</title>"}, "csrf"),
        ({"status": 400, "body": b"<h1>DisallowedHost at /hookbox/connect</h1>"}, "host_check"),
        ({"status": 400, "body": DJANGO_HOST}, "host_check"),
        ({"status": 400, "body": b"BadRequest at /\n['django.middleware.csrf.CsrfViewMiddleware']"}, "bad_request"),
        ({"status": 403, "body": RAILS_FORBIDDEN, "content_type": HTML}, "forbidden"),
        ({"status": 400, "body": b"<p>The CSRF token is missing.</p>"}, "csrf"),
        ({"status": 403, "body": b"ForbiddenError: invalid csrf token"}, "csrf"),
        ({"status": 403, "body": b"'_xsrf' argument missing from POST"}, "csrf"),
        ({"status": 500, "body": DJANGO_SLASH}, "trailing_slash"),
        ({"status": 500, "body": b"ValueError at /hookbox/connect\nnot enough values"}, "error_page"),
        ({"status": 500, "body": b"<html><title>Server Error</title>", "content_type": HTML}, "error_page"),
        ({"status": 500, "body": b"oops"}, "error"),
        ({"status": 401}, "unauthorized"),
        ({"status": 403}, "forbidden"),
        ({"status": 404}, "not_found"),
        ({"status": 405}, "method"),
        ({"status": 418}, "status"),
        ({"status": 200, "body": b"<!doctype html><title>Shop</title>", "content_type": HTML}, "html_page"),
        ({"status": 200, "body": b"<html><input type='password'>", "content_type": HTML}, "login_page"),
        ({"status": 200, "body": b"[True, {}]"}, "not_json"),
        ({"status": 200, "body": b"\xef\xbb\xbf[true, {}]"}, "not_json"),
        ({"status": 200, "body": b'"[true, {}]"'}, "shape"),
        ({"status": 200, "body": b"[true]"}, "shape"),
        ({"status": 200, "verdict": Verdict.REFUSED, "why": "Wrong secret."}, "secret"),
        ({"status": 200, "verdict": Verdict.REFUSED, "why": "please log in"}, None),
        ({"status": 200, "verdict": Verdict.REFUSED, "why": "that room is secret"}, None),
        ({"status": 200, "verdict": Verdict.ALLOWED, "body": b'[true, {"name": "ann"}]'}, None),
        ({"status": 200, "verdict": Verdict.ALLOWED, "body": b'[true, {"name": {}}]'}, "option"),
    ],
)
def test_what_is_wrong_with_an_answer_has_a_name_and_a_remedy(about, key):
    hint = hint_for(asked(**about))
    assert (hint.key if hint else None) == key
    if hint:
        assert hint.what
        assert hint.mend


def test_a_401_is_not_taken_for_a_fault_alone():
    hint = hint_for(asked(status=401))
    assert "ends the session" in hint.what
    assert hint.mend.startswith("If it means that, all is well.")


def test_an_error_is_called_by_its_name_also_where_it_is_plain_text():
    hint = hint_for(asked(status=500, body=b"ValueError at /hookbox/connect\nnot enough values"))
    assert "“ValueError at /hookbox/connect”" in hint.what


def test_an_answer_that_somebody_waits_for_is_slow_above_a_second():
    about = asked(status=200, verdict=Verdict.ALLOWED, body=b"[true, {}]")
    trial = Trial(about.question)
    about.took = 0.9
    assert "slow" not in [one.key for one in judge([Tried(trial, Exchange(about))], Settings())]
    about.took = 1.1
    (found,) = [one for one in judge([Tried(trial, Exchange(about))], Settings()) if one.key == "slow"]
    assert found.grade is Grade.WARNING


@given(st.integers(0, 599), st.binary(max_size=200), st.sampled_from(Verdict), st.text(max_size=50), st.text(max_size=50))
def test_anything_that_becomes_of_a_webhook_can_be_explained(status, body, verdict, location, why):
    hint_for(asked(status=status, body=body, verdict=verdict, location=location, why=why))


@pytest.mark.parametrize("action", [*KNOWN, "create_channel"])
def test_an_option_that_a_webhook_does_not_have_is_named(action):
    assert "wholly_unknown" in option_fault(action, {"wholly_unknown": 1})
    assert option_fault(action, {}) == ""


# reports


def test_a_report_fits_and_has_the_worst_first():
    findings = [
        ok("a", "fine"),
        note("b", "good to know"),
        warning("c", "a long story " * 20, "seen\x1b[2J", "Do this.\nAnd that:\n    code " + "x" * 90),
        wrong("d", "broken"),
    ]
    text = remedies(findings, 60)
    assert [line.split()[0] for line in text.splitlines() if line[:1].isupper()] == ["WRONG", "WARNING", "NOTE"]
    assert "\x1b" not in text
    assert all(width(line) <= 60 for line in text.splitlines() if "code" not in line)
    assert "      code " + "x" * 90 in text, "what is to be put in stays whole"
    assert summary(findings) == "1 thing is wrong, 1 warning, 1 note; 1 ok\n"
    assert summary(findings[:1]) == "All is well.\n"
    assert (exit_code(findings), exit_code(findings[:3])) == (1, 0)


def test_the_frames_of_batches_are_read_whatever_is_around_them():
    text = '([[1, 0, "[1, \\"ERROR\\", {}]\\r\\n"]])\n([])\n([[2, 1, "WzIsICJYIiwge31dDQo"]])\n([['
    assert frames_in(text) == [[1, "ERROR", {}], [2, "X", {}]]


def test_every_probe_is_on_the_manuals_page():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    missing = [name for name in PROBES if f"`{name}`" not in page]
    assert not missing


def test_a_place_says_what_a_browser_would():
    place = Place("https", "::1", 8443, "/realtime")
    assert (place.origin, place.url) == ("https://[::1]:8443", "https://[::1]:8443/realtime")


# servers that mean no good


def test_a_head_that_comes_drop_by_drop_is_no_answer_in_time():
    ours, theirs = socket.socketpair()
    ours.settimeout(0.3)

    def drip():
        with theirs, suppress(OSError):
            while True:
                theirs.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.01)

    threading.Thread(target=drip, daemon=True).start()
    with pytest.raises(TimeoutError):
        Flow(ours, Place("http", "localhost", 1), "GET", "/")


def test_what_is_packed_is_unpacked_as_far_as_it_helps():
    bomb = gzip.compress(b"x" * (2 * MOST_READ))
    assert len(Unpacker("gzip").feed(bomb)) <= MOST_READ
    with pytest.raises(ValueError, match="gzip"):
        Unpacker("gzip").feed(b"plain")
    assert Unpacker("").feed(b"plain") == b"plain"


def test_frames_without_bottom_are_malformed():
    with pytest.raises(BadJSON):
        frames_in(f"([[1, 0, {json.dumps('[' * 50_000)}]])")
