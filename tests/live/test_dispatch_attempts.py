"""What becomes of a dispatch: attempts, signatures, notices and the egress policy, through a live server."""

import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from email.utils import formatdate
from itertools import pairwise
from urllib.parse import quote

import pytest
from conftest import assert_clean, eventually
from dispatching import JSON, api, batch, form, raw, rows, states

from hookbox.testing import DEADLINE, HookboxProcess, Receiver, Reply
from hookbox.webhooks import signing

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OLD_SECRET = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
SCHEDULE = "0.2,0.4,0.8"
WIDE = 10.0
"""Seconds that a busy machine may add to a wait."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "hookbox.db"


@pytest.fixture(scope="module")
def hookbox(path):
    settings = {"egress": "internal", "store": path, "retry_schedule": SCHEDULE, "leave_grace": 0}
    with HookboxProcess(**settings) as process:
        yield process
        assert_clean(process)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def ended(path, answer, count=1):
    """Wait until all deliveries of what was dispatched are over; how they stand."""

    def over():
        found = states(path, answer.message_id)
        done = [row for row in found if row[1] in ("succeeded", "dead", "cancelled")]
        return found if len(done) == count else None

    return eventually(over, what=f"still under way: {states(path, answer.message_id)}")


def endpoint(server, receiver, **members):
    """Register the receiver."""
    given = {"url": receiver.hook, "topics": ["news"], **members}
    return api(server, "POST", "/endpoints", **given).json["id"]


def cancel(server, answer):
    """Give up what was dispatched."""
    for owed in api(server, "GET", f"/messages/{answer.message_id}").json["deliveries"]:
        api(server, "POST", f"/deliveries/{owed['id']}/cancel")


# attempts


def test_R01_a_failure_is_tried_again_later_and_later_with_a_new_signature(hookbox, path, receiver):
    receiver.answer(500, 500, 200)
    answer = form(hookbox, ("a", "1"), url=receiver.hook, secret=SECRET)
    assert ended(path, answer) == [(receiver.hook, "succeeded", "", ["http_500", "http_500", "ok"])]
    got = receiver.got
    assert [received.headers["hookbox-attempt"] for received in got] == ["1", "2", "3"]
    assert {received.headers["webhook-id"] for received in got} == {answer.message_id}
    waits = [second.at - first.at for first, second in pairwise(got)]
    assert 0.2 * 0.8 <= waits[0] < 0.2 * 1.2 + WIDE
    assert 0.4 * 0.8 <= waits[1] < 0.4 * 1.2 + WIDE
    for received in got:
        signing.verify(received.body, received.headers, SECRET)
        assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < DEADLINE


def test_R02_E01_what_is_exhausted_is_dead_and_its_errback_told_once_and_signed(hookbox, path, receiver):
    receiver.answer(Reply(status=500, body=b"no"))
    with Receiver() as told:
        answer = form(hookbox, ("a", "1"), url=receiver.hook, secret=SECRET, errback=told.hook, tag="t")
        outcomes = ["http_500"] * 4
        assert ended(path, answer) == [(receiver.hook, "dead", "exhausted", outcomes)]
        (dead,) = told.wait_for(1)
        assert dead.json["type"] == "delivery.dead"
        signing.verify(dead.body, dead.headers, SECRET)
        data = dead.json["data"]
        assert data["message_id"] == answer.message_id
        assert (data["attempts"], data["reason"], data["tag"]) == (4, "exhausted", "t")
        assert (data["last"]["class"], data["last"]["status"], data["last"]["body"]) == (
            "http_500",
            500,
            "no",
        )
        marker = form(hookbox, url=told.url + "/marker")
        ended(path, marker)
        assert len(told.got) == 2


def test_R03_a_redirect_is_not_followed_but_tried_again(hookbox, path, receiver):
    with Receiver() as elsewhere:
        receiver.answer(Reply.redirect(elsewhere.hook), 200)
        answer = form(hookbox, url=receiver.hook)
        assert ended(path, answer)[0][3] == ["http_3xx", "ok"]
        assert elsewhere.got == []


def test_R04_gone_is_dead_at_once_and_ends_the_endpoint(hookbox, path, receiver):
    name = endpoint(hookbox, receiver)
    receiver.answer(410)
    answer = batch(hookbox, topic="news", json=1)
    assert answer.json["topic"]["callbacks"] == 1
    assert ended(path, answer) == [(receiver.hook, "dead", "gone", ["gone"])]
    assert api(hookbox, "GET", f"/endpoints/{name}").json["state"] == "disabled"
    again = batch(hookbox, topic="news", json=2)
    assert states(path, again.message_id) == [(receiver.hook, "held", "", [""])]
    assert len(receiver.got) == 1
    api(hookbox, "DELETE", f"/endpoints/{name}")


@pytest.mark.parametrize("status", [429, 503])
def test_R05_retry_after_is_for_everything_to_that_receiver(hookbox, path, receiver, status):
    receiver.answer(Reply(status=status, headers=(("Retry-After", "2"),), body=b""), 200)
    first = form(hookbox, ("n", "1"), url=receiver.hook)
    (refused,) = receiver.wait_for(1)
    eventually(lambda: states(path, first.message_id)[0][3] == [f"http_{status}"])
    ended(path, form(hookbox, ("n", "2"), url=f"{receiver.url}/other"))
    assert receiver.got[1].at - refused.at >= 2
    cancel(hookbox, first)


def test_R05_a_date_counts_and_nonsense_does_not(hookbox, path, receiver):
    in_time = formatdate(time.time() + 3, usegmt=True)
    receiver.answer(Reply(status=500, headers=(("Retry-After", in_time),), body=b""), 200)
    before = time.time()
    answer = form(hookbox, url=receiver.hook)
    ended(path, answer)
    assert receiver.got[1].at - receiver.got[0].at >= 3 - 1 - (before % 1)  # dates have whole seconds
    for nonsense in ("soon", "-5", "1e9", "Mon, 99 Foo 2020 00:00:00 GMT"):
        receiver.answer(Reply(status=500, headers=(("Retry-After", nonsense),), body=b""), 200)
        assert ended(path, form(hookbox, url=receiver.hook))[0][3] == ["http_500", "ok"]


def test_R05_nobody_can_put_us_off_for_ever(hookbox, path, receiver):
    receiver.answer(Reply(status=500, headers=(("Retry-After", "1000000000"),), body=b""))
    answer = form(hookbox, url=receiver.hook)
    wanted = "SELECT due_ms FROM deliveries JOIN messages USING (seq) WHERE messages.id = ? AND attempts = 1"
    ((due,),) = eventually(lambda: rows(path, wanted, answer.message_id))
    assert 86_400 <= due / 1000 - time.time() + DEADLINE <= 86_400 * 1.1 + 2 * DEADLINE
    cancel(hookbox, answer)


def test_R06_a_receiver_can_end_a_message(hookbox, path, receiver):
    receiver.answer(Reply(status=500, headers=(("webhook-delivery", "abort-message"),), body=b""))
    answer = form(hookbox, url=receiver.hook)
    assert ended(path, answer) == [(receiver.hook, "dead", "aborted", ["aborted"])]


def test_R07_a_receiver_can_end_its_endpoint(hookbox, path, receiver):
    name = endpoint(hookbox, receiver, topics=["seven"])
    receiver.answer(Reply(status=200, headers=(("webhook-delivery", "disable"),), body=b""))
    assert ended(path, batch(hookbox, topic="seven", json=1))[0][1] == "succeeded"
    assert api(hookbox, "GET", f"/endpoints/{name}").json["state"] == "disabled"
    api(hookbox, "DELETE", f"/endpoints/{name}")


def drip(*pieces, pause=0.05):
    def steps():
        for piece in pieces:
            yield piece
            yield pause

    return Reply(steps=steps)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        pytest.param(Reply.hang_up(), "reset", id="no-answer"),
        pytest.param(drip(HEAD + b"Content-Le"), "reset", id="cut-in-the-head"),
        pytest.param(drip(HEAD + b"Content-Length: 10\r\n\r\nhalf"), "ok", id="cut-in-the-body"),
        pytest.param(Reply.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol", id="nonsense"),
        pytest.param(Reply.raw(HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n"), "protocol", id="endless-head"),
        pytest.param(Reply.endless(), "ok", id="endless-body"),
        pytest.param(Reply.never(), "timeout", id="no-word"),
        pytest.param(Reply.drip(1, 0.2), "timeout", id="drips"),
        pytest.param(Reply.drip(1, 0.4, from_body=True), "timeout", id="body-drips"),
    ],
)
def test_R08_each_way_to_answer_badly_has_its_name_and_is_tried_again(
    hookbox, path, receiver, reply, outcome
):
    receiver.answer(reply, 200)
    answer = form(hookbox, url=receiver.hook, timeout=1, retry="0.1")
    expected = ["ok"] if outcome == "ok" else [outcome, "ok"]
    wait = 60 if outcome == "timeout" else 0  # the floor under waits after a timeout
    if wait:
        eventually(lambda: states(path, answer.message_id)[0][3] == [outcome])
        assert states(path, answer.message_id)[0][1] == "scheduled"
    else:
        assert ended(path, answer)[0][3] == expected


def test_R08_nobody_is_there(hookbox, path, receiver):
    receiver.down()
    answer = form(hookbox, url=receiver.hook)
    eventually(lambda: states(path, answer.message_id)[0][3][0] == "refused")
    receiver.up()
    assert ended(path, answer)[0][3][-1] == "ok"


def test_R08_a_name_that_does_not_exist(hookbox, path):
    answer = form(hookbox, url="http://nobody.invalid/", retry="none")
    assert ended(path, answer)[0][1:] == ("dead", "exhausted", ["dns"])


def test_R08_a_certificate_of_nobody(hookbox, path, tmp_path):
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split()
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with suppress(OSError):
                while True:
                    with suppress(ssl.SSLError):
                        context.wrap_socket(server.accept()[0], server_side=True)

        threading.Thread(target=serve, daemon=True).start()
        answer = form(hookbox, url=f"https://localhost:{server.getsockname()[1]}/", retry="none")
        assert ended(path, answer)[0][1:] == ("dead", "exhausted", ["tls"])


def test_R09_the_caller_says_how_often(hookbox, path, receiver):
    receiver.answer(500)
    for retry, made in (("none", 1), ("0", 1), ("2", 3), ("0.1,0.1", 3)):
        answer = form(hookbox, url=receiver.hook, retry=retry)
        assert ended(path, answer)[0][1:] == ("dead", "exhausted", ["http_500"] * made), retry


def test_R09_it_expires_when_the_caller_says_so(hookbox, path, receiver):
    receiver.answer(500)
    answer = form(hookbox, url=receiver.hook, retry="0.3,30", ttl="1")
    assert ended(path, answer)[0][1:] == ("dead", "expired", ["http_500", "http_500"])


def test_R09_a_delay_outlives_a_restart(tmp_path, receiver):
    settings = {"egress": "internal", "store": tmp_path / "hookbox.db"}
    with HookboxProcess(**settings) as server:
        accepted = time.monotonic()
        form(server, url=receiver.hook, delay=3)
        server.kill()
    with HookboxProcess(**settings):
        (received,) = receiver.wait_for(1)
        assert received.at - accepted >= 3
        assert received.headers["hookbox-attempt"] == "1"


def test_R10_a_connection_that_went_stale_costs_no_attempt(hookbox, path, receiver):
    assert ended(path, form(hookbox, url=receiver.hook))[0][3] == ["ok"]
    receiver.down()
    receiver.up()
    assert ended(path, form(hookbox, url=receiver.hook))[0][3] == ["ok"]
    assert [received.headers["hookbox-attempt"] for received in receiver.got] == ["1", "1"]
    assert receiver.visits == 2


def test_R11_nobody_waits_for_a_slow_one(hookbox, path, receiver):
    with Receiver(Reply.never()) as slow:
        urls = [f"{receiver.hook}/{n}" for n in range(99)]
        answer = batch(hookbox, json=1, to=[{"url": slow.hook}, *({"url": url} for url in urls)])
        assert len({received.target for received in receiver.wait_for(99)}) == 99
        assert len(slow.wait_for(1)) == 1
        eventually(lambda: sum(row[1] == "succeeded" for row in states(path, answer.message_id)) == 99)
        slow.answer(200)
        slow.down()
        slow.up()
        ended(path, answer, 100)


def test_R12_four_at_once_for_one_receiver(hookbox, path, receiver):
    going = threading.Barrier(4)

    def together(received):
        with suppress(threading.BrokenBarrierError):
            going.wait(1)
        return 200

    receiver.answer(together)
    answer = form(hookbox, *(("_url", f"{receiver.hook}/{n}") for n in range(20)))
    ended(path, answer, 20)
    assert receiver.most_at_once == 4


def test_R13_ordered_means_strictly_in_order(hookbox, path, receiver):
    name = endpoint(hookbox, receiver, topics=["ordered"], ordered=True, retry=[0.1, 0.1, 0.1])
    failed = []

    def fails_third(received):
        if received.json == 3 and len(failed) < 2:
            failed.append(1)
            return 500
        return 200

    receiver.answer(fails_third)
    for n in range(1, 21):
        assert batch(hookbox, topic="ordered", json=n).status == 202
    receiver.wait_for(22)
    assert [received.json for received in receiver.got] == [1, 2, 3, 3, *range(3, 21)]
    assert receiver.most_at_once == 1
    api(hookbox, "DELETE", f"/endpoints/{name}")


def test_R13_what_is_cancelled_releases_the_next(hookbox, path, receiver):
    name = endpoint(hookbox, receiver, topics=["ordered"], ordered=True, retry=[60])
    receiver.answer(500, 200)
    first, second = (batch(hookbox, topic="ordered", json=n) for n in (1, 2))
    eventually(lambda: states(path, first.message_id)[0][3] == ["http_500"])
    cancel(hookbox, first)
    assert ended(path, second)[0][1] == "succeeded"
    assert states(path, first.message_id)[0][1:3] == ("cancelled", "operator")
    api(hookbox, "DELETE", f"/endpoints/{name}")


def test_R14_the_breaker_opens_after_ten_and_closes_with_a_success(start, tmp_path, receiver):
    path = tmp_path / "hookbox.db"
    server = start(egress="internal", store=path, retry_schedule="0.1")
    receiver.answer(500)
    answers = [form(server, url=receiver.hook, retry="none") for _ in range(10)]
    for answer in answers:
        ended(path, answer)
    receiver.answer(200)
    waits = [form(server, ("n", str(n)), url=receiver.hook) for n in range(3)]
    probe = receiver.wait_for(11, 30)[10]
    assert probe.at - receiver.got[9].at >= 5 * 0.8
    for answer in waits:
        ended(path, answer)
    assert rows(path, "SELECT COUNT(*) FROM attempts WHERE cause = 'probe'") == [(1,)]


def test_R14_what_waits_behind_it_ends_with_its_age(start, tmp_path, receiver):
    path = tmp_path / "hookbox.db"
    server = start(egress="internal", store=path, max_age=2)
    receiver.answer(500)
    for _ in range(10):
        form(server, url=receiver.hook, retry="none")
    receiver.wait_for(10)
    eventually(lambda: rows(path, "SELECT COUNT(*) FROM deliveries WHERE state = 'dead'") == [(10,)])
    assert ended(path, form(server, url=receiver.hook))[0][1:3] == ("dead", "expired")
    assert len(receiver.got) == 10


def test_R15_what_is_held_goes_out_in_order_when_the_endpoint_is_enabled(hookbox, path, receiver):
    name = endpoint(hookbox, receiver, topics=["held"], ordered=True)
    api(hookbox, "POST", f"/endpoints/{name}/disable")
    answers = [batch(hookbox, topic="held", json=n) for n in range(10)]
    assert {row[1] for answer in answers for row in states(path, answer.message_id)} == {"held"}
    api(hookbox, "POST", f"/endpoints/{name}/enable")
    assert [received.json for received in receiver.wait_for(10)] == list(range(10))
    api(hookbox, "DELETE", f"/endpoints/{name}")


# signatures


def test_S01_S05_the_reference_library_verifies_what_is_sent(hookbox, receiver):
    standardwebhooks = pytest.importorskip("standardwebhooks")
    form(hookbox, ("event", "signup"), ("note", "café & tea"), url=receiver.hook, secret=SECRET)
    raw(hookbox, b' {"a":  1.50} ', JSON, hookbox_url=receiver.hook, hookbox_secret=SECRET)
    library = standardwebhooks.Webhook(SECRET)
    for received in receiver.wait_for(2):
        if received.headers["content-type"] == JSON:
            assert library.verify(received.body, received.headers) == {"a": 1.5}
        stamp = int(received.headers["webhook-timestamp"])
        signed = signing.sign(
            [signing.Secret.read(SECRET)], received.headers["webhook-id"], stamp, received.body
        )
        assert received.headers["webhook-signature"] == signed
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            library.verify(received.body + b" ", received.headers)


def test_S02_after_a_rotation_both_sign_newest_first_until_the_grace_is_over(hookbox, path, receiver):
    name = endpoint(hookbox, receiver, topics=["rotated"], secret=OLD_SECRET)
    api(hookbox, "POST", f"/endpoints/{name}/secret", secret=SECRET, grace=2)
    batch(hookbox, topic="rotated", json=1)
    (received,) = receiver.wait_for(1)
    newest, old = received.headers["webhook-signature"].split(" ")
    for signature, secret in ((newest, SECRET), (old, OLD_SECRET)):
        signing.verify(received.body, {**received.headers, "webhook-signature": signature}, secret)

    def alone():
        answer = batch(hookbox, topic="rotated", json=2)
        ended(path, answer)
        return " " not in receiver.got[-1].headers["webhook-signature"]

    eventually(alone)
    signing.verify(receiver.got[-1].body, receiver.got[-1].headers, SECRET)
    api(hookbox, "DELETE", f"/endpoints/{name}")


def test_S03_S04_S06_a_raw_secret_signs_any_bytes_and_nothing_can_be_changed(hookbox, receiver):
    secret, body = "sixteen bytes ok", bytes(range(256))
    raw(hookbox, body, "application/octet-stream", hookbox_url=receiver.hook, hookbox_secret=secret)
    (received,) = receiver.wait_for(1)
    signing.verify(received.body, received.headers, secret)
    for changed in (
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(int(received.headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(signing.BadSignature):
            signing.verify(received.body, {**received.headers, **changed}, secret)
    with pytest.raises(signing.BadSignature):
        signing.verify(received.body[:-1], received.headers, secret)


# notices


def test_E02_trouble_is_told_once_and_so_is_its_end(hookbox, path, receiver):
    receiver.answer(500, 500, 500, 500, 500, 200)
    with Receiver() as told:
        answer = form(hookbox, url=receiver.hook, retry=",".join(["0.1"] * 8), errback=told.hook)
        ended(path, answer)
        first, second = told.wait_for(2)
        assert [first.json["type"], second.json["type"]] == ["delivery.failing", "delivery.recovered"]


def test_E03_what_was_answered_is_told(hookbox, path, receiver):
    receiver.answer(
        Reply(status=201, headers=(("X-Answer", "42"), ("Set-Cookie", "a=b")), body=b"made \xc3\xa9")
    )
    with Receiver() as told:
        answer = form(hookbox, url=receiver.hook, callback=told.hook, errback=told.url)
        (done,) = told.wait_for(1)
        assert done.target == "/hook"
        assert (done.json["type"], done.json["data"]["message_id"]) == (
            "delivery.succeeded",
            answer.message_id,
        )
        response = done.json["data"]["response"]
        assert (response["status"], response["body"], response["truncated"]) == (201, "made é", False)
        names = {name.lower() for name, _ in response["headers"]}
        assert "x-answer" in names
        assert "set-cookie" not in names
    with Receiver() as told:
        receiver.answer(Reply(status=200, body=b"\xff" * 70_000))
        form(hookbox, url=receiver.hook, callback=told.hook)
        response = told.wait_for(1)[0].json["data"]["response"]
        assert response["truncated"] is True
        assert "body_base64" in response


def test_E04_there_is_no_errback_of_an_errback(start, tmp_path, receiver):
    path = tmp_path / "hookbox.db"
    server = start(egress="internal", store=path, retry_schedule="none", errback_url=receiver.url + "/told")
    receiver.answer(500)
    answer = form(server, url=receiver.hook)
    ended(path, answer)
    eventually(lambda: rows(path, "SELECT COUNT(*) FROM deliveries WHERE state = 'dead'") == [(2,)])
    assert rows(path, "SELECT COUNT(*) FROM messages") == [(2,)]
    assert [received.target for received in receiver.got] == ["/hook", "/told"]


# egress


def test_G01_a_literal_address_is_refused_and_a_name_that_leads_there_is_blocked(start, tmp_path, receiver):
    path = tmp_path / "hookbox.db"
    server = start(store=path, egress_ports=str(receiver.port))
    for host in ("127.0.0.1", "[::1]", "10.1.2.3", "169.254.169.254", "[::ffff:127.0.0.1]"):
        answer = form(server, url=f"http://{host}:{receiver.port}/")
        assert (answer.status, "blocked" in answer.text) == (403, True)
    with Receiver() as told:  # it would be reached, if it were not for the policy
        answer = form(
            server, url=f"http://localhost:{receiver.port}/", errback=f"http://localhost:{told.port}/"
        )
        assert answer.status == 403  # its port
        answer = form(server, url=f"http://localhost:{receiver.port}/")
        assert ended(path, answer)[0][1:] == ("dead", "blocked", ["blocked"])
    ((detail,),) = rows(path, "SELECT detail FROM attempts")
    assert "loopback" in detail
    assert receiver.got == []


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "0x7f000001"])
def test_G05_a_number_is_no_address(hookbox, receiver, host):
    answer = form(hookbox, url=f"http://{host}:{receiver.port}/")
    assert answer.status == 403


def test_G06_the_server_does_not_call_itself(hookbox, path):
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]"):
        answer = form(hookbox, url=f"http://{host}:{hookbox.port}/web/publish")
        assert (answer.status, "this server itself" in answer.text) == (403, True)
    answer = form(hookbox, url=f"http://localhost:{hookbox.port}/")
    assert ended(path, answer)[0][1:] == ("dead", "blocked", ["blocked"])


def test_G07_what_is_denied_is_denied_and_what_is_allowed_is_more_than_the_mode(start, tmp_path, receiver):
    with Receiver() as denied:
        server = start(
            store=tmp_path / "a.db",
            egress_allow=[f"127.0.0.1:{receiver.port}", "127.0.0.0/8"],
            egress_deny=f"127.0.0.1:{denied.port}",
        )
        assert form(server, url=receiver.hook).status == 202
        assert form(server, url=denied.hook).status == 403
        receiver.wait_for(1)
        server = start(egress="off", egress_deny=f"127.0.0.1:{denied.port}")
        assert form(server, url=receiver.hook).status == 202
        assert form(server, url=denied.hook).status == 403
        receiver.wait_for(2)


def test_G08_the_name_is_asked_for(hookbox, receiver):
    form(hookbox, url=f"http://localhost:{receiver.port}/x?y=1#z")
    (received,) = receiver.wait_for(1)
    assert received.headers["host"] == f"localhost:{receiver.port}"
    assert received.target == "/x?y=1"


def test_G09_a_proxy_of_the_environment_is_not_used(start, receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    form(start(egress="internal"), url=receiver.hook)
    receiver.wait_for(1)


def test_an_errback_to_the_application_is_always_allowed(app, tmp_path, receiver):
    path = tmp_path / "hookbox.db"
    allowed = f"127.0.0.1:{receiver.port}"
    settings = {"retry_schedule": "none", "egress_allow": allowed, "store": path}
    with HookboxProcess(app, errback_url=f"{app.url}/hookbox/trouble", **settings) as server:
        receiver.answer(500)
        form(server, url=receiver.hook)
        (told,) = app.wait_for("trouble")
        assert told.headers["webhook-id"].startswith("msg_")
        assert form(server, url=receiver.hook, errback=f"{app.url}/mine").status == 202
        app.wait_for("mine")
        assert form(server, url=app.url).status == 403
        assert form(server, url=receiver.hook, callback=app.url).status == 403
        assert_clean(server)


# what is registered


def test_a_publish_that_an_endpoint_wants_is_delivered(hookbox, receiver):
    name = endpoint(
        hookbox, receiver, topics=["orders.*"], filter={"kind": "paid"}, headers={"X-Ours": "1"}, tag="o"
    )
    ann = hookbox.connect("ann")
    ann.subscribe("orders.7")
    ann.publish("orders.7", {"kind": "other"})
    ann.publish("orders.7", {"kind": "paid", "n": 1})
    shown = [ann.next_publication()["payload"] for _ in range(2)]
    assert shown[1] == {"kind": "paid", "n": 1}
    hookbox.api("publish", channel_name="orders.7", payload={"kind": "paid", "n": 2})
    for n, received in enumerate(receiver.wait_for(2), 1):
        assert received.json == {"kind": "paid", "n": n}
        assert received.headers["content-type"] == JSON
        assert received.headers["x-ours"] == "1"
        assert received.headers["hookbox-topic"] == "orders.7"
        assert received.headers["hookbox-hops"] == "0"
        assert received.headers["webhook-signature"].startswith("v1,")
    api(hookbox, "DELETE", f"/endpoints/{name}")


def test_a_dispatch_can_be_for_an_endpoint_alone(hookbox, receiver):
    name = endpoint(hookbox, receiver, topics=["nothing"], secret=SECRET)
    answer = batch(hookbox, json={"a": 1}, to=[{"endpoint": name}])
    assert answer.status == 202
    (received,) = receiver.wait_for(1)
    signing.verify(received.body, received.headers, SECRET)
    assert "hookbox-topic" not in received.headers
    api(hookbox, "DELETE", f"/endpoints/{name}")


def test_a_topic_is_sent_as_it_has_to_be_in_a_header(hookbox, receiver):
    topic = "grüße/an alle%"
    name = endpoint(hookbox, receiver, topics=[topic])
    assert batch(hookbox, json=1, topic=topic).status == 202
    (received,) = receiver.wait_for(1)
    assert received.headers["hookbox-topic"] == quote(topic, safe="")
    api(hookbox, "DELETE", f"/endpoints/{name}")
