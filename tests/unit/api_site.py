"""A site whose API can be called in the same process: real registries and broker, nothing on the network."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import gevent

from hookbox.clock import ManualClock
from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.core.user import User
from hookbox.engine.memory import MemoryBroker
from hookbox.protocol.disconnects import Disconnect
from hookbox.settings import Settings
from hookbox.web.api import make_api
from hookbox.web.caller import Callers, Parts
from hookbox.webhooks.asked import WebhookLog
from hookbox.webhooks.gate import Allow, Question, Refuse

TOKEN = "a-token"
FORM = "application/x-www-form-urlencoded"


class Gate:
    """An application that answers as told; yes by default. A function may block before it answers."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answers: dict[str, Allow | Refuse | Callable[[Question], Allow | Refuse]] = {}

    def ask(self, question: Question) -> Allow | Refuse:
        self.asked.append(question)
        answer = self.answers.get(question.action, Allow())
        return answer(question) if callable(answer) else answer

    def actions(self) -> list[str]:
        return [question.action for question in self.asked]


@dataclass(eq=False)
class Timer:
    due: float
    function: Callable[..., object]
    args: tuple[Any, ...]
    owner: Later

    def kill(self, block: bool = True) -> None:
        if self in self.owner.waiting:
            self.owner.waiting.remove(self)


class Later:
    """Runs nothing by itself: `pass_time` turns the clock and runs what falls due."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.waiting: list[Timer] = []

    def spawn(self, function: Callable[..., object], *args: Any) -> Timer:
        return self.spawn_later(0, function, *args)

    def spawn_later(self, seconds: float, function: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(self.clock.monotonic() + seconds, function, args, self)
        self.waiting.append(timer)
        return timer

    def pass_time(self, seconds: float = 0) -> None:
        end = self.clock.monotonic() + seconds
        while due := [timer for timer in self.waiting if timer.due <= end]:
            timer = min(due, key=lambda timer: timer.due)
            self.waiting.remove(timer)
            self.clock.advance(max(0.0, timer.due - self.clock.monotonic()))
            timer.function(*timer.args)
        self.clock.advance(max(0.0, end - self.clock.monotonic()))


class Outbox:
    """Keeps the frames it is given, as name and arguments."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, dict[str, Any]]] = []

    def put(self, frame: Any) -> None:
        _id, name, args = json.loads(frame.line(1))
        self.frames.append((name, args))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [args for kind, args in self.frames if kind == name]


class Carrier:
    def __init__(self) -> None:
        self.closed_with: Disconnect | None = None

    def drop(self) -> None:
        """Nothing is queued: everything has arrived."""

    flush = drop

    def close(self, why: Disconnect) -> None:
        self.closed_with = why


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> dict[str, Any]:
        assert self.status == 200, self
        done, result = self.json
        assert done is True, result
        return result

    @property
    def error(self) -> str:
        """The message of a refusal, which stands in both places."""
        done, result = self.json
        assert done is False, self
        assert result["msg"] == result["error"]
        return result["error"]

    @property
    def code(self) -> str:
        return self.json[1]["code"]


class Rig:
    """A site and its API.

    Args:
        settings: by name.
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.gate = Gate()
        self.later = Later(self.clock)
        self.congested = False
        self.changes: list[dict[str, Any]] = []
        given = Settings(**{"api_security_token": (TOKEN,), **settings})
        budget = Budget(given.history_total_bytes, given.history_bytes, given.history_messages)
        self.site = Site(
            settings=given,
            clock=self.clock,
            hub=Hub(budget),
            broker=MemoryBroker(budget),
            app=self.gate,
            fan_out=lambda frame, outboxes: [outbox.put(frame) for outbox in outboxes] and None,
            later=self.later,
        )
        self.webhook_log = WebhookLog(lambda: 100)
        parts = Parts(
            self.site,
            self._apply,
            lambda: self.congested,
            lambda: {"asked": len(self.gate.asked)},
            self.clock.monotonic(),
            self.webhook_log,
        )
        self.app = make_api(self.site, apply_settings=self._apply, callers=Callers(parts))

    def _apply(self, changes: dict[str, Any]) -> None:
        self.changes.append(dict(changes))
        self.site.settings = replace(self.site.settings, **changes)

    # calling

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: str = "",
        content_type: str | None = FORM,
        token: str | None = TOKEN,
        app: Any = None,
        **environ: Any,
    ) -> Answered:
        given: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(body),
        }
        if body:
            given["CONTENT_LENGTH"] = str(len(body))
        if content_type is not None:
            given["CONTENT_TYPE"] = content_type
        if token is not None:
            given["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        started: list[tuple[str, list[tuple[str, str]]]] = []
        answer = (app or self.app)({**given, **environ}, lambda *line: started.append(line))
        status, headers = started[0]
        return Answered(int(status[:3]), dict(headers), b"".join(answer))

    def form(self, name: str, _path: str = "", /, **fields: str) -> Answered:
        """A call with a form, as curl -d would send it."""
        return self.request("POST", _path or f"/web/{name}", urlencode(fields).encode())

    def json(self, name: str, /, **params: Any) -> Answered:
        return self.request(
            "POST", f"/web/{name}", json.dumps(params).encode(), content_type="application/json"
        )

    def get(self, name: str, /, **fields: str) -> Answered:
        return self.request("GET", f"/web/{name}", query=urlencode(fields))

    # the world

    def channel(self, name: str = "c", **options: Any) -> Any:
        assert self.json("create_channel", channel_name=name, **options).result == {}
        return self.site.hub.channels[name]

    def user(self, name: str = "alice", cookies: str = "") -> Seat:
        connection = Connection(f"id-of-{name}", Outbox(), cookies, "192.0.2.1", self.clock.monotonic())
        connection.cookies = cookies
        connection.transport = Carrier()
        return Seat(connection, self.site.hub.attach(connection, name))


@dataclass
class Seat:
    """A connected user, and what it gets."""

    connection: Any
    user: User
    extra: list[Any] = field(default_factory=list)

    @property
    def outbox(self) -> Outbox:
        return self.connection.outbox

    @property
    def payloads(self) -> list[Any]:
        return [args["payload"] for args in self.outbox.named("PUBLISH")]


def turn_over() -> None:
    """Let every greenlet that can run do so."""
    for _ in range(5):
        gevent.sleep(0)
