# ruff: noqa: E402
"""A door with a small application behind it, in a process of its own, for what Hookbox's own would never do.

python door_server.py '{"files": 0, "limit": 1000, "any setting": "its value"}'

Prints the port; log lines go to standard error; ends when standard input does.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json
import logging
import resource
import sys
import time

import gevent
from gevent.fileobject import FileObject
from gevent.socket import wait_read

from hookbox.settings import Settings
from hookbox.web.admission import Admission
from hookbox.web.http import HttpServer
from hookbox.web.listen import listen, tls_context

TEXT = ("Content-Type", "text/plain")
doors = []


def application(environ, start_response):
    """Answers by path; what it is told in the query it does."""
    path = environ["PATH_INFO"]
    if path == "/late":
        start_response("200 OK", [TEXT])
        return fail_after(b"begun")
    if path == "/never":
        start_response("200 OK", [TEXT])
        return fail_after()
    if path == "/raise":
        raise RuntimeError("secret detail")
    if path == "/injection":
        start_response("200 OK", [TEXT, ("X-Bad", "a\r\nSet-Cookie: stolen=1")])
        return [b"injected"]
    if path == "/missing":
        start_response("404 Not Found", [TEXT])
        return [b"missing"]
    if path == "/pieces":
        start_response("200 OK", [TEXT])
        return iter([b"one", b"", b"two"])
    if path == "/endless":
        start_response("200 OK", [TEXT])
        return iter(lambda: bytes(65536), None)
    if path == "/open":
        start_response("200 OK", [TEXT])
        return [str(doors[0].admission.open).encode()]
    if path == "/drain":
        doors[0].begin_draining()
    start_response("200 OK", [("Content-Type", "application/json")])
    body = environ["wsgi.input"].read().decode("latin-1")
    texts = {name: value for name, value in environ.items() if isinstance(value, str)}
    return [json.dumps({"body": body, **texts}).encode()]


def fail_after(*pieces):
    yield from pieces
    raise RuntimeError("secret detail")


def serve_websocket(upgrade):
    """Says what it got, then echoes bytes until the client closes."""
    if upgrade.cookies == "fail=1":
        raise RuntimeError("secret detail")
    gevent.spawn(echo, upgrade)


def echo(upgrade):
    sock = upgrade.sock
    sock.send(
        json.dumps([upgrade.leftover.decode(), upgrade.cookies, type(sock).__module__]).encode() + b"\n"
    )
    while True:
        wait_read(sock.fileno())
        data = sock.recv(4096)
        if not data:
            break
        sock.send(data)
    sock.close()
    doors[0].admission.leave(upgrade.peer)


def main():
    given = json.loads(sys.argv[1])
    files = given.pop("files", 0)
    limit = given.pop("limit", 1000)
    interface = given.pop("interface", "127.0.0.1")
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    settings = Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})
    listener = listen(interface, 0)
    door = HttpServer(
        listener,
        application,
        settings=settings,
        admission=Admission(limit, settings.connections_per_ip, settings.accept_rate, time.monotonic),
        on_websocket=serve_websocket,
        on_visit=lambda visit: logging.getLogger("visit").info("%s", " ".join(map(str, visit_fields(visit)))),
        ssl_context=tls_context(settings.certfile, settings.keyfile),
    )
    doors.append(door)
    door.start()
    print(listener.getsockname()[1], flush=True)
    FileObject(sys.stdin.buffer).read()


def visit_fields(visit):
    return visit.client_ip, visit.method, visit.path, visit.status, visit.sent


if __name__ == "__main__":
    main()
