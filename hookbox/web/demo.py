"""What `hookbox dev` has instead of an application: somebody who says yes to every question, and a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hookbox.web.lean import Answer, Handler, Headers, LeanBottle
from hookbox.webhooks.gate import Allow, Question, Refuse

HERE: Final = Path(__file__).parent
FILES: Final = {"/": ("demo.html", "text/html"), "/demo.js": ("demo.js", "text/javascript")}
HEADERS: Final[Headers] = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
]
LONGEST_NAME: Final = 40


class DemoApplication:
    """A gate that allows everything, names users as they wish, and makes channels that show something."""

    def ask(self, question: Question) -> Allow | Refuse:
        """Allow at once."""
        if question.action == "connect" and (name := wished_name(question.fields.get("payload", ""))):
            return Allow({"name": name})
        if question.action == "create_channel":
            return Allow({"history_size": 20, "presenceful": True})
        return Allow()


def wished_name(payload: str) -> str:
    """The name in a connect payload, or nothing if that is no usable one."""
    try:
        name = json.loads(payload)
    except ValueError:
        return ""
    usable = isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_NAME
    return name.strip() if usable else ""


def add_demo(pages: LeanBottle) -> None:
    """Let the demo page take the place of the front page."""
    for path, (name, kind) in FILES.items():
        pages.serve(path, ["GET"], _file((HERE / name).read_bytes(), kind))


def _file(content: bytes, kind: str) -> Handler:
    headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(content))), *HEADERS]
    answer = Answer("200 OK", headers, content)
    return lambda environ: answer
