"""gevent-websocket as it comes, on gevent's pywsgi: upgrades and echoes, and does nothing else.

What Hookbox stands on costs this much on a machine, before it has asked or told anybody anything.
Usage: python -m bench.bare PORT
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from typing import Any  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Send back whatever comes."""
    websocket = environ["wsgi.websocket"]
    while (message := websocket.receive()) is not None:
        websocket.send(message)
    return []


if __name__ == "__main__":
    WSGIServer(
        ("127.0.0.1", int(sys.argv[1])), echo, handler_class=WebSocketHandler, log=None, error_log=None
    ).serve_forever()
