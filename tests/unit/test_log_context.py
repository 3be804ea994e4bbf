"""Every line says whom and what it is about, wherever it is logged."""

from __future__ import annotations

import json
import logging

import gevent
import pytest
from test_log import NO_SECRETS, record

from hookbox.core.connection import Connection
from hookbox.core.values import ConnectionId
from hookbox.log_context import ASKED, DELIVERY, REQUEST, SERVED, inherited, known
from hookbox.log_lines import LINE_LIMIT, JsonFormatter, LineFormatter, Mask
from hookbox.webhooks.asked import Asked
from hookbox.webhooks.gate import Question
from hookbox.webhooks.singleflight import SingleFlight


def connection(name="c1", session=""):
    made = Connection(ConnectionId(name), None, "", "", 0.0)
    made.session = session
    return made


def in_greenlet(function, *args):
    """What a function returns in a greenlet of its own, which has these arguments."""
    return gevent.spawn(function, *args).get()


def test_nothing_is_known_at_first():
    assert in_greenlet(known) == {}


def test_a_greenlet_made_for_a_connection_knows_it_and_its_login_by_a_few_digits():
    digest = "0123456789abcdef" * 2
    assert in_greenlet(lambda served: known(), connection("c1", digest)) == {"connection": "c1", "session": "01234567"}


def test_what_is_set_in_a_greenlet_is_known_there_and_nowhere_else():
    class Visit:
        request_id = "r1"

    def work():
        SERVED.set(connection())
        REQUEST.set(Visit())
        DELIVERY.set("dlv_1")
        return known()

    assert in_greenlet(work) == {"connection": "c1", "request": "r1", "delivery": "dlv_1"}
    assert in_greenlet(known) == {}


def test_a_webhook_knows_whose_it_is():
    def ask():
        ASKED.set(Asked("w1", 0.0, Question("publish", {}, connection="c2", session="f" * 32)))
        return known()

    assert in_greenlet(ask) == {"connection": "c2", "session": "ffffffff", "webhook": "w1"}


def test_what_is_done_once_for_many_is_about_the_one_who_asked_first():
    flights = SingleFlight()
    assert in_greenlet(lambda served: flights.do("key", known), connection()) == {"connection": "c1"}
    assert in_greenlet(lambda served: inherited().run(known), connection()) == {"connection": "c1"}


def test_plain_lines_end_in_it_and_json_lines_have_keys():
    said = lambda: {"connection": "c1", "webhook": "w\n1"}  # noqa: E731
    made = record("it happened", fields={"count": 3})
    line = LineFormatter(NO_SECRETS, said).format(made)
    assert line.endswith(r"hookbox.test: it happened [connection=c1 webhook=w\n1 count=3]")
    entry = json.loads(JsonFormatter(NO_SECRETS, said).format(made))
    assert (entry["connection"], entry["webhook"], entry["count"]) == ("c1", r"w\n1", 3)


def test_the_logger_of_requests_keeps_its_plain_form():
    formatter = LineFormatter(NO_SECRETS, lambda: {"request": "r1"}, "hookbox.test")
    assert formatter.format(record("GET /", fields={"status": 200})).endswith("hookbox.test: GET /")


@pytest.mark.parametrize("size", [10, 3000])
def test_what_a_line_is_about_is_never_cut_off_and_never_a_secret_A13_A14(size):
    said = lambda: {"connection": "a-secret-id", "webhook": "w" * size}  # noqa: E731
    line = LineFormatter(Mask(["a-secret-id"]), said).format(record("x" * 5000, level=logging.INFO))
    assert " [connection=*** webhook=ww" in line
    assert len(line.encode()) <= LINE_LIMIT
