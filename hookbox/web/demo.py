"""`hookbox dev`: a gate that says yes to everything, and a page to try things out on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Handler, Headers, LeanBottle
from hookbox.webhooks.gate import Allow, Question, Refuse


class DevGate:
    """Answers every webhook with yes: users are called what they ask to be, channels remember a little."""

    def ask(self, question: Question) -> Allow | Refuse:
        """Allow at once."""
        match question.action:
            case "connect":
                return Allow(_wanted_name(question.fields.get("payload", "null")))
            case "create_channel":
                return Allow({"presenceful": True, "history_size": 20})
            case _:
                return Allow()


def _wanted_name(payload: str) -> JSONObject:
    name = json.loads(payload)
    return {"name": name} if isinstance(name, str) and 0 < len(name) <= 40 else {}


FOLDER: Final = Path(__file__).parent / "demo_page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'"
)


def add_demo(pages: LeanBottle) -> None:
    """Serve the demo page instead of the front page."""
    for path, kind, name in (
        ("/", "text/html", "index.html"),
        ("/static/demo.css", "text/css", "demo.css"),
        ("/static/demo.js", "text/javascript", "demo.js"),
    ):
        pages.serve(path, ["GET"], _fixed(kind, (FOLDER / name).read_bytes()))


def _fixed(kind: str, content: bytes) -> Handler:
    headers: Headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", POLICY),
    ]
    answer = Answer(STATUS_LINES[200], headers, content)

    def serve(environ: Environ) -> Answer:
        return answer

    return serve
