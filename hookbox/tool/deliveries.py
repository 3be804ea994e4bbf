"""`hookbox deliveries`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from hookbox.core.values import JSON, JSONObject
from hookbox.tool.api import Api
from hookbox.tool.problems import USAGE, ToolError
from hookbox.tool.progress import Progress, described, wait_for
from hookbox.tool.tables import clean, columns, cut, listing, moment, table
from hookbox.tool.target import first_line

FILTERS: Final = ("state", "reason", "endpoint", "topic", "tag", "message", "q", "since", "until")
HEAD: Final = ("DELIVERY", "STATE", "TRIES", "STATUS", "CREATED (UTC)", "TOPIC", "URL")
LINES_OF_BODY: Final = 20


def act(api: Api, given: argparse.Namespace) -> JSONObject:
    """Do what is wanted; returns the answer."""
    actions = {"list": listed, "show": show, "retry": retry, "replay": replay, "job": job}
    return actions[given.action](api, given)


def told(answer: JSONObject, given: argparse.Namespace) -> str:
    """What is printed after it."""
    if given.action == "list":
        return table(HEAD, map(_row, _objects(answer["deliveries"])), columns())
    if given.action == "show":
        return _shown(answer)
    if given.action == "retry" and given.ids:
        return "".join(f"{clean(each['id'])} is tried now\n" for each in _objects(answer["deliveries"]))
    return f"{clean(answer.get('id'))}: {described(answer)}\n"


def failed(answer: JSONObject) -> bool:
    """Whether what was begun came to nothing."""
    return answer.get("state") == "failed" and "attempts_made" not in answer


def listed(api: Api, given: argparse.Namespace) -> JSONObject:
    """Deliveries."""
    return {"deliveries": list(api.pages("/deliveries", "deliveries", _filters(given), given.limit))}


def _filters(given: argparse.Namespace) -> JSONObject:
    return {name: getattr(given, name) for name in FILTERS if getattr(given, name)}


def show(api: Api, given: argparse.Namespace) -> JSONObject:
    """One delivery."""
    return api.backlog("GET", f"/deliveries/{_part(given.id)}")


def retry(api: Api, given: argparse.Namespace) -> JSONObject:
    """Some deliveries, or all that are found."""
    filters = _filters(given)
    if bool(given.ids) == bool(filters):
        raise ToolError("name deliveries, or give --since and other filters", USAGE)
    if given.ids:
        if given.rate is not None:
            raise ToolError("--rate is for deliveries that are found by filters", USAGE)
        wanted: JSONObject = {"reset": given.reset}
        tried = [api.backlog("POST", f"/deliveries/{_part(name)}/retry", wanted) for name in given.ids]
        return {"deliveries": [*tried]}
    if "since" not in filters:
        raise ToolError("--since is required: from when on are deliveries to be tried again?", USAGE)
    begun = api.backlog("POST", "/deliveries/retry", {**filters, "rate": given.rate, "reset": given.reset})
    return _followed(api, begun, given)


def replay(api: Api, given: argparse.Namespace) -> JSONObject:
    """What is kept of a topic, once more."""
    where = "endpoint" if given.to_whom.startswith("ep_") else "url"
    wanted: JSONObject = {where: given.to_whom, "from": given.begin, "to": given.end}
    if given.secret_file:
        wanted["secret"] = first_line(given.secret_file, "--secret-file")
    begun = api.backlog("POST", f"/topics/{_part(given.topic)}/replay", wanted)
    return _followed(api, begun, given)


def job(api: Api, given: argparse.Namespace) -> JSONObject:
    """A job: how it stands, or stands at its end."""
    if given.cancel:
        api.backlog("POST", f"/jobs/{_part(given.id)}/cancel")
    return _followed(api, {"job": given.id}, given)


def _followed(api: Api, begun: JSONObject, given: argparse.Namespace) -> JSONObject:
    name = clean(begun.get("job"))
    given.job = name  # so that who gives up waiting can be told
    if given.no_wait:
        return api.backlog("GET", f"/jobs/{_part(name)}")
    return wait_for(api, _part(name), Progress())


def _part(text: str) -> str:
    return quote(text, safe="")


def _row(row: JSONObject) -> list[JSON]:
    state = f"{clean(row.get('state'))} ({clean(row['reason'])})" if row.get("reason") else row.get("state")
    return [
        row.get("id"), state, row.get("attempts"), row.get("last_status"), moment(row.get("created")),
        row.get("topic"), row.get("url"),
    ]  # fmt: skip


def _shown(answer: JSONObject) -> str:
    wishes = answer.get("wishes")
    about = {**answer, **(wishes if isinstance(wishes, dict) else {})}
    left_out = ("attempts_made", "wishes", "headers", "failures")
    text = listing((name.replace("_", " "), value) for name, value in about.items() if name not in left_out)
    made = _objects(answer.get("attempts_made"))
    if not made:
        return text + "\nno attempt yet\n"
    head = ("TRY", "BY", "AT (UTC)", "TOOK", "RESULT", "STATUS", "ADDRESS", "DETAIL")
    return f"{text}\n{table(head, map(_attempt, made), columns())}{_body(made)}"


def _attempt(row: JSONObject) -> list[JSON]:
    return [
        row.get("n"), row.get("trigger"), moment(row.get("time")), f"{clean(row.get('took_ms'))} ms",
        row.get("class"), row.get("status"), row.get("address"), row.get("detail"),
    ]  # fmt: skip


def _body(made: Iterable[JSONObject]) -> str:
    """The last answer's body, if it is text."""
    bodies = [row["response"].get("body") for row in made if isinstance(row.get("response"), dict)]  # type: ignore[union-attr]
    if not bodies or not isinstance(bodies[-1], str) or not bodies[-1]:
        return ""
    lines = [clean(line) for line in bodies[-1].splitlines()]
    fit = columns()
    shown = [line if fit is None else cut(line, fit - 2) for line in lines[:LINES_OF_BODY]]
    more = [f"({len(lines) - LINES_OF_BODY} more lines)"] if len(lines) > LINES_OF_BODY else []
    return "\nlast answer:\n" + "".join(f"  {line}\n" for line in [*shown, *more])


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
