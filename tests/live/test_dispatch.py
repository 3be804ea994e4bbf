"""Dispatching through a real server to real receivers; nothing here is asked of the parts."""

import http.client
import json
import re
import sqlite3
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from contextlib import closing
from email import message_from_bytes

import pytest
from conftest import assert_clean, eventually
from dispatching import BATCH, FORM, JSON, batch, form, raw, request, rows

from hookbox.testing import DEADLINE, HookboxProcess, Receiver, Reply

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "hookbox.db"


@pytest.fixture(scope="module")
def hookbox(path):
    with HookboxProcess(egress="internal", store=path, leave_grace=0) as process:
        yield process
        assert_clean(process)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def nothing_is_kept(path, hookbox):
    """What the test does leaves nothing in the store."""
    before = rows(path, "SELECT COUNT(*) FROM messages")
    yield
    assert rows(path, "SELECT COUNT(*) FROM messages") == before


def only(receiver):
    """The one request that came."""
    (received,) = receiver.wait_for(1)
    return received


def test_WD_D01_a_form_is_accepted_while_its_receiver_thinks(hookbox, receiver):
    go_on = threading.Event()
    receiver.answer(Reply(wait_for=go_on))
    answer = form(hookbox, ("event", "signup"), ("user", "42"), url=receiver.hook)
    assert not go_on.is_set()
    assert (answer.status, answer.text) == (202, "202 Scheduled")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch("msg_[0-7][0-9A-HJKMNP-TV-Z]{25}", answer.message_id)
    assert answer.headers["location"] == f"/api/v1/messages/{answer.message_id}"
    received = only(receiver)
    go_on.set()
    assert received.body == b"event=signup&user=42"
    assert received.headers["content-type"] == FORM
    assert received.headers["webhook-id"] == answer.message_id


def test_WD_D01_without_a_content_type_it_is_a_form_and_json_tells_more(hookbox, receiver):
    body = f"_url={receiver.hook}&a=1".encode()
    told = request(hookbox, body, {"Accept": "text/html, application/json;q=0.9"}).json
    assert only(receiver).body == b"a=1"
    assert told.keys() == {"message_id", "seq", "deliveries"}
    assert told["deliveries"] == [{"id": only(receiver).headers["hookbox-delivery"], "url": receiver.hook}]


def test_WD_D02_repeats_blanks_order_and_odd_bytes_arrive(hookbox, receiver):
    body = b"event=signup&tag=a&tag=b&empty=&note=caf%C3%A9+%26+tea&%ff=%FEx&plus=%2B&slash=/&tilde=~"
    request(hookbox, b"_url=%s&%s" % (receiver.hook.encode(), body), {"Content-Type": FORM})
    assert only(receiver).body == (
        b"event=signup&tag=a&tag=b&empty=&note=caf%C3%A9+%26+tea&%FF=%FEx&plus=%2B&slash=%2F&tilde=~"
    )


def multipart(*parts, boundary="frontier"):
    lines = []
    for name, content, about in parts:
        lines += [
            b"--frontier",
            f'Content-Disposition: form-data; name="{name}"{about}'.encode(),
            b"",
            content,
        ]
    return b"\r\n".join([*lines, b"--frontier--", b""]), f"multipart/form-data; boundary={boundary}"


def test_WD_D03_a_file_arrives_with_its_name_type_and_bytes(hookbox, receiver):
    content = bytes(range(256)) + b"\r\n--frontie\r\n"
    body, content_type = multipart(
        ("_url", receiver.hook.encode(), ""),
        ("note", "café".encode(), ""),
        ("pic", content, '; filename="a b.png"\r\nContent-Type: image/png'),
        ("note", b"", ""),
    )
    assert raw(hookbox, body, content_type).status == 202
    received = only(receiver)
    assert "frontier" not in received.headers["content-type"]
    head = f"Content-Type: {received.headers['content-type']}\r\n\r\n".encode()
    note, pic, second = message_from_bytes(head + received.body).get_payload()
    assert note.get_payload(decode=True) == "café".encode()
    assert (pic.get_filename(), pic.get_content_type()) == ("a b.png", "image/png")
    assert received.body.count(content) == 1
    assert second.get_payload() == ""


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"a=1&url=http://example.com/", FORM),
        (b'{"_url": "http://example.com/"}', JSON),
        (b"x", "a/b"),
    ],
)
def test_WD_D04_without_a_destination_the_answer_is_hookahs(hookbox, body, content_type):
    answer = request(hookbox, body, {"Content-Type": content_type} if content_type else {})
    assert (answer.status, answer.text) == (400, "400 No destination URL")
    assert answer.headers["content-type"].startswith("text/plain")


def test_WD_D05_unknown_names_pass_a_doubled_underscore_escapes_and_the_first_counts(hookbox, receiver):
    form(hookbox, ("_foo", "1"), ("__url", "2"), ("_delay", "0"), ("_delay", "3600"), url=receiver.hook)
    assert only(receiver).body == b"_foo=1&_url=2"


def test_WD_D06_two_urls_are_two_deliveries_of_one_message(hookbox, receiver):
    with Receiver() as other:
        answer = form(
            hookbox, ("_url", receiver.hook), ("_url", other.hook), ("_url", other.hook), ("a", "1")
        )
        first, second = only(receiver), only(other)
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == answer.message_id
        assert first.headers["hookbox-delivery"] != second.headers["hookbox-delivery"]
        assert (first.body, second.body) == (b"a=1", b"a=1")


@pytest.mark.parametrize(
    ("bad", "status", "says"),
    [
        ("ftp://example.com/", 400, "destination 2 of 3: not an absolute http or https URL"),
        ("http:///path", 400, "destination 2 of 3"),
        ("http://169.254.169.254/meta", 403, "destination 2 of 3: blocked: 169.254.169.254 is link-local"),
        ("http://0x7f.1/", 403, "destination 2 of 3"),
    ],
)
def test_WD_D07_one_bad_destination_of_three_and_nothing_is_sent(hookbox, path, receiver, bad, status, says):
    before = rows(path, "SELECT MAX(seq) FROM messages")
    answer = form(hookbox, ("_url", receiver.hook), ("_url", bad), ("_url", receiver.url))
    assert answer.status == status
    assert says in answer.text
    to = [{"url": url} for url in (receiver.hook, bad, receiver.url)]
    answer = batch(hookbox, to=to, json=1)
    assert (answer.status, says in answer.text) == (status, True)
    assert rows(path, "SELECT MAX(seq) FROM messages") == before
    form(hookbox, ("marker", ""), url=receiver.hook)
    assert only(receiver).body == b"marker="


def test_WD_D08_a_url_and_a_topic_are_both_and_the_body_replaces_the_query(hookbox, receiver):
    (ann,) = hookbox.subscribed("news", "ann")
    query = f"a=query&a=again&b=kept&_tag=outer&_topic=news&_url={receiver.url}/lost"
    answer = form(hookbox, ("a", "body"), url=receiver.hook, query=query)
    assert answer.status == 202
    received = only(receiver)
    assert (received.target, received.body) == ("/hook", b"b=kept&a=body")
    assert received.headers["hookbox-topic"] == "news"
    assert ann.next_publication()["payload"] == {"a": "body", "b": "kept"}


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode], ids=["standard", "url-safe"])
@pytest.mark.parametrize("padding", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("content_type", [JSON, FORM, ""])
def test_WD_D09_the_path_may_hold_the_url(hookbox, receiver, encode, padding, content_type):
    url = f"{receiver.url}/??>>~~??/cb?x=1"
    text = encode(url.encode()).decode()
    assert ("/" in text) == (encode is b64encode)  # it is part of it
    text = text if padding else text.rstrip("=")
    body = b' {"a":  1.50} ' if content_type == JSON else b"_url=http://elsewhere/&a=1"
    headers = {"Content-Type": content_type} if content_type else {}
    answer = request(hookbox, body, headers, path=f"/dispatch/{text}?_tag=t&other=1")
    assert answer.status == 202, answer
    received = only(receiver)
    assert received.target == "/??>>~~??/cb?x=1"
    assert received.body == (b'{"a":  1.50}' if content_type == JSON else body)
    assert received.headers["content-type"] == content_type or "application/octet-stream"


def test_WD_D10_any_body_goes_on_as_it_is_by_header(hookbox, receiver):
    body = bytes(range(256))
    with Receiver() as other:
        answer = request(
            hookbox,
            body,
            [
                ("Content-Type", "image/x-odd; a=b"),
                ("Content-Encoding", "gzip"),
                ("Hookbox-Url", f"{receiver.hook}?a=1,2"),
                ("Hookbox-Url", other.hook),
                ("Hookbox-Type", "picture.taken"),
                ("Hookbox-Header", "X-A: 1, 2"),
                ("Hookbox-Header", "X-B: 3"),
                ("Hookbox-Tag", "a"),
                ("Hookbox-Tag", "b"),
            ],
        )
        assert answer.status == 202, answer
        for received in (only(receiver), only(other)):
            assert received.body == body
            headers = received.headers
            assert (headers["x-a"], headers["x-b"]) == ("1, 2", "3")
            assert headers["content-type"] == "image/x-odd; a=b"
            assert headers["content-encoding"] == "gzip"
            assert headers["hookbox-type"] == "picture.taken"
        assert only(receiver).target == "/hook?a=1,2"


def test_WD_D10_of_a_repeated_header_the_first_counts(hookbox, receiver, path):
    answer = request(
        hookbox,
        b"x",
        [
            ("Content-Type", "text/plain"),
            ("Hookbox-Url", receiver.hook),
            ("Hookbox-Tag", "a"),
            ("Hookbox-Tag", "b"),
        ],
    )
    assert rows(
        path, "SELECT tag FROM deliveries JOIN messages USING (seq) WHERE messages.id = ?", answer.message_id
    ) == [("a",)]


def test_WD_D11_a_batch_is_one_message_to_destinations_of_their_own_kind(hookbox, receiver):
    with Receiver(500, 200) as other:
        answer = batch(
            hookbox,
            json={"näme": [1, 2.0, "x"]},
            type="order.paid",
            topic="orders",
            retry=[0.1],
            to=[
                {
                    "url": receiver.hook,
                    "headers": {"X-A": "1"},
                    "secret": "whsec_" + "A" * 32,
                    "tag": "first",
                },
                {"url": other.hook},
            ],
        )
        assert answer.status == 202
        told = answer.json
        first, second = only(receiver), other.wait_for(2)[-1]
        assert first.body == second.body == '{"näme":[1,2.0,"x"]}'.encode()
        assert first.headers["content-type"] == JSON
        assert first.headers["x-a"] == "1"
        assert "x-a" not in second.headers
        assert first.headers["webhook-signature"].startswith("v1,")
        assert "webhook-signature" not in second.headers
        assert second.headers["hookbox-attempt"] == "2"
        ids = [received.headers["hookbox-delivery"] for received in (first, second)]
        assert [owed["id"] for owed in told["deliveries"]] == ids
        assert told["topic"]["name"] == "orders"
        assert told["topic"]["offset"] == 1
        assert told["topic"]["callbacks"] == 0


def test_WD_D11_a_batch_may_hold_any_text_and_any_bytes(hookbox, receiver):
    to = [{"url": receiver.hook}]
    assert batch(hookbox, body="a\r\n\x00é", content_type="text/plain", to=to).status == 202
    assert batch(hookbox, body_base64=b64encode(bytes(range(256))).decode(), to=to).status == 202
    assert sorted(got.body for got in receiver.wait_for(2)) == [bytes(range(256)), "a\r\n\x00é".encode()]
    assert {got.headers["content-type"] for got in receiver.got} == {"text/plain", "application/octet-stream"}


def test_WD_D12_an_empty_message_is_a_post_of_no_bytes(hookbox, receiver):
    form(hookbox, url=receiver.hook)
    received = only(receiver)
    assert (received.method, received.headers["content-length"], received.body) == ("POST", "0", b"")


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    ("shown", "in_form", "in_query", "says"),
    [
        (None, None, None, "token required"),
        ("wrong", None, None, "Invalid"),
        ("", None, None, ""),
        ("wrong", "test-token", None, "Invalid"),
        (None, "wrong", None, "Invalid"),
        (None, None, "test-token", "query string"),
    ],
)
def test_WD_D13_without_the_token_nothing_is_dispatched(hookbox, receiver, shown, in_form, in_query, says):
    fields = [("_token", in_form)] if in_form else []
    answer = form(
        hookbox, *fields, url=receiver.hook, token=shown, query=f"_token={in_query}" if in_query else ""
    )
    assert answer.status == 401
    assert says in answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_WD_D13_the_token_may_be_a_field_and_is_not_sent_on(hookbox, receiver, start):
    answer = form(hookbox, ("_token", hookbox.TOKEN), ("a", "1"), url=receiver.hook, token=None)
    assert answer.status == 202
    assert only(receiver).body == b"a=1"
    lenient = start(egress="internal", allow_query_token=True)
    assert form(lenient, url=receiver.hook, token=None, query="_token=test-token").status == 202


def test_WD_D13_a_local_program_needs_no_token_where_that_was_chosen(start, receiver):
    server = start(egress="internal", dispatch_auth="loopback")
    assert form(server, url=receiver.hook, token=None).status == 202
    for header in ("X-Forwarded-For", "Forwarded"):
        behind = [(header, "for=203.0.113.7" if header == "Forwarded" else "203.0.113.7")]
        assert form(server, url=receiver.hook, token=None, headers=behind).status == 401
        assert form(server, url=receiver.hook, headers=behind).status == 202


def test_WD_D13_without_any_token_dispatch_is_off_or_open_to_all(start, receiver):
    answer = form(start(egress="internal", api_security_token=""), url=receiver.hook, token="x")
    assert answer.status == 403
    assert "dispatch is disabled: no API token" in answer.text
    server = start(egress="internal", api_security_token="", dispatch_auth="open")
    assert form(server, url=receiver.hook, token=None).status == 202
    assert "dispatch_auth is open" in server.log


def test_WD_D14_one_key_is_one_message_also_after_a_restart(tmp_path, receiver):
    settings = {"egress": "internal", "store": tmp_path / "hookbox.db"}
    with HookboxProcess(**settings) as server:
        first = form(server, ("a", "1"), url=receiver.hook, id="k1")
        again = form(server, ("a", "1"), url=receiver.hook, id="k1")
        assert (first.status, again.status) == (202, 202)
        assert again.message_id == first.message_id
        assert again.headers["hookbox-idempotent-replay"] == "true"
        assert "hookbox-idempotent-replay" not in first.headers
        other = form(server, ("a", "2"), url=receiver.hook, id="k1")
        assert (other.status, "another request" in other.text) == (422, True)
        clash = form(server, url=receiver.hook, id="k1", headers=[("Idempotency-Key", "k2")])
        assert clash.status == 400
        server.kill()
    with HookboxProcess(**settings) as server:
        # the token's place does not count
        again = form(server, ("_token", server.TOKEN), ("a", "1"), url=receiver.hook, id="k1", token=None)
        assert again.message_id == first.message_id
        form(server, ("marker", ""), url=receiver.hook)
        eventually(lambda: any(got.body == b"marker=" for got in receiver.got))
    assert {got.headers["webhook-id"] for got in receiver.got if got.body == b"a=1"} == {first.message_id}
    assert len({got.headers["hookbox-delivery"] for got in receiver.got}) == 2


def test_WD_D14_the_stored_answer_is_given_again_whole(hookbox, receiver):
    fields = {"url": receiver.hook, "topic": "again"}
    headers = [("Idempotency-Key", "k-whole"), ("Accept", JSON)]
    first, again = (form(hookbox, ("a", "1"), headers=headers, **fields) for _ in range(2))
    assert first.json == again.json


def test_WD_D14_many_at_once_with_one_key_are_one_message(hookbox, receiver):
    answers = []

    def ask():
        answers.append(form(hookbox, ("a", "1"), url=receiver.hook, id="k-crowd"))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert {answer.status for answer in answers} == {202}
    assert len({answer.message_id for answer in answers}) == 1
    assert sum("hookbox-idempotent-replay" not in answer.headers for answer in answers) == 1


def test_WD_D14_a_request_that_was_refused_does_not_use_its_key_up(hookbox, receiver):
    assert form(hookbox, url="ftp://x/", id="k-refused").status == 400
    assert form(hookbox, url=receiver.hook, id="k-refused").status == 202


def test_WD_D14_a_key_is_forgotten_in_time(start, receiver):
    server = start(egress="internal", idempotency_ttl=0.1)
    first = form(server, url=receiver.hook, id="k")
    time.sleep(0.2)  # the key's life is what this is about
    second = form(server, ("a", "1"), url=receiver.hook, id="k")
    assert second.status == 202
    assert second.message_id != first.message_id


def test_WD_D15_nothing_of_the_callers_goes_along_but_what_it_asks_for(hookbox, receiver):
    headers = [
        ("Cookie", "session=secret"), ("X-Mine", "1"), ("User-Agent", "caller/1"), ("traceparent", "00-a-b-01"),
        ("tracestate", "v=1"), ("Hookbox-Header", "ignored: in forms"),
    ]  # fmt: skip
    form(
        hookbox,
        ("_header", "X-Sent:  yes "),
        ("_header", "Authorization: Basic abc"),
        url=receiver.hook,
        headers=headers,
    )
    got = only(receiver).headers
    assert got["x-sent"] == "yes"
    assert got["authorization"] == "Basic abc"
    assert (got["traceparent"], got["tracestate"]) == ("00-a-b-01", "v=1")
    assert got["user-agent"].startswith("hookbox/")
    assert "test-token" not in str(got)
    assert not {"cookie", "x-mine", "ignored"} & got.keys()


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    "header",
    [
        "Host: x", "Content-Length: 5", "content-type: a/b", "Content-Encoding: gzip", "Transfer-Encoding: chunked",
        "Connection: close", "Keep-Alive: 1", "TE: x", "Trailer: x", "Upgrade: x", "Expect: 100-continue",
        "Proxy-Authorization: x", "User-Agent: x", "webhook-id: x", "hookbox-hops: 0", "X-Hub-Signature: x",
        "Link: <x>", "Cookie: a=b", "no colon", ": empty", "bad name: x", "X-A: a\r\nX-B: b", "X-A: a\nb", "X-A: \x00",
        "X-A: é", "X-A: " + "a" * 4097,
    ],
)  # fmt: skip
def test_WD_D15_a_header_that_is_ours_or_malformed_is_refused(hookbox, receiver, header):
    answer = form(hookbox, ("_header", header), url=receiver.hook)
    assert answer.status == 400
    assert "header" in answer.text
    assert not {"\r", "\x00"} & set(answer.text)


def test_WD_D15_a_cookie_goes_along_where_that_was_allowed(start, receiver):
    server = start(egress="internal", allow_cookie_header=True)
    form(server, ("_header", "Cookie: a=b"), url=receiver.hook)
    assert only(receiver).headers["cookie"] == "a=b"


def test_WD_D16_what_cannot_be_kept_is_not_accepted_and_not_sent(start, tmp_path, receiver):
    server = start(egress="internal", store=tmp_path / "hookbox.db")
    form(server, ("n", "1"), url=receiver.hook)
    only(receiver)
    eventually(lambda: rows(tmp_path / "hookbox.db", "SELECT 1 FROM deliveries WHERE state = 'succeeded'"))
    with closing(sqlite3.connect(tmp_path / "hookbox.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")  # nobody else can write
        answer = form(server, ("n", "2"), url=receiver.hook, id="k")
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        db.execute("ROLLBACK")
    form(server, ("n", "3"), url=receiver.hook, id="k")
    assert [got.body for got in receiver.wait_for(2)] == [b"n=1", b"n=3"]


def test_WD_D16_a_store_that_is_full_says_so(start, tmp_path, receiver):
    server = start(egress="internal", store=tmp_path / "hookbox.db", max_store=MIB)
    body, answers = b"x" * 500_000, []
    for _ in range(6):
        answers.append(raw(server, body, "text/plain", hookbox_url=receiver.hook))
    assert {answer.status for answer in answers} == {202, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert "max_store" in refused[-1].text
    assert int(refused[-1].headers["retry-after"]) > 0
    accepted = {answer.message_id for answer in answers if answer.status == 202}
    receiver.wait_for(len(accepted))
    assert {got.headers["webhook-id"] for got in receiver.got} == accepted


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize("hops", ["5", "6", "99999", "9" * 30])
def test_WD_D17_what_has_come_round_too_often_is_stopped(hookbox, receiver, hops):
    answer = form(hookbox, url=receiver.hook, headers=[("hookbox-hops", hops)])
    assert answer.status == 508
    assert "max_hops" in answer.text


def test_WD_D17_each_server_counts_one_more(hookbox, receiver):
    form(hookbox, url=receiver.hook, headers=[("hookbox-hops", "4")])
    assert only(receiver).headers["hookbox-hops"] == "5"
    form(hookbox, url=receiver.hook)
    assert receiver.wait_for(2)[-1].headers["hookbox-hops"] == "1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("where", ["/dispatch", "/dispatch/aHR0cDovL3gv"])
def test_WD_D18_only_post_dispatches(hookbox, method, where):
    answer = request(hookbox, path=where, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


# what else section 2 and its neighbours promise


def test_a_topic_that_nobody_listens_to_is_accepted(hookbox):
    told = batch(hookbox, topic="nobody/here", json=1).json
    assert told["deliveries"] == []
    assert told["topic"]["offset"] == 1
    assert batch(hookbox, topic="nobody/here", json=1).json["topic"]["offset"] == 2


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize("topic", ["$secret", "a\x1bb", "x" * 201, "a\u202eb"])
def test_a_topic_follows_the_rules_of_channels(hookbox, topic):
    answer = form(hookbox, topic=topic)
    assert answer.status == 400
    assert "topic" in answer.text


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        pytest.param(FORM, b"a=1&b=2&b=3", {"a": "1", "b": ["2", "3"]}, id="form"),
        pytest.param(JSON, b' {"a": [1, null]}', {"a": [1, None]}, id="json"),
        pytest.param("application/activity+json", b"[1]", [1], id="other-json"),
        pytest.param("text/plain", "grüße".encode(), "grüße", id="text"),
        pytest.param("text/plain; charset=latin-1", b"gr\xfc\xdfe", "grüße", id="latin"),
        pytest.param("text/html", b"a\xffb", "a\ufffdb", id="text-not-utf-8"),
        *(
            pytest.param(f"text/plain; charset={charset}", b"a--.b", "a--.b", id=f"charset-{charset}")
            for charset in ("punycode", "idna", "undefined", "rot13", "unicode_escape", "utf-7", "none", "")
        ),
        pytest.param("image/png", b"\x00\x01", {"$base64": "AAE=", "content_type": "image/png"}, id="binary"),
        pytest.param("image/png", bytes(65537), {"$omitted": 65537}, id="binary-beyond-64-KiB"),
    ],
)
def test_X04_browsers_see_every_content_as_json(hookbox, receiver, content_type, body, payload):
    channel = "seen"
    (ann,) = hookbox.subscribed(channel, "ann")
    path = f"/dispatch?_topic={channel}&_url={receiver.hook}"
    answer = request(hookbox, body, {"Content-Type": content_type}, path=path)
    assert answer.status == 202, answer
    assert ann.next_publication()["payload"] == payload
    assert only(receiver).headers["content-type"] == content_type
    assert only(receiver).body == (body.strip() if "json" in content_type else body)


def test_the_application_can_be_asked_and_may_put_another_payload_in(hookbox, receiver):
    app = hookbox.app
    (ann,) = hookbox.subscribed("asked", "ann")
    app.refuse("publish", "not now")
    answer = form(hookbox, ("a", "1"), url=receiver.hook, topic="asked", moderate=1, originator="bob")
    assert (answer.status, "not now" in answer.text) == (403, True)
    (asked,) = app.wait_for("publish")
    assert (asked.form["originator"], json.loads(asked.form["payload"])) == ("bob", {"a": "1"})
    app.allow("publish", override_payload={"b": 2})
    assert (
        form(hookbox, ("a", "1"), url=receiver.hook, topic="asked", moderate=1, originator="bob").status
        == 202
    )
    shown = ann.next_publication()
    assert (shown["payload"], shown["user"]) == ({"b": 2}, "bob")
    assert only(receiver).json == {"b": 2}
    assert only(receiver).headers["content-type"] == JSON
    form(hookbox, ("a", "1"), topic="asked")
    assert len(app.questions("publish")) == 2


def test_a_delay_is_kept(hookbox, receiver):
    accepted = time.monotonic()
    form(hookbox, url=receiver.hook, delay="0.5")
    assert only(receiver).at - accepted >= 0.5


def test_a_payload_in_one_field_is_json_as_it_stands(hookbox, receiver):
    form(hookbox, ("_payload", ' {"a": 1.50}\n'), url=receiver.hook)
    assert only(receiver).body == b'{"a": 1.50}'
    assert only(receiver).headers["content-type"] == JSON
    answer = form(hookbox, ("_payload", "{}"), ("b", "1"), url=receiver.hook)
    assert (answer.status, "_payload" in answer.text) == (400, True)
    answer = form(hookbox, ("_payload", "{"), url=receiver.hook)
    assert (answer.status, "_payload" in answer.text) == (400, True)


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"delay": "x"}, "_delay"), ({"delay": "-1"}, "_delay"), ({"delay": "2592001"}, "_delay"),
        ({"ttl": "1e3"}, "_ttl"), ({"timeout": "0.5"}, "_timeout"), ({"timeout": "61"}, "_timeout"),
        ({"retry": "51"}, "_retry"), ({"retry": "a,b"}, "_retry"), ({"type": "a b"}, "type"),
        ({"type": "a" * 129}, "type"), ({"id": ""}, "key"), ({"id": "k" * 256}, "key"), ({"id": "a b"}, "key"),
        ({"secret": "short"}, "_secret"), ({"tag": "t" * 129}, "_tag"), ({"errback": "ftp://x/"}, "_errback"),
        ({"errback": "http://10.0.0.1:x/"}, "_errback"), ({"callback": "nonsense"}, "_callback"),
    ],
)  # fmt: skip
def test_a_control_value_that_is_wrong_is_named(hookbox, receiver, fields, says):
    answer = form(hookbox, url=receiver.hook, **fields)
    assert answer.status == 400
    assert says in answer.text


def test_a_callback_that_the_policy_forbids_is_refused(hookbox, receiver):
    for name in ("errback", "callback"):
        answer = form(hookbox, url=receiver.hook, **{name: "http://169.254.169.254/"})
        assert (answer.status, f"_{name}" in answer.text) == (403, True)


def test_a_server_that_ends_accepts_nothing_more(start, receiver):
    receiver.answer(Reply.never())
    server = start(egress="internal", shutdown_grace=5)
    form(server, url=receiver.hook)
    receiver.wait_for(1)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.putrequest("POST", f"/dispatch?_url={receiver.url}")
        connection.putheader("Content-Length", "1")
        connection.putheader("Authorization", f"Bearer {server.TOKEN}")
        connection.endheaders()
        form(server, url=receiver.url)  # so the head before it has been read
        server.process.terminate()
        server.wait_for_log("draining")
        connection.send(b"x")
        answer = connection.getresponse()
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
    server.kill()


# limits


@pytest.mark.usefixtures("nothing_is_kept")
def test_L01_one_more_than_a_limit_is_refused(hookbox, receiver):
    url = receiver.hook
    long_url = url + "?" + "a" * (2048 - len(url) - 1)
    files = [(f"p{n}", b"", "") for n in range(100)]
    parts, content_type = multipart(("_url", url.encode(), ""), *files)
    for answer, status, says in [
        (raw(hookbox, b"x" * (MIB + 1), "text/plain", hookbox_url=url), 413, "1048576 bytes"),
        (form(hookbox, *((f"f{n}", "") for n in range(1000)), url=url), 400, "1000 fields"),
        (raw(hookbox, parts, content_type), 400, "100 parts"),
        (form(hookbox, ("n" * 1025, ""), url=url), 400, "1024 bytes"),
        (form(hookbox, ("_payload", "1"), url=url, originator="v" * 8193), 400, "8192 bytes"),
        (form(hookbox, url=long_url + "a"), 400, "2048 bytes"),
        (form(hookbox, *(("_url", f"{url}/{n}") for n in range(101))), 400, "100 destinations"),
        (form(hookbox, *(("_header", f"X-{n}: 1") for n in range(33)), url=url), 400, "32 headers"),
        (batch(hookbox, to=[{"url": f"{url}/{n}"} for n in range(101)], json=1), 400, "100 destinations"),
        (form(hookbox, url=url, delay=2_592_000.001), 400, "_delay"),
    ]:
        assert (answer.status, says in answer.text) == (status, True), answer


def test_L01_what_is_just_within_the_limits_is_accepted(hookbox, receiver):
    url = receiver.hook
    long_url = url + "?" + "a" * (2048 - len(url) - 1)
    parts, content_type = multipart(("_url", url.encode(), ""), *[(f"p{n}", b"", "") for n in range(99)])
    answers = [
        raw(hookbox, b"x" * MIB, "text/plain", hookbox_url=url),
        form(hookbox, *((f"f{n}", "") for n in range(999)), url=url),
        raw(hookbox, parts, content_type),
        form(hookbox, ("n" * 1024, ""), url=url),
        form(hookbox, ("_payload", "1"), url=url, originator="v" * 8192),
        form(hookbox, url=long_url),
        form(hookbox, *(("_url", f"{url}/{n}") for n in range(100))),
        form(
            hookbox, *(("_header", f"X-{n}: 1") for n in range(31)), ("_header", "X: " + "a" * 4096), url=url
        ),
        batch(hookbox, to=[{"url": f"{url}/{n}"} for n in range(100)], json=1),
        form(hookbox, url=url, delay=2_592_000, id="k" * 255, tag="t" * 128, type="a" * 128),
    ]
    assert [answer.status for answer in answers] == [202] * len(answers), answers
    receiver.wait_for(len(answers) - 1 + 2 * 99)
    assert max(len(got.body) for got in receiver.got) == MIB


def test_L01_a_chunked_body_counts_while_it_is_read(hookbox):
    with closing(http.client.HTTPConnection("127.0.0.1", hookbox.port, timeout=DEADLINE)) as connection:
        connection.putrequest("POST", "/dispatch?_url=http://example.com/")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Authorization", f"Bearer {hookbox.TOKEN}")
        connection.endheaders()
        for _ in range(17):
            connection.send(b"%x\r\n%s\r\n" % (65536, bytes(65536)))
        answer = connection.getresponse()
        assert answer.status == 413
        assert answer.headers["connection"] == "close"


def test_L01_the_queue_is_full_at_its_limit(start, receiver):
    server = start(egress="internal", max_queue=3)
    receiver.answer(Reply.never())
    urls = [("_url", f"{receiver.hook}/{n}") for n in range(4)]
    assert form(server, *urls).status == 503
    assert form(server, *urls[:3]).status == 202
    answer = form(server, urls[3])
    assert (answer.status, answer.headers["retry-after"], "max_queue" in answer.text) == (503, "30", True)
    assert form(server, topic="still/works").status == 202


def test_L01_the_rate_of_a_token(start, receiver):
    server = start(egress="internal", dispatch_rate=2)
    answers = [form(server, url=receiver.hook) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert answers[-1].headers["retry-after"] == "1"
    assert "dispatch_rate" in answers[-1].text


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("multipart/form-data", b"", 415, id="no-boundary"),
        pytest.param("multipart/form-data; boundary=x", b"nonsense", 400, id="no-parts"),
        pytest.param(FORM, b"_url=%ff", 400, id="not-utf-8"),
        pytest.param(FORM, b"_url=http://x/%0a", 400, id="control-character"),
        pytest.param(BATCH, b"{", 400, id="batch-no-json"),
        pytest.param(BATCH, b"[]", 400, id="batch-no-object"),
        pytest.param(BATCH, b'{"to":[]}', 400, id="batch-empty"),
        pytest.param(BATCH, b'{"topic":7}', 400, id="batch-topic-number"),
        pytest.param(BATCH, b'{"topic":"a","to":[{"endpoint":"ep_none"}]}', 400, id="batch-no-such-endpoint"),
        pytest.param(BATCH, b'{"topic":"a","delay":true}', 400, id="batch-delay-true"),
    ],
)
def test_L01_bad_input_is_a_bad_request(hookbox, content_type, body, status):
    answer = request(hookbox, body, {"Content-Type": content_type})
    assert answer.status == status, answer
    assert "Traceback" not in answer.text


def test_the_path_is_served_where_the_api_is(app, receiver):
    with HookboxProcess(app, web_api_port=0, egress="internal") as server:
        found = server.wait_for_log(r"(?s)hookbox on http://\S+:(\d+).*hookbox on http://\S+:(\d+)")
        public, server.port = map(int, found.groups())
        assert form(server, url=receiver.hook).status == 202
        server.port = public
        assert form(server, url=receiver.hook).status == 404
