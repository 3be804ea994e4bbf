"""Cookies reach the application as the browser sent them, and only those of the browser that asked."""

from hookbox.testing import Client, HookboxProcess, Reply, ScriptedApp


def test_a_cookie_that_is_not_ascii_arrives_as_it_was_sent(app, server):
    server.connect("ann", headers={"Cookie": "town=Köln".encode().decode("latin-1")})
    assert app.questions("connect")[0].headers["cookie"].encode("latin-1").decode() == "town=Köln"


def test_A4_the_request_wins_and_script_only_adds(app, server):
    ann = Client(server.url, headers={"Cookie": "sid=real"})
    ann.connect("ann", cookie_string="sid=forged; theme=dark")
    assert app.questions("connect")[0].headers["cookie"] == "sid=real; theme=dark"


def test_A5_an_http_only_cookie_is_used_later_and_never_shown_to_script(app, server):
    app.answer(
        "connect",
        Reply(
            [True, {"name": "ann"}],
            headers=(("Set-Cookie", "sid=1; HttpOnly"), ("Set-Cookie", "theme=dark")),
        ),
    )
    client = Client(server.url)
    client.send("CONNECT", cookie_string="", payload="null")
    assert client.expect("SET_COOKIE") == {"cookie": "theme=dark"}
    client.expect("CONNECTED", name="ann")
    client.subscribe("lobby")
    assert app.questions("subscribe")[0].headers["cookie"] == "sid=1; theme=dark"


def test_c_narrows_what_is_forwarded():
    app = ScriptedApp()
    with HookboxProcess(app, cookie_identifier="sid") as server:
        server.connect("ann", headers={"Cookie": "sid=1; theme=dark"})
        assert app.questions("connect")[0].headers["cookie"] == "sid=1"


def test_A16_no_cookie_of_one_user_is_in_another_users_call(app, server):
    app.answer(
        "connect",
        lambda asked: Reply([True, {"name": asked.form["payload"].strip('"')}], headers=(("Set-Cookie", "sid=ann"),))
        if asked.form["payload"] == '"ann"'
        else [True, {"name": "bob"}],
    )
    server.connect("ann").subscribe("lobby")
    bob = server.connect("bob", headers={"Cookie": "sid=bob"})
    bob.subscribe("lobby")
    assert {asked.headers.get("cookie") for asked in app.questions("subscribe", user="bob")} == {"sid=bob"}
