"""Where deliveries may go: each row of the table, as a literal and as what a name leads to."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.deliveries import addresses_of, policy_from
from hookbox.delivery.egress import LOCAL, NOWHERE, BadURL, Blocked, Destination, Mode, Policy, Rule, read_url
from hookbox.settings import Settings
from hookbox.web.listen import listen

PUBLIC = Policy()
NAME = Destination("https", "hooks.example.com", 443, "/")
WORLD = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]


def edges(table):
    networks = map(ip_network, table)
    return sorted({str(address) for network in networks for address in (network[0], network[-1])})


def literal(address):
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


@pytest.mark.parametrize("address", edges({**LOCAL, **NOWHERE}))
def test_G01_no_address_of_the_table_is_reached(address):
    with pytest.raises(Blocked, match="^blocked: "):
        PUBLIC.check(literal(address))
    with pytest.raises(Blocked, match=str(ip_address(address))):
        PUBLIC.judge(NAME, [ip_address(address)])


@pytest.mark.parametrize("address", ["4000::1", "8000::", "1::1", "::ffff:0:0:0"])
def test_G01_nor_what_lies_outside_of_the_public_ipv6_addresses(address):
    with pytest.raises(Blocked):
        PUBLIC.check(literal(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_G01_ipv4_in_ipv6_is_judged_as_ipv4(address):
    with pytest.raises(Blocked, match=address):
        PUBLIC.check(f"http://[::ffff:{address}]/")
    with pytest.raises(Blocked):
        PUBLIC.check(f"http://[64:ff9b::{address}]/")
    assert PUBLIC.check("http://[::ffff:93.184.216.34]/")


@pytest.mark.parametrize("address", WORLD)
def test_the_rest_of_the_world_is_reached(address):
    assert PUBLIC.check(literal(address)).address == ip_address(address)
    assert PUBLIC.judge(NAME, [ip_address(address)]) == [ip_address(address)]


def test_G02_of_several_addresses_only_the_good_ones_are_used():
    mixed = [ip_address(text) for text in ("10.0.0.1", WORLD[0], "::1", WORLD[1])]
    assert PUBLIC.judge(NAME, mixed) == [ip_address(text) for text in WORLD]
    with pytest.raises(Blocked, match="no address"):
        PUBLIC.judge(NAME, [])


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "1.2.3", "127.0.0.1.", "0"]
)
def test_G05_numbers_that_some_take_for_addresses_are_refused(host):
    with pytest.raises((Blocked, BadURL)):
        PUBLIC.check(f"http://{host}/")


@pytest.mark.parametrize("port", [22, 25, 3306, 6379, 9000])
def test_other_ports_than_those_of_the_web_are_refused(port):
    for host in ("hooks.example.com", WORLD[0]):
        with pytest.raises(Blocked, match=f"port {port}.*egress_ports"):
            PUBLIC.check(f"http://{host}:{port}/")
    assert Policy(ports=frozenset({port})).check(f"http://hooks.example.com:{port}/").port == port
    assert Policy(Mode.INTERNAL).check(f"http://hooks.example.com:{port}/").port == port


def test_G06_the_server_itself_is_never_reached():
    own = frozenset({("127.0.0.1", 8001), ("93.184.216.34", 80)})
    with pytest.raises(Blocked, match="this server itself"):
        Policy(own=own).check("http://93.184.216.34/")
    with pytest.raises(Blocked, match="this server itself"):
        Policy(Mode.INTERNAL, own=own, allow=(Rule.read("127.0.0.1"),)).check("http://127.0.0.1:8001/")
    assert Policy(Mode.OFF, own=own).check("http://127.0.0.1:8001/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]", "[::ffff:127.0.0.3]", "0.0.0.0"]
)
@pytest.mark.parametrize("interface", ["0.0.0.0", "::"])
def test_G06_who_listens_everywhere_is_reached_under_no_address_of_this_machine(host, interface):
    with listen(interface, 0) as door:
        port = door.getsockname()[1]
        settings = Settings(egress="internal", egress_allow=("127.0.0.0/8", "0.0.0.0/8"))
        policy = policy_from(settings, addresses_of([door]))
        with pytest.raises(Blocked, match="this server itself"):
            policy.check(f"http://{host}:{port}/")
        assert policy.check(f"http://{host}:{port ^ 1}/")
        assert policy.check(f"http://10.9.8.7:{port}/")


@pytest.mark.parametrize("address", edges(LOCAL))
def test_G07_internal_reaches_the_local_network(address):
    assert Policy(Mode.INTERNAL).check(literal(address))


@pytest.mark.parametrize("address", edges(NOWHERE))
def test_G07_but_never_metadata_multicast_and_the_like(address):
    with pytest.raises(Blocked):
        Policy(Mode.INTERNAL).check(literal(address))
    assert Policy(Mode.OFF).check(literal(address))


@pytest.mark.parametrize(
    ("allow", "deny", "url", "passes"),
    [
        ("10.1.0.0/16", "", "http://10.1.2.3/", True),
        ("10.1.0.0/16", "", "http://10.2.2.3/", False),
        ("10.1.0.0/16", "10.1.2.0/24", "http://10.1.2.3/", False),
        ("10.1.2.3:9000", "", "http://10.1.2.3:9000/", True),
        ("10.1.2.3:9000", "", "http://10.1.2.3/", False),
        ("[fd00::1]:80", "", "http://[fd00::1]/", True),
        ("fd00::/8", "", "http://[fd00::1]:9000/", True),
        ("hooks.internal:9000", "", "http://hooks.internal:9000/", True),
        ("*.example.com:9000", "", "http://a.b.example.com:9000/", True),
        ("*.example.com:9000", "", "http://example.com:9000/", False),
        ("", "*.example.com", "https://evil.example.com/", False),
        ("", "example.com", "https://good.example.com/", True),
        ("", "example.com", "https://EXAMPLE.com./", False),
        ("", "93.184.216.34", "http://93.184.216.34/", False),
    ],
)
def test_G07_deny_wins_over_allow_and_allow_over_the_table(allow, deny, url, passes):
    policy = Policy(
        allow=tuple(map(Rule.read, filter(None, [allow]))), deny=tuple(map(Rule.read, filter(None, [deny])))
    )
    if passes:
        policy.check(url)
    else:
        with pytest.raises(Blocked):
            policy.check(url)


def test_G07_what_is_allowed_by_name_may_be_anywhere():
    policy = Policy(allow=(Rule.read("hooks.example.com"),))
    assert policy.judge(NAME, [ip_address("10.0.0.1")])
    with pytest.raises(Blocked):
        policy.judge(Destination("https", "other.example.com", 443, "/"), [ip_address("10.0.0.1")])


def test_only_https_where_that_was_asked_for():
    with pytest.raises(Blocked, match="https_only"):
        Policy(https_only=True).check("http://hooks.example.com/")
    assert Policy(https_only=True).check("https://hooks.example.com/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://a..b/",
        "http://-a-/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://example.com/\x00",
        "http://example.com\\@evil.com/",
        "http://example.com:0/",
        "http://example.com:70000/",
        "http://example.com:x/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[::g]/",
        "http://" + "a" * 64 + "\u00e9.com/",
        "http://example.com/é",
        "http://example.com/" + "a" * 2048,
        "http://" + "a." * 127 + "aa/",
    ],
)
def test_what_is_no_url_is_told_so(url):
    with pytest.raises(BadURL):
        read_url(url)


def test_what_a_url_says():
    url = "https://Ann:s3cret@Hooks.Exämple.com:8443/a%20b?x=1&y#part"
    destination = read_url(url)
    assert destination == Destination("https", "hooks.xn--exmple-cua.com", 8443, "/a%20b?x=1&y", "Ann:s3cret")
    assert destination.authority == "hooks.xn--exmple-cua.com:8443"
    assert "s3cret" not in repr(destination)
    assert read_url("http://example.com").target == "/"
    assert read_url("http://[2001:DB8::1]:8080/").origin == "http://[2001:db8::1]:8080"


@pytest.mark.parametrize("text", ["", "a:b", "a:99999", "*", "a b", "10.0.0.0/33", "http://x/", ":80"])
def test_a_rule_that_cannot_be_read_is_told(text):
    with pytest.raises(ValueError, match="not a network"):
        Rule.read(text)


@given(st.text(max_size=60))
def test_any_text_is_a_destination_or_no_url(text):
    try:
        destination = PUBLIC.check("http://" + text)
    except (BadURL, Blocked):
        return
    assert destination.port in PUBLIC.ports
    assert destination.host.isascii()
