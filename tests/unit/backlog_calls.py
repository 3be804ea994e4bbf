"""Calls of `/api/v1` without sockets: the real application on a real store and worker."""

import io
import json
from dataclasses import replace
from urllib.parse import quote, urlencode

from post_office import PostOffice
from store_values import message

from hookbox.delivery.egress import Mode, Policy
from hookbox.delivery.ids import ulid
from hookbox.delivery.jobs import Jobs
from hookbox.delivery.store.backlog import Backlog
from hookbox.delivery.store.base import Entry
from hookbox.errors import BadRequest
from hookbox.web.backlog.app import make_backlog
from hookbox.web.backlog.office import Office

TOKEN = "s3cret"


def allow(environ):
    shown = environ.get("HTTP_AUTHORIZATION")
    if shown == "Bearer nobody":
        raise BadRequest(403, "not you")
    if shown != f"Bearer {TOKEN}":
        raise BadRequest(401, "wrong token", (("WWW-Authenticate", "Bearer"),))


class Reply:
    """What came back."""

    def __init__(self, status, headers, body):
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.json = json.loads(body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]}"


class Backroom:
    """A post office with an application that operators call.

    Args:
        about: of the post office.
    """

    def __init__(self, mode=Mode.PUBLIC, queue=None, **about):
        self.post = PostOffice(**about)
        if queue:
            self.post.store._store.limits = replace(self.post.store.limits, queue=queue)
        self.mode = mode
        self.ended = []
        self.post.start()
        self.open()

    def open(self):
        post = self.post
        self.backlog = Backlog(post.store)
        self.jobs = Jobs(self.backlog, post.worker, post.clock, post.turning.wait)
        self.jobs.start()
        self.office = Office(
            post.store, self.backlog, post.worker, post.numbers, self.jobs, post.clock,
            lambda: Policy(self.mode), self.ended.append,
        )  # fmt: skip
        self.app = make_backlog(lambda: self.office, allow, api_body=lambda: 100_000, json_depth=lambda: 16)
        post.others = [self.jobs._group]

    def close(self):
        self.jobs.stop()
        self.post.close()

    def call(self, method, path, json_body=None, form=None, query="", body=b"", token=TOKEN, **headers):
        """Make a call; returns a Reply. Never a 500."""
        if json_body is not None:
            body, headers["CONTENT_TYPE"] = json.dumps(json_body).encode(), "application/json"
        if form is not None:
            body, headers["CONTENT_TYPE"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        if isinstance(query, dict):
            query = urlencode(query)
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/api/v1" + path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **headers,
        }
        if token is not None:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        answered = []
        parts = self.app(environ, lambda status, headers: answered.extend([status, headers]))
        reply = Reply(*answered, b"".join(parts))
        assert reply.status != 500, reply
        if reply.status >= 400:
            assert set(reply.json) == {"error", "message"}
        return reply

    def get(self, path, status=200, **query):
        reply = self.call("GET", path, query=query)
        assert reply.status == status, reply
        return reply.json

    def post_to(self, path, status=200, json_body=None, **form):
        reply = self.call("POST", path, json_body, form or None)
        assert reply.status == status, reply
        return reply.json

    def publish(self, topic, count=1, **about):
        """Keep messages of a topic; returns their ids, oldest first."""
        names = []
        for _ in range(count):
            now = self.post.now_ms
            seq = self.post.numbers.next()
            made = message(
                seq, topic, **{"id": f"msg_{ulid(now)}", "time_ms": now, "offset": seq, "epoch": "e", **about}
            )
            self.post.store.accept(Entry(made))
            names.append(made.id)
        return names

    def walk(self, path, name, **query):
        """Everything of a listing, through its cursors."""
        found, cursor, calls = [], "", 0
        while cursor is not None:
            page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            found += page[name]
            cursor = page["cursor"]
            calls += 1
            assert calls < 1000
        return found


def path_of(topic):
    return quote(topic, safe="")
