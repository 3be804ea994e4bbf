"""Whose pages may come in (A1), and whose word about addresses counts (A18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.web.origin import OriginRule, ProxyRule, plain_address

ANY = OriginRule()
LISTED = OriginRule(["https://app.example", "http://dev.example:3000", "https://[2001:db8::1]:8443"])
HOST = "hook.example:8001"


@pytest.mark.parametrize("rule", [ANY, LISTED], ids=["default", "listed"])
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://hook.example", HOST),
        ("http://hook.example:8000", HOST),
        ("https://hook.example", HOST),
        ("http://HOOK.example:8000", HOST),
        ("http://hook.example:8000", "Hook.Example"),
        ("http://127.0.0.1:8000", "127.0.0.1:8001"),
        ("http://[::1]:8000", "[::1]:8001"),
        ("http://[::1]", "[::1]"),
        ("http://hook.example.", "hook.example"),
        ("http://localhost", "localhost:80"),
    ],
)
def test_A1_pages_of_the_host_asked_may_on_any_port(rule, origin, host):
    assert rule.allows(origin, host)


FOREIGN = {
    "suffix": "http://evilhook.example",
    "suffix with dot": "http://evil.hook.example",
    "prefix": "http://hook.example.evil.com",
    "subdomain": "http://a.hook.example",
    "parent": "http://example",
    "null": "null",
    "empty": "",
    "two": "http://hook.example,http://hook.example",
    "two with blank": "http://hook.example, http://hook.example",
    "two by blank": "http://hook.example http://evil.example",
    "path": "http://hook.example/",
    "longer path": "http://hook.example/x",
    "query": "http://hook.example?",
    "fragment": "http://hook.example#",
    "user": "http://hook.example@evil.example",
    "user before": "http://evil.example@hook.example",
    "no scheme": "hook.example",
    "other scheme": "ftp://hook.example",
    "file": "file://hook.example",
    "extension": "chrome-extension://hook.example",
    "backslash": "http:\\\\hook.example",
    "port no number": "http://hook.example:80a",
    "port too big": "http://hook.example:99999",
    "tab": "http://hook\t.example",
    "host in port": "http://evil.example:hook.example",
    "ipv6 broken": "http://[::1",
    "only scheme": "http://",
    "only port": "http://:80",
    "star": "*",
}


@pytest.mark.parametrize("rule", [ANY, LISTED], ids=["default", "listed"])
@pytest.mark.parametrize("name", FOREIGN)
def test_A1_other_pages_may_not(rule, name):
    assert not rule.allows(FOREIGN[name], HOST)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example", True),
        ("https://app.example:443", True),
        ("HTTPS://APP.example", True),
        ("http://app.example", False),
        ("https://app.example:8443", False),
        ("https://app.example.evil.com", False),
        ("https://www.app.example", False),
        ("https://app.example/", False),
        ("http://dev.example:3000", True),
        ("http://dev.example", False),
        ("http://dev.example:3001", False),
        ("https://dev.example:3000", False),
        ("https://[2001:db8::1]:8443", True),
        ("https://[2001:db8::1]", False),
        ("https://[2001:db8::2]:8443", False),
    ],
)
def test_A1_listed_origins_match_by_scheme_host_and_port(origin, allowed):
    assert LISTED.allows(origin, HOST) is allowed
    assert not ANY.allows(origin, HOST)


@pytest.mark.parametrize("rule", [ANY, LISTED], ids=["default", "listed"])
@pytest.mark.parametrize(
    ("site", "allowed"),
    [(None, True), ("same-origin", True), ("none", True), ("cross-site", False), ("same-site", False)],
)
def test_A1_without_an_origin_the_browsers_word_counts(rule, site, allowed):
    assert rule.allows(None, HOST, site) is allowed


def test_A1_an_allowed_origin_is_not_doubted_for_its_site():
    assert ANY.allows("http://hook.example:8000", HOST, "same-site")
    assert LISTED.allows("https://app.example", HOST, "cross-site")


@pytest.mark.parametrize("host", ["", ":80", "[", "[::1", "h:x"])
def test_A1_an_odd_host_allows_nobody(host):
    assert not ANY.allows("http://hook.example", host)
    assert not ANY.allows("http://", host)


@given(st.text(max_size=30), st.text(max_size=30), st.one_of(st.none(), st.text(max_size=12)))
def test_A1_any_text_is_judged(origin, host, site):
    assert ANY.allows(origin, host, site) in (True, False)


@given(
    st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True),
)
def test_A1_hosts_are_compared_whole(page, asked):
    assert ANY.allows(f"http://{page}:1", f"{asked}:2") is (page == asked)


# proxies


PROXIES = ProxyRule(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.1, 192.0.2.1,10.9.9.9", "198.51.100.1"),
        ("10.1.2.3", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("10.1.2.3", "198.51.100.1, nonsense", "10.1.2.3"),
        ("10.1.2.3", "nonsense, 10.0.0.7", "10.0.0.7"),
        ("10.1.2.3", "198.51.100.1:4711", "198.51.100.1"),
        ("10.1.2.3", "[2001:db9::5]:4711", "2001:db9::5"),
        ("10.1.2.3", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("2001:db8::7", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("", "", ""),
    ],
)
def test_A18_the_last_hop_that_is_no_proxy_of_ours_is_the_client(peer, forwarded, client):
    assert PROXIES.client_ip(peer, forwarded) == client


def test_A18_without_trusted_proxies_nobody_is_believed():
    assert ProxyRule().client_ip("127.0.0.1", "198.51.100.1") == "127.0.0.1"
    assert ProxyRule().client_ip("", "198.51.100.1") == ""
    assert not ProxyRule().trusts("")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("_hidden", ""),
        ("192.0.2.256", ""),
        ("", ""),
        ("a.example:80", ""),
        ("[", ""),
    ],
)
def test_addresses_are_read_as_proxies_write_them(text, address):
    assert plain_address(text) == address


@given(st.text(max_size=40))
def test_A18_any_header_gives_an_address(forwarded):
    assert plain_address(PROXIES.client_ip("10.0.0.1", forwarded))
