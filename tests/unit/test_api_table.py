"""The table of methods is the only list there is: routes, OpenAPI and the manual say the same."""

import json
import re
import shlex
from pathlib import Path

import pytest
from api_site import FORM, Rig

from hookbox.core.options import ChannelOptions, Polling, UserOptions
from hookbox.web.api import BARE
from hookbox.web.configure import CHANGEABLE
from hookbox.web.methods import BY_NAME, METHODS
from hookbox.webhooks.asked import Asked, Verdict
from hookbox.webhooks.gate import Question

MANUAL = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", MANUAL, re.MULTILINE | re.DOTALL))
SPECIFIED = {
    "publish", "publish_multi", "batch", "subscribe", "unsubscribe", "message", "create_channel", "destroy_channel",
    "get_channel_info", "channel_info", "set_channel_options", "history", "state_set_key", "state_delete_key",
    "state_multi_set", "get_user_info", "set_user_options", "disconnect", "disconnect_user", "get_server_info",
    "get_webhook_log", "set_config",
}  # fmt: skip
READING = {"get_channel_info", "history", "get_user_info", "get_server_info", "get_webhook_log"}


@pytest.fixture(scope="module")
def rig():
    return Rig()


def test_all_methods_are_there():
    assert BY_NAME.keys() == SPECIFIED
    assert {method.name for method in METHODS if method.reads} == READING


@pytest.mark.parametrize("name", sorted(SPECIFIED))
def test_every_method_is_served_under_web_and_rest(rig, name):
    for prefix in ("/web/", "/rest/", *(["/"] if name in BARE else [])):
        answer = rig.request("POST", prefix + name, token="wrong")
        assert (answer.status, answer.code) == (200, "bad_token")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_A6_no_method_answers_without_a_token(rig, method):
    for http in ("GET", "POST"):
        answer = rig.request(http, f"/web/{method.name}", token=None)
        assert answer.code == ("bad_token" if http == "POST" or method.reads else "method_not_allowed")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_A3_get_is_for_methods_that_change_nothing(rig, method):
    answer = rig.request("GET", f"/web/{method.name}")
    assert (answer.status == 200) is method.reads


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_required_parameter_that_is_missing_is_named(rig, method):
    required = [param.name for param in method.params if param.required]
    if required:
        assert rig.json(method.name).error == f"{required[0]} required"


# descriptions for machines


def test_the_list_of_methods_needs_no_token_and_tells_no_secret(rig):
    for path in ("/web/", "/web", "/rest/"):
        answer = rig.request("GET", path, token=None)
        listed = {entry["name"]: entry for entry in answer.json["methods"]}
        assert list(listed) == [method.name for method in METHODS]
    assert listed["publish"]["params"][0] == {
        "name": "channel_name",
        "type": "channel name",
        "required": True,
        "help": "name of the channel",
    }
    assert all(entry["help"] for entry in listed.values())
    assert rig.request("POST", "/web/").status == 405


def test_openapi_describes_every_method(rig):
    document = rig.request("GET", "/web/openapi.json", token=None).json
    assert document["openapi"] == "3.1.0"
    assert document["paths"].keys() == {f"/web/{name}" for name in SPECIFIED}
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    for name, method in BY_NAME.items():
        operations = document["paths"][f"/web/{name}"]
        assert operations.keys() == ({"get", "post"} if method.reads else {"post"})
        content = operations["post"]["requestBody"]["content"]
        for kind in (FORM, "application/json"):
            schema = content[kind]["schema"]
            assert list(schema["properties"]) == [param.name for param in method.params]
            assert schema["required"] == [param.name for param in method.params if param.required]
            assert ("additionalProperties" in schema) is bool(method.options)


def test_every_reference_of_openapi_leads_somewhere(rig):
    document = rig.request("GET", "/web/openapi.json", token=None).json
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        place = document
        for part in reference.split("/"):
            place = place[part]


# the manual


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_manual_has_a_section_with_every_parameter_of_each_method(method):
    section = SECTIONS[method.name]
    cells = " ".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))
    for param in method.params:
        assert f"`{param.name}`" in cells, f"{param.name} of {method.name}"
    assert (f"]({'#user-options' if 'user' in method.options else '#channel-options'})" in cells) is (
        "option" in method.options
    )
    for alias in method.aliases:
        assert f"`{alias}`" in section
    assert ("Only reads" in section) is method.reads
    assert f"[{method.name}](#{method.name})" in MANUAL.split("## The request")[0]


def test_the_manual_names_every_option():
    for kind, title in (
        (ChannelOptions, "Channel options"),
        (UserOptions, "User options"),
        (Polling, "Polling"),
    ):
        for name in kind.__dataclass_fields__:
            assert f"`{name}`" in SECTIONS[title], name
    for name in CHANGEABLE:
        assert f"`{name}`" in SECTIONS["set_config"] or name.startswith("cb_"), name


def test_the_manual_explains_every_code():
    explained = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", SECTIONS["The answer"], re.MULTILINE)))
    )
    source = Path(__file__).parents[2] / "hookbox"
    used = set()
    for path in ("web/answers.py", "web/api.py", "web/bodies.py", "web/caller.py", "web/params.py"):
        used |= set(
            re.findall(
                r'(?:code = |Unreadable\(\s*\d+,\s*|refusal\("[\w ]+", )"(\w+)"', (source / path).read_text()
            )
        )
    assert {"bad_token", "bad_json", "too_large", "internal", "rate", "partly_failed"} <= used
    assert used <= explained


def commands(text):
    """The curl commands of a text, each with the answer that is shown for it."""
    return re.findall(r"```sh\n(curl .+?)```\n\n```json\n(.+?)```", text, re.DOTALL)


def call(rig, command):
    """Make the call that a curl command makes."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    data, headers, url, method = [], {}, "", ""
    while words:
        match words.pop(0):
            case "-d":
                data.append(words.pop(0))
            case "--data-urlencode":
                name, _, value = words.pop(0).partition("=")
                data.append(f"{name}={''.join(f'%{byte:02X}' for byte in value.encode())}")
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-G":
                method = "GET"
            case word:
                assert word.startswith("http://localhost:8001/")
                url = word.removeprefix("http://localhost:8001")
    assert headers.pop("Authorization") == "Bearer $TOKEN"
    method = method or ("POST" if data else "GET")
    body = "&".join(data)
    sent = {"query": body} if method == "GET" else {"body": body.encode()}
    return rig.request(method, url, content_type=headers.get("Content-Type", FORM), **sent)


def failed_webhook():
    question = Question(
        "subscribe", {"channel_name": "lobby", "user": "ann"}, "sessionid=abc", connection="c1"
    )
    url = "http://127.0.0.1:8000/hookbox/subscribe"
    failed = Verdict.FAILED
    return Asked("k-1", 1767225600.25, question, url=url, verdict=failed, why="status 404", status=404, took=0.25)


def shape(value):
    """What of an answer is the same each time."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value)


def test_the_examples_of_the_manual_work_and_answer_what_it_says():
    rig = Rig()
    for name in ("lobby", "news"):
        rig.channel(name)
    for name in ("ann", "bob"):
        rig.user(name)
    rig.user("carl")
    ids = {"id-of-carl": "5d0c7f2be1a64a8f9f3b6a4e2c1d0b7a"}
    rig.site.hub.connections[ids["id-of-carl"]] = rig.site.hub.connections.pop("id-of-carl")
    assert rig.form("subscribe", channel_name="lobby", name="bob").result == {}
    rig.webhook_log.keep(failed_webhook())
    examples = commands(MANUAL)
    assert len(examples) == len(METHODS) + 1, "each method has one, and there is one at the top"
    for command, answer in examples:
        done, result = call(rig, command).json
        expected = json.loads(answer)
        assert (done, type(result)) == (expected[0], dict), (command, result)
        for key in ("options", "counts"):  # shown in part
            if key in expected[1]:
                assert expected[1].pop(key).keys() <= result.pop(key).keys()
        assert shape(result) == shape(expected[1]), command


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_each_section_shows_a_call_of_its_own_method(method):
    ((command, answer),) = commands(SECTIONS[method.name])
    assert f"/web/{method.name} " in command
    assert json.loads(answer)[0] is True
