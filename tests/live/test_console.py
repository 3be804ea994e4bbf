"""The console: who gets in, what is shown, what is live."""

import json
import time
from base64 import b64decode
from urllib.parse import urlencode

import pytest
from conftest import eventually
from console_client import COOKIE, FORM, Operator
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hookbox.admin.passwords import keep
from hookbox.admin.routes import ROUTES, Who
from hookbox.commands.road import COMMANDS
from hookbox.settings import ABOUT
from hookbox.testing import DEADLINE, Reply
from hookbox.testing.client import Client

PASSWORD = "canary-of-the-console's-password"
SECRET = "canary-of-the-webhook-secret"
SETTINGS = {
    "admin_password": keep(PASSWORD).text(),
    "webhook_secret": SECRET,
    "log_level": "DEBUG",
    "log_file_access": "/dev/stdout",
    "leave_grace": 0.3,
    "path_prefix": "/realtime",
}
WILD = {"name:path": "main.js", "method": "publish", "rest:path": "nothing", "name": "x"}


@pytest.fixture(scope="module")
def operator(hookbox):
    return Operator(hookbox.port).log_in(PASSWORD)


def path_of(route):
    path = route.path
    for name, value in WILD.items():
        path = path.replace(f"<{name}>", value)
    assert "<" not in path
    return path


def upgrade(operator, path="/admin/ws", **headers):
    """Try the handshake of a WebSocket; returns the status."""
    try:
        Client(operator.origin, headers=headers, path=path).close()
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


# A11: nobody without a login


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_A11_without_a_login_every_route_answers_401_and_nothing_happens(
    hookbox, operator, ended, hidden, route
):
    for cookie in ("", "x" * 43, ended.cookie):
        check_without_login(operator, route, cookie)
    assert hookbox.api("get_channel_info", channel_name="hidden-channel")["offset"] == 0


def check_without_login(operator, route, cookie):
    method = "POST" if route.method == "ANY" else route.method
    headers = {"Origin": operator.origin, "X-Hookbox-CSRF": operator.csrf, "Content-Type": "application/json"}
    if cookie:
        headers["Cookie"] = f"{COOKIE}={cookie}"
    if path_of(route) == "/admin/ws":
        del headers["Content-Type"]
        assert upgrade(operator, **headers) == 401
        return
    body = json.dumps({"channel_name": "hidden-channel", "changes": {"cbport": 1}}).encode()
    answer = operator.request(method, path_of(route), body if method != "GET" else b"", headers)
    if route.who is Who.ANYBODY:
        free = (401,) if method == "POST" else (303,) if route.path == "/admin" else (200, 404)
        assert answer.status in free
    else:
        assert answer.status == 401
    assert b"hidden-channel" not in answer.body
    assert operator.csrf.encode() not in answer.body
    assert b"sample" not in answer.body
    assert answer.headers["Set-Cookie"] is None


@pytest.fixture(scope="module")
def hidden(hookbox):
    """A channel that nobody may hear of."""
    hookbox.api("create_channel", channel_name="hidden-channel")


@pytest.fixture(scope="module")
def ended(hookbox):
    """Somebody who was logged in, and is not any more."""
    somebody = Operator(hookbox.port).log_in(PASSWORD)
    somebody.post("logout")
    return somebody


def test_A11_no_frame_of_a_client_reaches_the_feed(hookbox, operator):
    feed = operator.feed("overview", "webhooks")
    strangers = [hookbox.connect(f"eve-{name}", features=["ack", "close"]) for name in COMMANDS]
    for stranger, name in zip(strangers, COMMANDS, strict=True):
        for channel in ("overview", "webhooks", "follow:" + "0" * 32):
            stranger.send(name, cookie_string="", payload='"eve"', channel_name=channel, name="operator-1")
    feed.skip_to("PUBLISH", channel_name="overview")  # a sample went to whoever listens there
    for stranger in strangers:
        mark = stranger.send("PING")
        seen = []
        while (frame := stranger.next()).name != "PONG" or frame.args["id"] != mark:
            seen.append((frame.name, frame.args))
        assert not [args for kind, args in seen if kind == "PUBLISH" and args["payload"] != "eve"]
        assert "operator-" not in json.dumps(seen).replace("no user operator-1", "")
    feed.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_A11_the_feed_takes_no_frame_that_would_change_anything(operator, name):
    feed = operator.feed()
    feed.send(name, cookie_string="", payload='"x"', channel_name="lobby", name="operator-1")
    answer = feed.next()
    assert answer.name in ("ERROR", "PONG", "ACK"), answer
    assert (answer.name == "ERROR") is (name in ("CONNECT", "SUBSCRIBE", "PUBLISH", "MESSAGE"))
    for channel in ("webhooks", "overview"):
        feed.send("PUBLISH", channel_name=channel, payload="1")
        assert feed.skip_to("ERROR")["code"] == "denied"
    feed.close()


def test_A11_a_change_needs_the_token_of_the_page_and_its_own_origin(hookbox, operator):
    target, body = "/admin/api/settings", json.dumps({"changes": {"cbpath": "/evil"}}).encode()
    for wrong in (
        {"X-Hookbox-CSRF": ""},
        {"X-Hookbox-CSRF": "é"},
        {"X-Hookbox-CSRF": operator.csrf + "x"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"http://localhost:{operator.port}"},
        {"Origin": operator.origin + "@evil.example"},
    ):
        headers = {name: value.encode() for name, value in operator.headers(**wrong).items()}
        assert operator.request("POST", target, body, headers).status == 403, wrong
    headers = operator.headers()
    del headers["Origin"]
    assert operator.request("POST", target, body, headers).status == 403
    assert setting(operator, "cbpath") == "/hookbox"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:{port}", None])
def test_A11_the_feed_wants_the_console_s_own_origin(operator, origin):
    headers = {"Cookie": f"{COOKIE}={operator.cookie}"}
    if origin:
        headers["Origin"] = origin.format(port=operator.port)
    assert upgrade(operator, **headers) == 403
    for name in ("handshake", "send", "comet", "close"):
        assert operator.request("POST", f"/admin/csp/{name}", b"{}", headers).status == 403


def test_A11_the_cookie_is_strict_and_new_at_each_login(hookbox):
    first, second = Operator(hookbox.port).log_in(PASSWORD), Operator(hookbox.port).log_in(PASSWORD)
    assert first.cookie != second.cookie
    assert len(first.cookie) >= 43
    answer = second.try_password(PASSWORD, Cookie=f"{COOKIE}={second.cookie}")
    parts = {part.strip() for part in answer.headers["Set-Cookie"].split(";")[1:]}
    assert parts == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    gone = second.request("GET", "/admin/api/session", headers=second.headers())
    assert gone.status == 401, "the login from before it ends with the new one"
    assert first.get("api/session")["csrf"] == first.csrf


def test_A11_a_login_from_another_page_is_refused(hookbox):
    operator = Operator(hookbox.port)
    assert operator.try_password(PASSWORD, Origin="http://evil.example").status == 403
    answer = operator.request("POST", "/admin/login", urlencode({"password": PASSWORD}), {"Content-Type": FORM})
    assert answer.status == 403
    assert answer.headers["Set-Cookie"] is None


def test_the_login_page_says_why_a_browser_that_drops_the_cookie_is_not_let_in(operator):
    assert b"did not keep the cookie" in operator.request("GET", "/admin/?login").body
    assert operator.request("GET", "/admin/?login", headers=operator.headers()).headers["Location"] == "./"


# A12: what every answer carries


@pytest.mark.parametrize("path", ["", "static/login.css", "api/session", "api/nothing", "login", "csp/handshake"])
@pytest.mark.parametrize("inside", [True, False])
def test_A12_every_answer_forbids_what_pages_must_not_do(operator, path, inside):
    headers = operator.headers() if inside else {}
    answer = operator.request("GET", f"/admin/{path}", headers=headers)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] is None
    if path != "csp/handshake" or not inside:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")


def test_the_console_works_below_a_path_prefix(hookbox, operator):
    below = Operator(hookbox.port, "/realtime/admin/").log_in(PASSWORD)
    assert below.request("GET", "/realtime/admin").headers["Location"] == "admin/"
    assert below.get("api/overview")["version"]
    feed = below.feed("overview")
    feed.close()


# what is shown


def setting(operator, name):
    return next(item["value"] for item in operator.get("api/settings")["items"] if item["name"] == name)


def test_channels_users_and_connections_are_listed_and_one_of_each_shown(hookbox, operator):
    hookbox.app.allow("create_channel", history_size=5, presenceful=True)
    ann = hookbox.connect("ann", headers={"Cookie": "sessionid=" + "s" * 32, "User-Agent": "x"})
    ann.subscribe("lobby")
    hookbox.api("publish", channel_name="lobby", payload={"a": "canary-payload"}, originator="ann")
    lobby = next(item for item in operator.get("api/channels", q="LOB")["items"])
    assert (lobby["name"], lobby["subscribers"], lobby["connections"], lobby["offset"]) == ("lobby", 1, 1, 1)
    channel = operator.get("api/channel", name="lobby")
    assert channel["subscribers"] == [{"name": "ann", "connections": 1}]
    assert {item["kind"] for item in channel["history"]} == {"SUBSCRIBE", "PUBLISH"}
    shown = channel["history"][-1]
    assert (shown["payload"], shown["user"], shown["offset"]) == ("masked", "ann", 1)
    assert channel["recent"][-1]["offset"] == 1
    assert {about["name"] for about in channel["option_about"]} == channel["options"].keys()
    assert operator.get("api/user", name="ann")["connections"][0]["user"] == "ann"
    assert operator.get("api/users")["total"] == 1
    (connection,) = operator.get("api/connections", user="ann")["items"]
    assert connection["transport"] == "websocket"
    assert connection["address"] == "127.0.0.1"
    assert connection["cookies"] == [{"name": "sessionid", "value": "ss…(32)"}]
    assert operator.get("api/connection", id=connection["id"])["channel_names"] == ["lobby"]
    revealed = operator.post("api/reveal", what="publication", channel="lobby", offset=1)
    assert revealed == {"payload": {"a": "canary-payload"}}
    done, _ = operator.post("api/call/disconnect", identifier=connection["id"])
    assert done
    assert ann.wait_closed()[0] == 4504


def test_long_lists_come_in_parts(hookbox, operator):
    names = sorted(f"part-{number:02}" for number in range(7))
    for name in names:
        hookbox.api("create_channel", channel_name=name)
        hookbox.connect(name)
    for what, key in (("channels", "name"), ("users", "name"), ("connections", "user")):
        seen, after = [], None
        while True:
            given = {"q": "part-", "limit": 3} | ({"after": after} if after else {})
            part = operator.get(f"api/{what}", **given)
            seen += [item[key] for item in part["items"]]
            after = part["next"]
            if after is None:
                break
        assert sorted(seen) == names, what
    for name in names:
        hookbox.api("destroy_channel", channel_name=name)


def test_webhooks_are_listed_with_why_and_how_to_mend_it_and_can_be_sent_again(hookbox, operator):
    hookbox.app.answer("subscribe", Reply(status=302, headers=(("Location", "/login?next=canary-query"),)))
    ann = hookbox.connect("mia", headers={"Cookie": "sessionid=" + "s" * 32})
    ann.send("SUBSCRIBE", channel_name="lobby")
    ann.skip_to("ERROR")
    (found,) = operator.get("api/webhooks", user="mia", action="subscribe")["items"]
    assert operator.get("api/webhooks", user="mia", action="connect")["items"]
    assert (found["verdict"], found["status"], found["channel"]) == ("failed", 302, "lobby")
    assert found["hint_key"] == "login_redirect"
    assert "sent to the login" in found["fault"], "in one clause, for a list"
    assert "canary" not in json.dumps(found)
    shown = operator.get("api/webhook", id=found["id"])
    assert ["Cookie", "sessionid=ss…(32)"] in shown["request"]["headers"]
    assert ["channel_name", "lobby"] in shown["request"]["form"]
    hookbox.app.allow("subscribe")
    asked = hookbox.app.wait_for("subscribe")[0]
    again = operator.post("api/webhook/again", id=found["id"])
    assert again["verdict"] == "allowed"
    assert again["again"] is True
    repeated = hookbox.app.wait_for("subscribe", 2)[1]
    assert repeated.form == asked.form
    assert repeated.headers["cookie"] == asked.headers["cookie"]
    assert repeated.headers["idempotency-key"] != asked.headers["idempotency-key"]
    assert not operator.get("api/user", name="mia")["channels"], "the answer has no effect"
    elsewhere = operator.post("api/webhook/again", id=found["id"], url="http://127.0.0.1:1/elsewhere")
    assert (elsewhere["verdict"], elsewhere["hint_key"]) == ("failed", "refused")
    assert operator.post("api/webhook/again", 400, id=found["id"], url="file:///etc/passwd")["error"]
    assert operator.get("api/webhooks", limit=1)["items"][0]["id"] == elsewhere["id"]
    assert hookbox.api("get_webhook_log", user="mia", limit=1)["webhooks"]


def test_a_connection_can_be_followed_from_handshake_to_goodbye(hookbox, operator):
    features = ["ack", "recover", "close", "resume"]
    ann = hookbox.client(features=features, headers={"Origin": hookbox.url})
    greeting = ann.connect("ann")
    feed = operator.feed("follow:" + greeting["conn_id"])
    ann.subscribe("lobby")
    ann.skip_to("ACK", id=ann.publish("lobby", "canary-payload"))
    ann.cut()
    ticket = {"conn_id": greeting["conn_id"], "key": greeting["resume"]}
    later = hookbox.client(features=features)
    assert later.connect("ann", resume=ticket)["conn_id"] == greeting["conn_id"]
    later.close()

    def story():
        items = operator.get("api/journal", connection=greeting["conn_id"])["items"]
        return items if items[-1]["about"].get("action") == "disconnect" else None

    items = eventually(story)
    kinds = [item["kind"] for item in items if item["kind"] != "webhook"]
    asked = [item["about"]["action"] for item in items if item["kind"] == "webhook"]
    first, then = kinds[:5], kinds[5:]
    assert first == ["opened", "connected", "subscribed", "published", "closed"]
    assert then == ["opened", "resumed", "subscribed", "closed"], "of what it takes over without asking, too, is told what it hears"
    assert asked[:4] == ["connect", "create_channel", "subscribe", "publish"]
    assert asked[4:] in (["unsubscribe", "disconnect"], ["unsubscribe", "destroy_channel", "disconnect"])
    assert items[-1]["user"] == "ann"
    assert items[0]["about"]["origin"] == hookbox.url
    assert "canary" not in json.dumps(items)
    seen = [feed.next_publication()["payload"]["kind"] for _ in range(6)]
    assert seen == ["webhook", "webhook", "subscribed", "webhook", "published", "closed"]
    feed.close()


def test_a_browser_is_followed_from_one_transport_to_the_other_by_its_session(hookbox, operator):
    page = {"Cookie": "sessionid=" + "f" * 32, "Origin": hookbox.url}
    ann = hookbox.connect("ann", headers=page, features=["ack"])
    ann.close()
    begun = operator.request("POST", "/csp/handshake", b"{}", page)
    session = json.loads(begun.body.strip(b"()"))["session"]
    line = json.dumps([1, "CONNECT", {"cookie_string": "", "payload": '"ann"'}]) + "\r\n"
    operator.request("POST", f"/csp/send?s={session}", json.dumps([[1, 0, line]]).encode(), page)
    (found,) = eventually(lambda: operator.get("api/connections", user="ann")["items"])
    operator.request("POST", f"/csp/close?s={session}", b"", page)
    items = operator.get("api/journal", session=found["session"])["items"]
    kinds = [item["kind"] for item in items if item["kind"] != "webhook"]
    assert kinds == ["opened", "connected", "closed", "opened", "connected", "closed"]
    carried = [item["about"]["transport"] for item in items if item["kind"] == "opened"]
    assert carried == ["websocket", "comet"]
    assert {item["session"] for item in items if item["kind"] == "webhook"} == {found["session"]}


def test_a_comet_client_is_seen_before_it_has_said_who_it_is(hookbox, operator):
    page = {"Origin": hookbox.url}
    begun = operator.request("POST", "/csp/handshake", b"{}", page)
    session = json.loads(begun.body.strip(b"()"))["session"]
    (found,) = [item for item in operator.get("api/connections")["items"] if item["transport"] == "comet"]
    assert not found["connected"]
    assert session not in json.dumps(found)
    assert operator.get("api/connection", id=found["id"])["id"] == found["id"]
    operator.request("POST", f"/csp/close?s={session}", b"", page)
    items = operator.get("api/journal", connection=found["id"])["items"]
    assert [item["kind"] for item in items] == ["opened", "closed"]
    assert items[0]["about"] == {"transport": "comet", "address": "127.0.0.1", "origin": hookbox.url}
    assert items[1]["about"] == {"by": "client"}


def test_a_webhook_that_is_sent_again_has_its_deadline(hookbox, operator):
    operator.post("api/settings", changes={"webhook_timeout": 0.2})
    hookbox.connect("tom")
    (asked,) = operator.get("api/webhooks", user="tom")["items"]
    hookbox.app.answer("connect", Reply.never())
    again = operator.post("api/webhook/again", id=asked["id"])
    operator.post("api/settings", changes={"webhook_timeout": 5})
    assert (again["verdict"], again["hint_key"]) == ("failed", "slow")


def test_a_setting_is_changed_at_once_and_a_wrong_one_not_at_all(operator):
    items = operator.get("api/settings")["items"]
    assert {item["name"] for item in items} == ABOUT.keys()
    assert setting(operator, "webhook_secret") == setting(operator, "admin_password") == "***"
    told = operator.post("api/settings", changes={"leave_grace": "500ms", "webhook_timeout": 4})
    assert told == {"changed": ["leave_grace", "webhook_timeout"]}
    assert setting(operator, "leave_grace") == 0.5
    for wrong in ({"port": 1}, {"nothing": 1}, {"leave_grace": -1}, {"cb_single_url": "ftp://x"}, {"log_level": "INFO"},
                  {"admin_password": ""}, {"webhook_secret": "***"}, {"leave_grace": 1, "cbport": 0}):
        assert operator.post("api/settings", 400, changes=wrong)["code"] in ("bad_setting", "bad_parameter")
    assert setting(operator, "leave_grace") == 0.5
    operator.post("api/settings", changes={"leave_grace": 0.3, "webhook_timeout": 5})


def test_A12_passwords_and_tokens_of_a_channel_and_of_urls_are_masked_and_stay_as_they_were(hookbox, operator):
    polling = {"mode": "once", "url": "http://u:canary@127.0.0.1:1/?t=canary", "interval": 9, "form": {"t": "canary"}}
    hookbox.api("create_channel", channel_name="polled", polling=polling, state={"key": "canary"})
    shown = operator.get("api/channel", name="polled")
    assert "canary" not in json.dumps(shown)
    assert shown["state"] == {"key": "masked"}
    assert operator.post("api/reveal", what="state", channel="polled") == {"payload": {"key": "canary"}}
    given = shown["options"]["polling"]
    assert (given["url"], given["form"]) == ("http://***@127.0.0.1:1/?t=***", {"t": "***"})
    done, _ = operator.post("api/call/set_channel_options", channel_name="polled", polling=given | {"interval": 30})
    assert done
    kept = hookbox.api("get_channel_info", channel_name="polled")["options"]["polling"]
    assert kept == polling | {"interval": 30, "originator": ""}
    for part in ({"url": "http://***@elsewhere/"}, {"form": {"t": "***", "u": "1"}}):
        for wrong in ({"polling": given | part}, {"options": {"polling": given | part}}):
            answer = operator.post("api/call/set_channel_options", 400, channel_name="polled", **wrong)
            assert answer["code"] == "masked"
    headers = {"X-Api-Key": "canary", "Accept": "text/html"}
    url = f"http://u:canary@127.0.0.1:{hookbox.app.port}/r?token=canary"
    operator.post("api/settings", changes={"egress": "internal"})
    operator.post("api/v1/endpoints", 201, url=url, headers=headers, topics=["polled"])
    operator.post("api/call/publish", channel_name="polled", payload=1)
    (delivery,) = eventually(lambda: operator.get("api/v1/deliveries", topic="polled", state="succeeded")["deliveries"])
    found = operator.get(f"api/v1/deliveries/{delivery['id']}")
    assert ["Accept", "text/html"] in found["attempts_made"][0]["request"]["headers"]
    assert "canary" not in json.dumps([found, operator.get("api/v1/endpoints"), operator.get("api/v1/messages")])
    hookbox.api("destroy_channel", channel_name="polled")


def test_a_file_that_cannot_be_is_not_found(operator):
    for name in ("x" * 3000 + ".js", "x" * 101, "a%0Ab.js", "pages", "pages/../routes.py"):
        answer = operator.request("GET", f"/admin/static/{name}", headers=operator.headers())
        assert answer.status in (400, 404), name


def test_the_backlog_is_there_without_the_api_s_token_and_with_masked_content(hookbox, operator):
    receiver = f"http://127.0.0.1:{hookbox.app.port}/received"
    operator.post("api/settings", changes={"egress": "internal"})
    message = hookbox.dispatch(receiver, json={"secret": "canary-payload"})["message_id"]
    eventually(lambda: operator.get("api/v1/deliveries")["deliveries"][0]["state"] == "succeeded")
    shown = operator.get(f"api/v1/messages/{message}")
    assert shown["body"] == "masked"
    assert "canary" not in json.dumps(shown)
    assert "canary-payload" in operator.post("api/reveal", what="message", id=message)["body"]
    delivery = shown["deliveries"][0]["id"]
    assert "masked" in json.dumps(operator.get(f"api/v1/deliveries/{delivery}")["attempts_made"])
    assert operator.post("api/reveal", what="attempt", id=delivery, n=1)["body"] == "[true, {}]"
    assert operator.post(f"api/v1/deliveries/{delivery}/retry", 202)["id"] == delivery
    answer = operator.request("POST", f"/admin/api/v1/deliveries/{delivery}/retry", b"", {"Origin": operator.origin})
    assert answer.status == 401


# what is live


def test_the_feed_shows_webhooks_connections_channels_and_deliveries(hookbox, operator):
    feed = operator.feed("webhooks", "connections", "channels", "deliveries", "overview")
    operator.post("api/settings", changes={"egress": "internal"})
    ann = hookbox.connect("ann")
    ann.subscribe("lobby")
    hookbox.dispatch(f"http://127.0.0.1:{hookbox.app.port}/received", json={})
    wanted = {"webhooks", "connections", "channels", "deliveries", "overview"}
    until = time.monotonic() + 3 * DEADLINE
    while wanted and time.monotonic() < until:
        publication = feed.next_publication()
        wanted.discard(publication["channel_name"])
        if publication["channel_name"] == "overview":
            assert len(publication["payload"]) == len(operator.get("api/overview")["samples"]["columns"])
        hookbox.api("publish", channel_name="lobby", payload=1)
    assert not wanted
    feed.close()


def test_the_feed_says_how_much_it_leaves_out(hookbox, operator):
    feed = operator.feed("webhooks")
    ann = hookbox.connect("ann")
    ann.subscribe("lobby")
    for _ in range(120):
        ann.publish("lobby", 1)
    payloads = []
    while not any("left_out" in payload for payload in payloads):
        payloads.append(feed.next_publication()["payload"])
    assert len(payloads) < 110
    feed.close()


def test_the_feed_ends_with_the_login_and_the_overview_comes_by_comet_too(hookbox):
    operator = Operator(hookbox.port).log_in(PASSWORD)
    feed = operator.feed("overview")
    headers = operator.headers(**{"Content-Type": "text/plain"})
    begun = operator.request("POST", "/admin/csp/handshake", b"{}", headers)
    session = json.loads(begun.body.strip(b"()"))["session"]
    line = json.dumps([1, "CONNECT", {"cookie_string": "", "payload": "null"}]) + "\r\n"
    batch = json.dumps([[1, 0, line]]).encode()
    assert operator.request("POST", f"/admin/csp/send?s={session}", batch, headers).status == 200
    told = operator.request("POST", f"/admin/csp/comet?s={session}&du=5", b"", headers)
    frame = b64decode(json.loads(told.body.strip(b"()"))[0][2])
    assert b'"CONNECTED"' in frame
    assert told.headers["Access-Control-Allow-Origin"] is None
    other = Operator(hookbox.port).log_in(PASSWORD)
    stolen = other.headers(**{"Content-Type": "text/plain"})
    assert operator.request("POST", f"/admin/csp/comet?s={session}", b"", stolen).status == 404
    assert operator.request("POST", f"/csp/comet?s={session}", b"", headers).status == 404, "no door but its own"
    operator.post("logout")
    assert feed.wait_closed() == (4502, "the login has ended")
    assert operator.request("POST", f"/admin/csp/comet?s={session}", b"", headers).status == 401
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        operator.feed()


# A13


def test_A13_no_canary_is_shown_in_answers_feed_or_log(hookbox, operator):
    feed = operator.feed("webhooks", "connections", "channels", "overview")
    canary = {name: f"canary-{name}-0123456789abcdef" for name in ("cookie", "payload", "query", "answer", "set")}
    said = {"name": "ann", "override_payload": canary["answer"]}
    cookie = f"sid={canary['set']}; HttpOnly; Path=/"
    hookbox.app.answer("connect", Reply([True, said], headers=(("Set-Cookie", cookie),)))
    page = f"<title>Login {canary['cookie']}</title>".encode()
    place = f"/?token={canary['query']}"
    hookbox.app.answer("message", Reply(status=500, body=page, headers=(("Location", place),)))
    headers = {"Cookie": f"sessionid={canary['cookie']}; {COOKIE}={operator.cookie}"}
    ann = hookbox.client(headers=headers, path=f"/ws?token={canary['query']}", features=["ack"])
    conn = ann.connect("ann", cookie_string=f"script={canary['cookie']}")["conn_id"]
    ann.subscribe("lobby")
    ann.publish("lobby", canary["payload"])
    ann.send("MESSAGE", name="ann", payload=json.dumps(canary["payload"]))
    ann.skip_to("ERROR")
    for asked in hookbox.app.asked:
        assert operator.cookie not in str(asked), "the application is not shown who the operator is"
    operator.request("GET", f"/admin/api/nothing?token={canary['query']}", headers=operator.headers())
    told = [feed.next_publication() for _ in range(6)]
    texts = [json.dumps(told)]
    for route in ROUTES:
        if route.method == "GET" and route.path.startswith("/admin/api/") and "<" not in route.path:
            for query in ("", f"?connection={conn}", f"?id={conn}", "?name=ann", "?name=lobby"):
                answer = operator.request("GET", route.path + query, headers=operator.headers())
                texts.append(answer.body.decode())
    for item in operator.get("api/webhooks", limit=500)["items"]:
        texts.append(json.dumps(operator.get("api/webhook", id=item["id"])))
        texts.append(json.dumps(operator.post("api/reveal", what="webhook", id=item["id"]))
                     .replace(canary["payload"], "").replace(canary["answer"], ""))  # fmt: skip
    texts.append(json.dumps(hookbox.api("get_webhook_log", limit=500)))
    texts.append(hookbox.log)
    for text in texts:
        for secret in (*canary.values(), PASSWORD, SECRET, hookbox.TOKEN, operator.cookie, operator.csrf):
            found = text.find(secret)
            if secret == operator.csrf and '"csrf"' in text:
                continue
            assert found < 0, text[max(0, found - 200) : found + 200]
    feed.close()
