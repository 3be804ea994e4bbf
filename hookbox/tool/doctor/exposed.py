"""What everybody can reach who can reach Hookbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from hookbox.tool.doctor.case import Case
from hookbox.tool.findings import Finding, note, ok, warning, wrong

APART: Final = """\
Move the API, /metrics and /admin to a port that the proxy does not forward:
    hookbox --web-api-port 8002
or keep them to yourself in the proxy; nginx, beside the location of Hookbox:
    location ~ ^{path}/(web|rest|api|dispatch|metrics|admin) {{ deny all; }}"""


def exposed(case: Case) -> Iterator[Finding]:
    """Look what is open without a token or a password."""
    mend = APART.format(path=case.place.path)
    bad = list(_open_doors(case, mend))
    yield from bad
    if not bad:
        yield ok("exposed", "nothing private is open")
    reachable = [name for name, answers in (("API", _api), ("console", _console)) if answers(case)]
    if reachable:
        what = f"the {' and the '.join(reachable)} can be reached from here; only a secret guards that"
        yield note("reachable", what, "", mend)


def _open_doors(case: Case, mend: str) -> Iterator[Finding]:
    answer = case.fetch("GET", "/metrics")
    if answer.status == 200 and "hookbox_" in answer.text:
        yield warning("metrics_open", "everybody can read /metrics (metrics_open)", answer.told, mend)
    answer = case.fetch("POST", "/web/get_server_info", {"Content-Type": "application/json"}, b"{}")
    if answer.status == 200 and answer.body.lstrip().startswith(b"[true"):
        what = "everybody can call the API: the proxy adds the token"
        yield wrong("api_open", what, "/web/get_server_info", mend)
    headers = {"Content-Type": "application/vnd.hookbox.dispatch+json"}
    body = json.dumps({"to": [{"endpoint": "ep_hookbox-doctor"}], "json": None}).encode()
    answer = case.fetch("POST", "/dispatch", headers, body)
    if answer.header("x-request-id") and answer.status in (202, 400, 404, 422) and "token" not in answer.text:
        what = "everybody can have Hookbox send requests: /dispatch wants no token"
        more = (
            'Set dispatch_auth = "token". With "loopback" a proxy on the same machine has to send '
            "X-Forwarded-For, or all that it passes on counts as local.\n"
        )
        yield wrong("dispatch_open", what, answer.told, more + mend)


def _api(case: Case) -> bool:
    answer = case.fetch("POST", "/web/get_server_info", {"Content-Type": "application/json"}, b"{}")
    return answer.status == 200 and answer.body.lstrip().startswith((b"[false", b"[true"))


def _console(case: Case) -> bool:
    answer = case.fetch("GET", "/admin/")
    return answer.status in (200, 401) and "hookbox" in answer.text.lower()
