"""What the hub is asked for: parameters, names of topics, callbacks."""

import time
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.egress import Mode, Policy, read_url
from hookbox.delivery.hub.fetch import own_name
from hookbox.delivery.hub.request import Dialect, FatPing, Ping, Reader, Wanted
from hookbox.delivery.hub.topics import Topic, Topics, may_be_subscribed, normalized
from hookbox.errors import BadRequest

PUBLIC = "http://hub.example"
TOPICS = Topics(PUBLIC)
READER = Reader(TOPICS, Policy(Mode.PUBLIC).check)
GOOD = {"hub.mode": "subscribe", "hub.topic": "news", "hub.callback": "http://reader.example/cb"}


def read(query="", content_type="", reader=READER, **changes):
    fields = GOOD | {name.replace("hub_", "hub.", 1): value for name, value in changes.items()}
    body = urlencode({name: value for name, value in fields.items() if value is not None})
    return reader.read(content_type, body.encode(), query.encode())


def refusal(**changes):
    with pytest.raises(BadRequest) as caught:
        read(**changes)
    return caught.value.status, caught.value.reason


def test_WD_H100_mode_topic_and_callback_are_enough():
    assert read() == Wanted("subscribe", Topic("news", True), "news", "http://reader.example/cb")
    assert read(content_type="application/x-www-form-urlencoded; charset=utf-8") == read()


def test_WD_H102_unknown_parameters_do_not_matter():
    assert read(foo="bar", hub_foo="bar") == read()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hub_callback": None}, "hub.callback is missing"),
        ({"hub_callback": ""}, "hub.callback is missing"),
        ({"hub_mode": None}, "hub.mode is missing"),
        ({"hub_mode": "dance"}, "hub.mode has to be"),
        ({"hub_mode": ""}, "hub.mode has to be"),
        ({"query": "hub.mode=unsubscribe"}, "two different things"),
        ({"hub_topic": None}, "hub.topic is missing"),
        ({"hub_callback": "reader"}, "not a URL"),
        ({"hub_callback": "ftp://reader.example/"}, "not a URL"),
        ({"hub_callback": "http://reader.example/cb#here"}, "fragment"),
        ({"hub_callback": "http://a:b@reader.example/cb"}, "name and password"),
        ({"hub_callback": "http://reader.example/" + "x" * 2048}, "longer than 2048"),
        ({"hub_callback": "http://reader.example/\x01"}, "control characters"),
        ({"hub_topic": "news#now"}, "fragment"),
        ({"hub_topic": "http://there.example/#now"}, "fragment"),
        ({"hub_topic": "ftp://there.example/"}, "not a URL"),
        ({"hub_topic": "room:lobby"}, "not a URL"),
        ({"hub_topic": "x" * 201}, "201 characters"),
        ({"hub_topic": "http://a:b@there.example/"}, "name and password"),
        ({"hub_topic": f"{PUBLIC}/topic/"}, "0 characters"),
        ({"hub_topic": f"{PUBLIC}/topic/x?y"}, "no query"),
        ({"hub_topic": f"{PUBLIC}/topic/%FF"}, "not UTF-8"),
        ({"hub_topic": f"{PUBLIC}/topic/%00"}, "control and format"),
        ({"hub_secret": "x" * 200}, "200 bytes"),
        ({"hub_secret": "\u00e9" * 100}, "200 bytes"),
        *(({"hub_lease_seconds": bad}, "hub.lease_seconds has to be") for bad in ("0", "00", "-1", "abc", "1.5", "+1", "\u0661")),
        ({"hub_verify": "foo"}, "hub.verify has to be"),
        ({"hub_verify": ""}, "hub.verify has to be"),
    ],
)  # fmt: skip
def test_WD_H10_what_is_wrong_is_said_in_a_sentence(changes, says):
    status, reason = refusal(**changes)
    assert status == 400
    assert says in reason


def test_WD_H10_the_longest_secret_and_the_shortest_lease_are_fine():
    assert read(hub_secret="x" * 199, hub_lease_seconds="1").secret == "x" * 199
    assert read(hub_lease_seconds="1").lease == 1
    assert read(hub_lease_seconds="9" * 5000).lease == 10**15


def test_empty_is_absent():
    assert read(hub_secret="", hub_lease_seconds="") == read()


@pytest.mark.parametrize(
    "bad", ["http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://a.example:22/"]
)
def test_a_callback_that_is_not_sent_to_is_refused(bad):
    status, reason = refusal(hub_callback=bad)
    assert status == 403
    assert reason.startswith("hub.callback cannot be used: blocked")


def test_other_content_types_are_refused_but_to_publish():
    assert refusal(content_type="application/json")[0] == 415
    assert refusal(content_type="application/json", query="hub.mode=subscribe")[0] == 415
    assert (
        refusal(content_type="multipart/form-data; boundary=x", query="hub.mode=publish&hub.topic=x")[0]
        == 415
    )
    ping = READER.read("application/json", b"[1]", b"hub.mode=publish&hub.topic=news")
    assert ping == FatPing(Topic("news", True), "application/json", b"[1]")
    assert READER.read("text/plain", b"", b"hub.mode=publish&hub.topic=news") == Ping((Topic("news", True),))
    with pytest.raises(BadRequest, match="named once"):
        READER.read("text/plain", b"x", b"hub.mode=publish&hub.topic=a&hub.topic=b")


def test_the_query_says_what_the_body_does_not():
    both = READER.read(
        "", b"hub.topic=news", b"hub.mode=subscribe&hub.topic=other&hub.callback=http://r.example/"
    )
    assert (both.mode, both.text, both.callback) == ("subscribe", "news", "http://r.example/")


def test_WD_H16_pings_name_topics_in_both_ways():
    body = b"hub.mode=publish&hub.url=a&hub.topic=b&hub.url=a&hub.url=" + PUBLIC.encode() + b"/topic/c%252Fd"
    ping = READER.read("", body, b"hub.topic=e")
    assert [topic.name for topic in ping.topics] == ["a", "b", "c/d", "e"]
    for count, right in ((100, True), (101, False)):
        body = "&".join(["hub.mode=publish", *(f"hub.url=t{n}" for n in range(count))]).encode()
        if right:
            assert len(READER.read("", body, b"").topics) == 100
        else:
            with pytest.raises(BadRequest, match="more than 100"):
                READER.read("", body, b"")
    with pytest.raises(BadRequest, match="has to say what has changed"):
        READER.read("", b"hub.mode=publish", b"")


def test_WD_H19_the_first_known_word_of_the_old_dialect_counts():
    assert (read(hub_verify="sync").waits, read(hub_verify="async").waits) == (True, False)
    several = READER.read(
        "",
        urlencode(
            [*GOOD.items(), ("hub.verify", "foo"), ("hub.verify", "async"), ("hub.verify", "sync")]
        ).encode(),
        b"",
    )
    assert (several.dialect, several.waits) == (Dialect.OLD, False)
    assert read(hub_verify="foo, sync").waits
    new = Reader(TOPICS, READER.check, old_dialect=False)
    for verify in ("sync", "foo"):
        found = new.read("", urlencode(GOOD | {"hub.verify": verify, "hub.verify_token": "t"}).encode(), b"")
        assert found == read()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP://Example.COM/", "http://example.com"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com/%7Ea%2d", "http://example.com/~a-"),
        ("http://example.com?q=%41", "http://example.com/?q=A"),
    ],
)
def test_urls_that_mean_the_same_are_one_topic(one, other):
    assert TOPICS.read(one) == TOPICS.read(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com/a", "http://example.com/A"),
        ("http://example.com/", "https://example.com/"),
        ("http://example.com/%2F", "http://example.com//"),
        ("http://example.com/%2f", "http://example.com/%2F"),
        ("http://example.com/?", "http://example.com/"),
        ("http://example.com/a/../b", "http://example.com/b"),
        ("http://example.com:8080/", "http://example.com/"),
    ],
)
def test_nothing_else_is_taken_for_the_same(one, other):
    assert TOPICS.read(one) != TOPICS.read(other)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1, max_size=200))
def test_the_url_of_a_topic_is_read_as_that_topic(name):
    if not name.startswith("$") and not name.startswith(("http://", "https://")):
        assert TOPICS.read(TOPICS.url(name)) == Topic(name, True)


def test_topics_have_urls_below_a_path_too():
    topics = Topics("https://example.com/realtime/")
    assert topics.url("room:1/a b") == "https://example.com/realtime/topic/room%3A1%2Fa%20b"
    assert topics.hub_url == "https://example.com/realtime/hub"
    assert topics.read("https://EXAMPLE.com:443/realtime/topic/%6Eews") == Topic("news", True)
    assert not topics.read("https://example.com/topic/news").own


def test_which_topics_a_hub_is_for():
    own, there = Topic("news", True), Topic("http://There.example/", False)
    assert may_be_subscribed(own, "own", ())
    assert not may_be_subscribed(there, "own", ())
    assert may_be_subscribed(there, "any", ())
    assert may_be_subscribed(there, "own", ("THERE.example",))


@given(
    st.binary(max_size=300),
    st.binary(max_size=60).map(lambda b: b.replace(b"\x00", b"")),
    st.sampled_from(["", "text/plain", "a", ";", "multipart/x"]),
)
def test_any_request_is_understood_or_refused(body, query, content_type):
    try:
        found = READER.read(content_type, body, query)
    except BadRequest as error:
        assert error.status in (400, 403, 415)
        assert error.reason.isprintable()
    else:
        assert isinstance(found, Wanted | Ping | FatPing)


_values = st.text(max_size=30) | st.sampled_from(
    ["subscribe", "publish", "http://a.example/", "sync", "news", "60"]
)
_names = st.sampled_from(
    [f"hub.{n}" for n in "mode topic url callback lease_seconds secret verify verify_token".split()]
)


@given(st.lists(st.tuples(_names, _values), max_size=8), st.lists(st.tuples(_names, _values), max_size=3))
def test_any_parameters_are_understood_or_refused(body, query):
    try:
        READER.read(
            "",
            urlencode(body, errors="surrogatepass").encode(),
            urlencode(query, errors="surrogatepass").encode(),
        )
    except BadRequest as error:
        assert error.status in (400, 403)
        assert error.reason


_queries = st.lists(st.tuples(st.text("abc.hub", min_size=1), st.text("xyz%&=+ \u00e9")), max_size=4)


@given(st.booleans(), _queries, _queries)
def test_WD_H09_parameters_are_put_behind_what_a_callback_has_already(slash, own, more):
    callback = "http://reader.example" + ("/" if slash else "") + ("?" + urlencode(own) if own else "")
    target = read_url(callback).with_query(urlencode(more)).target
    assert target.startswith(read_url(callback).target)
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == own + more


@given(st.text(max_size=100))
def test_writing_a_url_as_it_is_compared_changes_nothing_the_second_time(text):
    url = "http://example.com/" + text.encode("ascii", "ignore").decode().replace("[", "").replace("]", "")
    assert normalized(normalized(url)) == normalized(url)


@pytest.mark.parametrize(
    ("links", "name"),
    [
        (['<http://a.example/feed>; rel="self"'], "http://a.example/feed"),
        (['<http://h.example/>; rel="hub", </feed>; rel=self'], "http://a.example/feed"),
        (
            ['<http://h.example/>; rel="hub"', '<feed2>; title="x, y"; rel="alternate self"'],
            "http://a.example/feed2",
        ),
        (['<http://b.example/feed>; rel="self"'], ""),
        (['<javascript:x>; rel="self"'], ""),
        (["<http://[>; rel=self"], ""),
        (["rel=self", "<", "<>; rel="], ""),
        ([], ""),
    ],
)
def test_what_a_page_calls_itself_counts_if_it_is_on_its_own_host(links, name):
    assert own_name("http://a.example/x", links) == name


@pytest.mark.parametrize("link", ["<" * 32_000, "<a>;" + "a=;" * 10_000, '<a>;a="' * 4_000])
def test_no_page_can_keep_the_server_busy_with_its_links(link):
    began = time.process_time()
    own_name("http://a.example/x", [link])
    assert time.process_time() - began < 5
