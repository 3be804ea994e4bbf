"""An operator at the console: plain HTTP requests as the pages make them, and the feed's client."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hookbox.testing import DEADLINE
from hookbox.testing.client import Client

COOKIE = "__Host-hookbox_admin"
FORM = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Operator:
    """Somebody with a browser at `/admin/`.

    Args:
        port: of the door.
        base: path of the console.
    """

    def __init__(self, port, base="/admin/"):
        self.port = port
        self.base = base
        self.origin = f"http://127.0.0.1:{port}"
        self.cookie = ""
        self.csrf = ""

    def request(self, method, path, body=b"", headers=None):
        """One request as it stands; `path` begins with a slash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def headers(self, **more):
        """What the pages send along."""
        given = {"Origin": self.origin, "X-Hookbox-CSRF": self.csrf, "Content-Type": "application/json"}
        if self.cookie:
            given["Cookie"] = f"other=1; {COOKIE}={self.cookie}"
        return given | more

    def get(self, path, **query):
        """Read something; returns JSON."""
        target = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        answer = self.request("GET", target, headers=self.headers())
        assert answer.status == 200, (target, answer.status, answer.body)
        return answer.json

    def post(self, path, status=200, **given):
        """Change something; returns JSON."""
        answer = self.request("POST", self.base + path, json.dumps(given).encode(), self.headers())
        assert answer.status == status, (path, answer.status, answer.body)
        return answer.json

    def try_password(self, password, **headers):
        """Post the login form."""
        given = {"Content-Type": FORM, "Origin": self.origin} | headers
        return self.request("POST", f"{self.base}login", urlencode({"password": password}).encode(), given)

    def log_in(self, password):
        """Log in; returns itself."""
        answer = self.try_password(password)
        assert answer.status == 303, answer
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        self.csrf = self.get("api/session")["csrf"]
        return self

    def feed(self, *channels):
        """The feed by WebSocket, with these channels subscribed."""
        headers = {"Cookie": f"{COOKIE}={self.cookie}", "Origin": self.origin}
        client = Client(self.origin, headers=headers, path=f"{self.base}ws", features=["ack", "close"])
        client.connect(None)
        for channel in channels:
            client.subscribe(channel)
        return client
