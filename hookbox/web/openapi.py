"""The API described for machines: a plain list, and OpenAPI 3.1. Both are read off the table of methods.

Source: OpenAPI Specification 3.1.0.
"""

from __future__ import annotations

from hookbox import __version__
from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import dump
from hookbox.web.bodies import FORM
from hookbox.web.methods import METHODS, Method
from hookbox.web.params import Param

BY_TOKEN: list[JSON] = [{"bearer": []}]
NO: JSONObject = {
    "type": "object",
    "properties": {
        "msg": {"type": "string"},
        "error": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["msg", "error", "code"],
}


def list_methods() -> str:
    """The methods and their parameters, as JSON text."""
    return dump({"version": __version__, "openapi": "openapi.json", "methods": [_entry(m) for m in METHODS]})


def _entry(method: Method) -> JSONObject:
    entry: JSONObject = {
        "name": method.name,
        "paths": [prefix + name for name in names(method) for prefix in ("/web/", "/rest/")],
        "reads": method.reads,
        "help": method.help,
        "params": [_listed(param) for param in method.params],
    }
    if method.options:
        entry["options"] = method.options
    return entry


def names(method: Method) -> tuple[str, ...]:
    """All names of a method."""
    return (method.name, *method.aliases)


def _listed(param: Param) -> JSONObject:
    entry: JSONObject = {
        "name": param.name,
        "type": param.kind.words,
        "required": param.required,
        "help": param.help,
    }
    if param.aliases:
        entry["aliases"] = list(param.aliases)
    return entry


def describe() -> str:
    """The OpenAPI document, as JSON text."""
    paths: JSONObject = {f"/web/{name}": _path(method, name) for method in METHODS for name in names(method)}
    return dump(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Hookbox",
                "version": __version__,
                "description": "Calls of the web application to Hookbox. Whatever was understood is answered "
                "with status 200: `[true, object]`, or `[false, {msg, error, code}]`.",
            },
            "servers": [{"url": ".."}],
            "security": BY_TOKEN,
            "paths": paths,
            "components": {
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
                "schemas": {"Answer": _answer_schema()},
            },
        }
    )


def _answer_schema() -> JSONObject:
    def pair(first: bool, second: JSONObject) -> JSONObject:
        items: list[JSON] = [{"const": first}, second]
        return {"type": "array", "prefixItems": items, "minItems": 2, "maxItems": 2, "items": False}

    return {"oneOf": [pair(True, {"type": "object"}), pair(False, NO)]}


def _path(method: Method, name: str) -> JSONObject:
    content: JSONObject = {
        FORM: {"schema": _body_schema(method, coded=True)},
        "application/json": {"schema": _body_schema(method, coded=False)},
    }
    post = _operation(method, f"post_{name}")
    post["requestBody"] = {"required": any(param.required for param in method.params), "content": content}
    operations: JSONObject = {"post": post}
    if method.reads:
        get = _operation(method, f"get_{name}")
        get["parameters"] = [_in_query(param) for param in method.params]
        operations["get"] = get
    return operations


def _operation(method: Method, operation_id: str) -> JSONObject:
    refused: JSONObject = {"description": "not understood, or a limit was reached", "content": _answers()}
    return {
        "operationId": operation_id,
        "summary": method.help,
        "responses": {
            "200": {"description": "done, or refused with a reason", "content": _answers()},
            "default": refused,
        },
    }


def _answers() -> JSONObject:
    return {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}


def _body_schema(method: Method, *, coded: bool) -> JSONObject:
    schema: JSONObject = {
        "type": "object",
        "properties": {param.name: _property(param, coded=coded) for param in method.params},
        "required": [param.name for param in method.params if param.required],
    }
    if method.options:
        schema["additionalProperties"] = {"description": method.options}
    return schema


def _property(param: Param, *, coded: bool) -> JSONObject:
    if coded and param.kind.from_text is not param.kind.from_json:
        return {"type": "string", "description": f"{param.help} ({param.kind.words}, as text)"}
    return {**param.kind.schema, "description": param.help}


def _in_query(param: Param) -> JSONObject:
    return {
        "name": param.name,
        "in": "query",
        "required": param.required,
        "schema": param.kind.schema,
        "description": param.help,
    }
