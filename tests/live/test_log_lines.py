"""The log of a real server, a line of JSON each: whom and what each line is about."""

import json

import pytest
from comet_client import Comet
from conftest import eventually
from scraping import get

from hookbox.testing import HookboxProcess, Receiver, Reply

SECRET = "canary-secret"


@pytest.fixture(scope="module")
def hookbox():
    with HookboxProcess(log_format="json", log_level="DEBUG", leave_grace=0, egress="internal") as process:
        yield process


def lines(hookbox, **wanted):
    """The lines that have these values."""
    found = [json.loads(line) for line in hookbox.log.splitlines() if line.startswith("{")]
    return [line for line in found if wanted.items() <= line.items()]


def only(hookbox, **wanted):
    eventually(lambda: lines(hookbox, **wanted))
    (line,) = lines(hookbox, **wanted)
    return line


def test_a_connection_is_named_from_its_beginning_to_its_end(hookbox):
    alice = hookbox.client(features=["ack"])
    name = alice.connect("alice")["conn_id"]
    alice.close()
    closed = only(hookbox, connection=name, message="connection closed: 1000")
    opened = only(hookbox, connection=name, message="connection opened")
    assert (opened["logger"], closed["level"]) == ("hookbox.commands.connect", "INFO")


def test_a_webhook_that_fails_is_named_and_so_is_whose_it_was(hookbox, application):
    alice = hookbox.client(features=["ack"])
    name = alice.connect("alice")["conn_id"]
    application.answer("subscribe", Reply(status=500, body=SECRET.encode()))
    alice.send("SUBSCRIBE", channel_name="lobby")
    alice.skip_to("ERROR")
    failed = only(hookbox, connection=name, logger="hookbox.webhooks")
    (asked,) = application.questions("subscribe")
    assert failed["webhook"] == asked.headers["idempotency-key"]
    assert failed["level"] == "WARNING"


def test_a_comet_client_is_named_too(hookbox, application):
    application.answer("create_channel", Reply([True, {"nonsense": 1}]))
    application.refuse("subscribe")
    comet = Comet(hookbox.port)
    comet.send("CONNECT", cookie_string="", payload='"bob"', features=["ack"])
    comet.finish(comet.begin())
    comet.post("close").reply()
    name = application.wait_for("connect")[0].form["conn_id"]
    assert only(hookbox, connection=name, message="connection opened")
    assert only(hookbox, connection=name, message="connection closed: 1000")


def test_a_request_that_is_refused_is_found_in_the_log_by_what_the_client_was_told(hookbox):
    page = get(hookbox, "/web/publish", method="POST", token="wrong")
    line = only(hookbox, request=page.headers["x-request-id"])
    assert line["message"] == "a call was refused: bad_token"
    page = get(hookbox, "/" + "x" * 9000)
    assert only(hookbox, request=page.headers["x-request-id"])["message"].startswith("refused a request")


def test_a_delivery_that_is_given_up_is_named(hookbox):
    with Receiver(500) as receiver:
        (owed,) = hookbox.dispatch(receiver.hook, json={}, retry=[])["deliveries"]
        line = only(hookbox, delivery=owed["id"])
        assert "is given up" in line["message"]


def test_nothing_that_people_write_is_in_any_line_A13(hookbox):
    assert SECRET not in hookbox.log
    assert hookbox.TOKEN not in hookbox.log


def test_plain_lines_end_in_the_same(start):
    hookbox = start()
    client = hookbox.client(features=["ack"])
    name = client.connect("alice")["conn_id"]
    hookbox.wait_for_log(rf"INFO hookbox.commands.connect: connection opened \[connection={name} ?.*\]\n")
