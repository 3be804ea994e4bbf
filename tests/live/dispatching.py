"""Requests to dispatch as somebody's program sends them, and a look into the store that they end up in."""

from __future__ import annotations

import http.client
import json
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple
from urllib.parse import urlencode

from hookbox.testing import DEADLINE, HookboxProcess

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
BATCH = "application/vnd.hookbox.dispatch+json"


class Answer(NamedTuple):
    """What a request was answered; names of headers in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message_id(self):
        return self.headers["hookbox-message-id"]


def request(server, body=b"", headers=None, *, path="/dispatch", method="POST", token=HookboxProcess.TOKEN):
    """Send one request; headers are pairs, or a dictionary of them."""
    pairs = list((headers or {}).items()) if isinstance(headers, dict | None) else list(headers)
    if token is not None:
        pairs.append(("Authorization", f"Bearer {token}"))
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in pairs:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        with suppress(BrokenPipeError, ConnectionResetError):  # what is too large is refused before all of it is sent
            connection.endheaders(body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def form(server, *pairs, query="", token=HookboxProcess.TOKEN, headers=(), **fields):
    """Dispatch a form; a field that stands twice is given as pairs."""
    body = urlencode([*pairs, *((f"_{name}", value) for name, value in fields.items())]).encode()
    path = f"/dispatch?{query}" if query else "/dispatch"
    return request(server, body, [("Content-Type", FORM), *headers], path=path, token=token)


def raw(server, body, content_type=JSON, path="/dispatch", **headers):
    """Dispatch a body as it is; `hookbox_url="..."` is the header Hookbox-Url."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return request(server, body, [("Content-Type", content_type), *pairs], path=path)


def batch(server, **members):
    """Dispatch a batch, and have the answer as JSON."""
    return request(server, json.dumps(members).encode(), {"Content-Type": BATCH, "Accept": JSON})


def rows(path, wanted, *values):
    """Look into a store, whether its server runs or not."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=DEADLINE)) as db:
        return db.execute(wanted, values).fetchall()


def states(path, message_id):
    """How the deliveries of a message stand: state, reason and outcomes of the attempts, by URL."""
    found = rows(
        path,
        "SELECT url, state, reason, (SELECT group_concat(outcome) FROM (SELECT outcome FROM attempts "
        "WHERE delivery = deliveries.id ORDER BY n)) FROM deliveries JOIN messages USING (seq) "
        "WHERE messages.id = ? ORDER BY url",
        message_id,
    )
    return [(url, state, reason, (outcomes or "").split(",")) for url, state, reason, outcomes in found]


def api(server, method, path, **members):
    """Call the backlog's API, which has to agree."""
    body = json.dumps(members).encode() if members else b""
    answer = request(
        server, body, {"Content-Type": JSON} if body else {}, path=f"/api/v1{path}", method=method
    )
    assert answer.status < 300, answer
    return answer
