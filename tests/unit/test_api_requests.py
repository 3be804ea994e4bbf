"""How calls come in: tokens, bodies, paths, limits. Statuses and refusals."""

import json
from urllib.parse import unquote_to_bytes, urlencode

import pytest
from api_site import FORM, TOKEN, Rig
from hypothesis import given
from hypothesis import strategies as st

from hookbox.web.api import body_limit, serves
from hookbox.web.bodies import unescape
from hookbox.webhooks.gate import AllowAll

PUBLISH = b"channel_name=c&payload=1"


@pytest.fixture
def rig():
    rig = Rig()
    rig.channel("c", moderated=False)
    return rig


@pytest.fixture
def open_rig():
    rig = Rig(allow_query_token=True)
    rig.channel("c", moderated=False)
    return rig


# where the token may stand


@pytest.mark.parametrize("field", ["security_token", "secret"])
def test_A6_the_token_may_stand_in_the_body(rig, field):
    body = PUBLISH + f"&{field}={TOKEN}".encode()
    assert rig.request("POST", "/web/publish", body, token=None).result["offset"] == 1
    params = {"channel_name": "c", field: TOKEN}
    answer = rig.request(
        "POST", "/web/publish", json.dumps(params).encode(), content_type="application/json", token=None
    )
    assert answer.result["offset"] == 2


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_A6_the_token_may_stand_in_the_header(rig, scheme):
    answer = rig.request("POST", "/web/publish", PUBLISH, HTTP_AUTHORIZATION=f"{scheme} {TOKEN}")
    assert answer.result["offset"] == 1


@pytest.mark.parametrize("wrong", ["", "x", TOKEN + "x", TOKEN[:-1], "é", "\x00", "ÿ" * 300])
def test_A6_a_wrong_token_is_refused_with_status_200(rig, wrong):
    answer = rig.request("POST", "/web/publish", PUBLISH, token=wrong)
    assert answer.status == 200
    assert answer.error == "Invalid security token"
    assert answer.code == "bad_token"
    assert answer.headers["X-Request-ID"]


def test_A6_a_wrong_token_in_the_body_is_refused_whatever_its_type(rig):
    for wrong in (1, True, [TOKEN], {"a": TOKEN}, "é", "\ud7ff"):
        answer = rig.request(
            "POST",
            "/web/publish",
            json.dumps({"channel_name": "c", "secret": wrong}).encode(),
            content_type="application/json",
            token=None,
        )
        assert (answer.status, answer.code) == (200, "bad_token")


def test_A6_no_token_at_all_is_refused(rig):
    answer = rig.request("POST", "/web/publish", PUBLISH, token=None)
    assert (answer.status, answer.code) == (200, "bad_token")
    assert "Authorization: Bearer" in answer.error


def test_A6_a_token_with_letters_beyond_ascii_works_in_the_header_and_in_the_body():
    rig = Rig(api_security_token=("clé",))
    on_the_wire = "clé".encode().decode("latin-1")  # as WSGI has headers
    assert rig.request("POST", "/web/get_server_info", token=on_the_wire).result
    body = urlencode({"secret": "clé"}).encode()
    assert rig.request("POST", "/web/get_server_info", body, token=None).result


def test_A6_two_tokens_may_be_active():
    rig = Rig(api_security_token=("old", "new"))
    assert rig.request("POST", "/web/get_server_info", token="old").result
    assert rig.request("POST", "/web/get_server_info", token="new").result
    assert rig.request("POST", "/web/get_server_info", token="older").code == "bad_token"


@pytest.mark.parametrize("tokens", [(), ("",), ("", "")])
def test_A6_without_a_configured_token_the_api_is_off_and_not_open(tokens):
    rig = Rig(api_security_token=tokens)
    for token in (None, "", "None"):
        answer = rig.request("POST", "/web/get_server_info", token=token)
        assert (answer.status, answer.code) == (200, "bad_token")
        assert "api_security_token" in answer.error


@pytest.mark.parametrize("field", ["security_token", "secret"])
def test_A6_a_token_in_the_query_is_refused_and_the_setting_is_named(rig, open_rig, field):
    query = f"{field}={TOKEN}"
    for method in ("GET", "POST"):
        answer = rig.request(method, "/web/get_server_info", query=query, token=None)
        assert (answer.status, answer.code) == (200, "bad_token")
        assert "allow_query_token" in answer.error
        assert open_rig.request(method, "/web/get_server_info", query=query, token=None).result
    assert open_rig.request("GET", "/web/get_server_info", query="secret=x", token=None).code == "bad_token"


def test_A6_get_changes_something_only_with_the_setting(rig, open_rig):
    query = "channel_name=c&payload=1"
    answer = rig.request("GET", "/web/publish", query=query)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"
    assert "allow_query_token" in answer.error
    assert rig.site.counters.publications == 0
    assert open_rig.request("GET", "/web/publish", query=query).result["offset"] == 1


def test_a_setting_changed_while_running_counts_at_once(rig):
    assert rig.json("set_config", api_security_token=["other"]).result
    assert rig.request("POST", "/web/get_server_info").code == "bad_token"
    assert rig.request("POST", "/web/get_server_info", token="other").result


# paths and methods


@pytest.mark.parametrize(
    "path", ["/web/publish", "/rest/publish", "/publish"], ids=["web", "rest", "bare as in 0.1"]
)
def test_publish_is_served_on_all_its_paths(rig, path):
    assert rig.request("POST", path, PUBLISH).result["offset"] == 1


@pytest.mark.parametrize("path", ["/web/channel_info", "/rest/get_channel_info", "/channel_info"])
def test_channel_info_is_served_on_all_its_paths(rig, path):
    assert rig.request("GET", path, query="channel_name=c").result["channel_name"] == "c"
    assert rig.request("POST", path, b"channel_name=c").result["channel_name"] == "c"


def test_an_unknown_method_is_404_and_the_nearest_is_named(rig):
    answer = rig.form("publihs")
    assert (answer.status, answer.code) == (404, "unknown_method")
    assert "publish" in answer.error
    assert rig.request("POST", "/web/publish/x", PUBLISH).status == 404
    assert rig.request("POST", "/rest/__init__", PUBLISH).status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    ("path", "allow"), [("/web/publish", "POST"), ("/web/channel_info", "GET, HEAD, POST")]
)
def test_H9_a_wrong_method_is_405_with_allow(rig, method, path, allow):
    answer = rig.request(method, path, PUBLISH, query="channel_name=c")
    if method == "HEAD" and "HEAD" in allow:
        assert (answer.status, answer.body) == (200, b"")
        return
    assert answer.status == 405
    assert answer.headers["Allow"] == allow
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert rig.site.counters.publications == 0


def test_H9_a_wrong_method_at_a_bare_path_is_405_with_allow(rig):
    answer = rig.request("PUT", "/publish", PUBLISH)
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


def test_the_paths_of_the_api_are_told_from_others():
    for path in ("/web/", "/web", "/web/publish", "/rest/x", "/publish", "/set_channel_options"):
        assert serves(path)
    for path in ("/", "/ws", "/csp/send", "/webx", "/publishx", "/static/web/", ""):
        assert not serves(path)
    rig = Rig(api_body=77)
    assert body_limit(rig.site.settings, "/web/publish") == 77
    assert body_limit(rig.site.settings, "/csp/send") is None


def test_what_is_meant_for_the_hub_goes_there_from_the_bare_paths_only():
    from hookbox.web.answers import answer
    from hookbox.web.api import make_api

    rig = Rig()
    app = make_api(
        rig.site,
        apply_settings=lambda changes: None,
        hub=lambda environ, body: answer("202 Accepted", (body or b"in the query").decode()),
    )
    body = b"hub.mode=publish&hub.topic=x"
    assert rig.request("POST", "/publish", body, app=app, token=None).body == body
    assert rig.request("POST", "/subscribe", body, app=app, token=None).status == 202
    assert rig.request("POST", "/publish", b"x", query="hub.mode=publish", app=app, token=None).body == b"in the query"
    off = make_api(rig.site, apply_settings=lambda changes: None, hub=lambda environ, body: None)
    assert rig.request("POST", "/publish", body, app=off).error == "channel_name required"
    assert rig.request("POST", "/web/publish", body, app=app).error == "channel_name required"
    assert rig.request("POST", "/publish", body).error == "channel_name required"


# bodies


def test_an_answer_is_json_that_nobody_stores_or_shares(rig):
    answer = rig.form("publish", channel_name="c")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("Access-Control")], "A2"


@pytest.mark.parametrize(
    "content_type", [FORM, FORM + "; charset=UTF-8", "Application/X-WWW-Form-Urlencoded", None, ""]
)
def test_a_form_is_read_with_and_without_parameters_of_its_type(rig, content_type):
    assert rig.request("POST", "/web/publish", PUBLISH, content_type=content_type).result["offset"] == 1


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"]
)
def test_json_is_read(rig, content_type):
    body = b'{"channel_name": "c"}'
    assert rig.request("POST", "/web/publish", body, content_type=content_type).result["offset"] == 1


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml", "x"]
)
def test_H16_another_content_type_is_415(rig, content_type):
    answer = rig.request("POST", "/web/publish", PUBLISH, content_type=content_type)
    assert (answer.status, answer.code) == (415, "bad_content_type")


@pytest.mark.parametrize(
    "body",
    [b'{"channel_name": "\xff"}', b"\xff\xfe{\x00}\x00", b"", b"{", b"[]", b"3", b'{"a": NaN}', b'{"a": 1e999}',
     b'{"a": "\\ud800"}', b"[" * 100_000, b'\xef\xbb\xbf{"channel_name": "c"}'],
    ids=["H16 not UTF-8", "UTF-16", "empty", "cut", "list", "number", "NaN", "huge", "surrogate", "deep", "BOM"],
)  # fmt: skip
def test_json_that_cannot_be_read_is_400(rig, body):
    answer = rig.request("POST", "/web/publish", body, content_type="application/json")
    if not body:
        assert answer.error == "channel_name required"
        return
    assert (answer.status, answer.code) == (400, "bad_json")
    assert "Traceback" not in answer.body.decode()


@pytest.mark.parametrize("body", [b"channel_name=%FF", b"channel_name=\xff", b"%C3=1", b"a&" * 1001])
def test_a_form_that_cannot_be_read_is_400(rig, body):
    assert rig.request("POST", "/web/publish", body).status == 400


def test_a_body_above_the_limit_is_413_and_one_at_the_limit_is_read():
    rig = Rig(api_body=100)
    rig.channel("c", moderated=False)
    body = PUBLISH + b"&x=" + b"x" * (100 - len(PUBLISH) - 3)
    assert rig.request("POST", "/web/publish", body).result
    for more in ({"CONTENT_LENGTH": "101"}, {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}):
        answer = rig.request("POST", "/web/publish", body + b"x", **more)
        assert (answer.status, answer.code) == (413, "too_large")
        assert "api_body" in answer.error
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert rig.request("POST", "/web/publish", body, **chunked).result


def test_a_body_shorter_than_announced_is_400(rig):
    assert rig.request("POST", "/web/publish", PUBLISH, CONTENT_LENGTH="100").status == 400
    assert rig.request("POST", "/web/publish", PUBLISH, CONTENT_LENGTH="x").status == 400
    assert rig.site.counters.publications == 0


def test_parameters_come_from_the_query_where_there_is_no_body(rig):
    assert rig.request("POST", "/web/publish", query="channel_name=c&payload=1").result["offset"] == 1
    assert (
        rig.request("POST", "/web/publish", b"payload=1", query="channel_name=c").error
        == "channel_name required"
    )


@given(st.binary(max_size=40))
def test_escapes_are_undone_as_the_standard_library_does(data):
    assert unescape(data) == unquote_to_bytes(data.replace(b"+", b" "))


@given(st.text(alphabet="%=4aAzZ\r\n \t._0dD", max_size=30))
def test_malformed_escapes_stay_as_they_are(text):
    assert unescape(text.encode()) == unquote_to_bytes(text)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=20), max_size=6))
def test_a_form_made_by_the_standard_library_is_read_back(fields):
    from hookbox.web.bodies import read_form

    assert read_form(urlencode(fields).encode()) == fields


FUZZED = Rig()
FUZZED.channel("c", moderated=False)


@given(st.binary(max_size=60))
def test_any_body_is_answered_and_never_with_500(data):
    for content_type in (FORM, "application/json"):
        for method in ("publish", "batch", "set_channel_options", "history"):
            answer = FUZZED.request(
                "POST", f"/web/{method}", b"channel_name=c&" + data, content_type=content_type
            )
            assert answer.status in (200, 400)
            assert isinstance(answer.json[0], bool)


# limits


def test_api_rate_is_kept_for_each_token_with_429_and_retry_after():
    rig = Rig(api_security_token=("one", "two"), api_rate=2.0)
    assert rig.request("POST", "/web/create_channel", b"channel_name=c", token="one").status == 200

    def publish(token):
        return rig.request("POST", "/web/publish", PUBLISH, token=token)

    assert [publish("one").status for _ in range(3)] == [200, 200, 429]
    refused = publish("one")
    assert (refused.code, refused.headers["Retry-After"]) == ("rate", "1")
    assert publish("two").status == 200
    assert rig.request("POST", "/web/get_server_info", token="one").status == 200, "only publishes count"
    rig.clock.advance(0.5)
    assert [publish("one").status for _ in range(2)] == [200, 429]


def test_a_congested_server_answers_publishes_with_503_and_retry_after(rig):
    rig.congested = True
    answer = rig.form("publish", channel_name="c")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
    assert rig.form("get_server_info").result
    rig.congested = False
    assert rig.form("publish", channel_name="c").result["offset"] == 1


def test_a_bug_is_answered_with_500_and_nothing_of_it_is_shown(rig, caplog):
    rig.site.app = AllowAll()
    rig.site.broker.publish = None
    answer = rig.form("publish", channel_name="c")
    assert (answer.status, answer.code, answer.error) == (500, "internal", "internal error")
    named = [getattr(record, "fields", {}).get("request") for record in caplog.records]
    assert answer.headers["X-Request-ID"] in named
