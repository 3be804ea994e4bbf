"""The bundled client in a real browser, against a real Hookbox: over WebSocket, over comet, through bad networks."""

import http.server
import threading
from pathlib import Path

import pytest
from client_cable import Cable

from hookbox.testing import DEADLINE, HookboxProcess, Reply, ScriptedApp

JS = Path(__file__).parents[2] / "hookbox" / "js"
BUILDS = ("hookbox.js", "hookbox.min.js")
EVERY_WAY = ("websocket", "stream", "long poll")  # the last takes three seconds to be found out
BOTH_WAYS = EVERY_WAY[:2]
every_way = pytest.mark.parametrize("way", EVERY_WAY, indirect=True)
both_ways = pytest.mark.parametrize("way", BOTH_WAYS, indirect=True)

# What a page needs to be driven from here: everything is a promise, so that nothing has to be polled.
PAGE_SCRIPT = """
const heard = [], told = [], recoveries = [], waiting = [];
let conn, why;
const look = () => waiting.splice(0).forEach(wait => wait());
async function until(condition) {
  while (!condition()) await new Promise(resolve => waiting.push(resolve));
}
function listen(subscription) {
  for (const event of ['publish', 'subscribe', 'unsubscribe', 'state', 'recovered'])
    subscription.on(event, frame => {
      if (event === 'publish') heard.push(frame.payload);
      else if (event === 'recovered') recoveries.push(frame);
      else told.push(['channel ' + event, frame]);
      look();
    });
}
function start(url, name, options) {
  conn = hookbox.connect(url, name, undefined, options);
  for (const event of ['state', 'open', 'close', 'error', 'messaged'])
    conn.on(event, (...args) => { told.push([event, args[0]]); look(); });
  conn.on('state', (state, reason) => why = reason);
  conn.on('subscribed', (channel, subscription) => { listen(subscription); look(); });
}
const reached = state => until(() => conn.state === state);
const hears = count => until(() => heard.length >= count).then(() => heard);
const isTold = event => until(() => told.some(([name]) => name === event)).then(
  () => told.filter(([name]) => name === event).pop()[1]);
"""


MODULES = {
    "module.js": "import { connect } from '/hookbox.mjs'; window.hookbox = { connect };",
    "module-of-hookbox.js": "import hookbox from 'HOOKBOX/static/hookbox.mjs'; window.hookbox = hookbox;",
}


class Application:
    """What serves the page: strict about scripts, and on another port than Hookbox."""

    def __init__(self):
        application = self
        self.hookbox = ""  # its address, as the page sees it

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                if name in BUILDS or name == "hookbox.mjs":
                    self.send(JS.joinpath(name).read_text(), "text/javascript")
                elif name == "page.js":
                    self.send(PAGE_SCRIPT, "text/javascript")
                elif name == "worker.js":
                    self.send(WORKER_SCRIPT, "text/javascript")
                elif name in MODULES:
                    self.send(MODULES[name].replace("HOOKBOX", application.hookbox), "text/javascript")
                elif name == "old":
                    self.send(application.old_page, "text/html", "")
                else:
                    client = "/" + (name.removeprefix("with/") or "hookbox.js")
                    client = client.replace("/HOOKBOX", application.hookbox)
                    kind = "module" if "module" in client else "text/javascript"
                    tags = f'<script type="{kind}" src="{client}"></script><script src="/page.js"></script>'
                    self.send(f"<!doctype html>{tags}", "text/html", application.policy)

            def send(self, text, kind, policy=""):
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                if policy:
                    self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def policy(self):
        websocket = self.hookbox.replace("http", "ws")
        return (
            f"default-src 'none'; script-src 'self' {self.hookbox}; worker-src 'self'; "
            f"connect-src {self.hookbox} {websocket}"
        )

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def application():
    application = Application()
    yield application
    application.stop()


@pytest.fixture(scope="module")
def server():
    """A Hookbox that many tests share."""
    with HookboxProcess(leave_grace=0.3) as server:
        yield server


@pytest.fixture
def app():
    return ScriptedApp()


@pytest.fixture
def own_server(app, request):
    """A Hookbox for one test, which may tell its application what to answer, or end it."""
    with HookboxProcess(app, leave_grace=getattr(request, "param", 0.3)) as server:
        yield server


@pytest.fixture
def cable(request):
    server = request.getfixturevalue("own_server" if "own_server" in request.fixturenames else "server")
    cable = Cable(server.port)
    yield cable
    cable.stop()


@pytest.fixture
def somebody(server):
    """Somebody else in the lobby, so that it stays while others are cut off."""
    [client] = server.subscribed("lobby", "somebody")
    yield client
    client.cut()


class Page:
    """A page that has the client, in a browser context of its own."""

    def __init__(self, browser, application, url, path="/", context=None):
        self.application = application
        self.url = url
        self.context = context or browser.new_context()
        application.hookbox = url
        self.page = self.context.new_page()
        self.page.set_default_timeout(DEADLINE * 1000)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(application.url + path)

    def run(self, script, argument=None):
        return self.page.evaluate(
            f"within => Promise.race([({script})(within[0]), new Promise((done, fail) => "
            "setTimeout(() => fail(new Error('not in time: ' + JSON.stringify(told)"
            ")), within[1]))])",
            [argument, DEADLINE * 1000],
        )

    def start(self, name="ann", **options):
        self.run("([url, name, options]) => start(url, name, options)", [self.url, name, options])
        return self

    def connect(self, name="ann", **options):
        self.start(name, **options).reach("connected")
        return self

    def reach(self, state):
        self.run("state => reached(state)", state)

    def subscribe(self, channel="lobby"):
        self.run("channel => conn.subscribe(channel).then(() => {})", channel)
        return self

    def publish(self, payload, channel="lobby"):
        return self.run("([channel, payload]) => conn.publish(channel, payload)", [channel, payload])

    def hears(self, count):
        return self.run("count => hears(count)", count)

    def told(self, event):
        return self.run("event => isTold(event)", event)

    def get(self, expression):
        return self.run(f"() => {expression}")


@pytest.fixture
def open_page(browser, application, cable):
    opened = []

    def open_page(path="/", context=None):
        opened.append(Page(browser, application, cable.url, path, context))
        return opened[-1]

    yield open_page
    for page in opened:
        assert page.errors == []
        page.context.close()


@pytest.fixture
def way(request, cable):
    cable.refuse_upgrades = request.param != "websocket"
    cable.hold_streams = request.param == "long poll"
    return request.param


@every_way
@pytest.mark.parametrize("build", BUILDS)
def test_a_page_talks_over_whatever_gets_through(way, build, open_page, server, cable):
    page = open_page(f"/with/{build}").connect("ann").subscribe()
    other = open_page(f"/with/{build}").connect("bob").subscribe()
    assert page.get("conn.transport") == ("websocket" if way == "websocket" else "comet")
    for text in ("plain", 'é 世 😀 \u2028 "\\'):
        result = other.publish(text)
        assert result["offset"] > 0
    server.api("publish", channel_name="lobby", payload={"from": "the app"})
    expected = ["plain", 'é 世 😀 \u2028 "\\', {"from": "the app"}]
    assert page.hears(3) == other.hears(3) == expected
    other.run("() => conn.message('ann', { just: 'you' }).then(() => {})")
    assert page.told("messaged")["payload"] == {"just": "you"}
    if way == "long poll":
        assert "is=0" in cable.polls[-1]
    elif way == "stream":
        assert all("is=1" in poll for poll in cable.polls)


@every_way
def test_D3_D4_what_was_missed_while_cut_off_is_heard_once_and_in_order(
    way, open_page, server, cable, somebody
):
    page = open_page().connect().subscribe()
    server.api("publish", channel_name="lobby", payload=0)
    page.hears(1)
    cuts = 3 if way == "websocket" else 1  # comet tries for four seconds to save its session
    for cut in range(cuts):
        cable.cut()
        page.run("() => until(() => !conn.connected)")
        for number in range(1, 6):
            server.api("publish", channel_name="lobby", payload=cut * 5 + number)
        cable.mend()
        page.hears(1 + 5 * (cut + 1))
    assert page.get("heard") == list(range(1 + 5 * cuts))
    assert page.get("recoveries") == [{"recovered": True, "missed": 5}] * cuts


@both_ways
def test_D4_a_short_cut_is_bridged(way, open_page, server, cable, somebody):
    page = open_page().connect().subscribe()
    for number in range(30):
        if number % 10 == 5:
            cable.cut()
            cable.mend()
        server.api("publish", channel_name="lobby", payload=number)
    assert page.hears(30) == list(range(30))


@both_ways
def test_a_server_that_restarts_is_found_again_and_the_hole_is_told(way, open_page, own_server, cable, app):
    page = open_page().connect().subscribe()
    page.publish("before")
    page.hears(1)
    own_server.kill()
    page.run("() => until(() => !conn.connected)")
    with HookboxProcess(app) as successor:
        cable.target = successor.port
        page.run("() => until(() => recoveries.length)")
        assert page.get("recoveries") == [{"recovered": False, "missed": 0}]
        page.publish("after")
        assert page.hears(2) == ["before", "after"]


@both_ways
def test_F30_a_draining_server_says_so(way, open_page, own_server):
    page = open_page().connect()
    own_server.process.terminate()
    page.reach("waiting")
    assert page.get("why.code") == 1012


@both_ways
def test_F11_a_dead_network_is_noticed_and_survived(way, open_page, server, cable, somebody):
    page = open_page().connect(pingInterval=0.5, pongTimeout=0.5, connectTimeout=2).subscribe()
    cable.freeze()
    page.reach("waiting")
    cable.thaw()
    page.reach("connected")
    server.api("publish", channel_name="lobby", payload="alive")
    assert page.hears(1) == ["alive"]


def test_that_websockets_do_not_get_through_is_remembered(open_page, cable):
    cable.refuse_upgrades = True
    first = open_page().connect()
    assert cable.upgrades == 1
    second = open_page(context=first.context).connect()
    assert second.get("conn.transport") == "comet"
    assert cable.upgrades == 1


@both_ways
def test_off_line_nothing_is_tried_and_on_line_at_once(way, open_page, cable):
    page = open_page().connect(pingInterval=0.5, pongTimeout=0.5)
    page.context.set_offline(True)
    cable.cut()
    page.reach("offline")
    cable.mend()
    page.context.set_offline(False)
    page.reach("connected")


@both_ways
def test_presence_state_and_history_reach_the_page(way, open_page, own_server, app):
    app.allow("create_channel", presenceful=True, history_size=3, state={"topic": "tea"})
    page = open_page().connect("ann").subscribe()
    other = open_page().connect("bob").subscribe()
    assert page.told("channel subscribe")["user"] == "bob"
    own_server.api("state_set_key", channel_name="lobby", key="topic", val="cake")
    assert page.told("channel state")["updates"] == {"topic": "cake"}
    assert page.get("conn.subscriptions.get('lobby').state") == {"topic": "cake"}
    assert page.get("conn.subscriptions.get('lobby').presence") == ["ann", "bob"]
    other.publish("hi")
    page.hears(1)
    assert page.get("conn.subscriptions.get('lobby').history.pop()[1].payload") == "hi"
    other.run("() => conn.disconnect()")
    assert page.told("channel unsubscribe")["user"] == "bob"


def test_leaving_the_page_ends_a_comet_session(open_page, own_server, cable, app):
    cable.refuse_upgrades = True
    page = open_page().connect("ann").subscribe()
    page.page.goto("about:blank")
    app.wait_for("disconnect", name="ann")  # sooner than the session would expire


@both_ways
def test_refusals_reach_the_page(way, open_page, own_server, app):
    page = open_page().connect()
    app.refuse("subscribe", "members only")
    error = page.run("() => conn.subscribe('club').catch(({ msg, code }) => ({ msg, code }))")
    assert error == {"msg": "members only", "code": "denied"}


@both_ways
def test_a_refused_connect_can_be_taken_up_after_a_login(way, open_page, own_server, app):
    app.refuse("connect", "log in first")
    page = open_page().start()
    page.reach("refused")
    app.allow("connect", name="ann")
    page.run("() => conn.reconnect()")
    page.reach("connected")
    assert page.get("conn.username") == "ann"


@both_ways
def test_A5_cookies_of_the_application_are_set_but_for_httponly_ones(way, open_page, own_server, app):
    page = open_page().connect()
    cookies = (("Set-Cookie", "seen=1; Path=/"), ("Set-Cookie", "secret=2; Path=/; HttpOnly"))
    app.answer("subscribe", Reply([True, {}], headers=cookies))
    page.subscribe()
    assert page.get("document.cookie") == "seen=1"


@both_ways
def test_A4_the_page_s_cookies_reach_the_application(way, open_page, server):
    page = open_page()
    page.context.add_cookies([{"name": "sid", "value": "s1", "url": page.application.url, "httpOnly": True}])
    page.connect()
    assert server.app.questions("connect")[-1].headers["cookie"] == "sid=s1"


WORKER_SCRIPT = """
importScripts('/hookbox.min.js');
onmessage = ({ data: { url, options } }) => {
  const conn = hookbox.connect(url, 'worker', '', options);
  conn.subscribe('lobby').then(lobby => {
    lobby.onPublish = frame => postMessage([conn.transport, conn.username, frame.payload]);
    lobby.publish('from a worker');
  });
};
"""


@both_ways
def test_the_client_works_in_a_worker(way, open_page):
    page = open_page()
    answer = page.run(
        "url => new Promise(done => { const worker = new Worker('/worker.js');"
        " worker.onmessage = event => done(event.data); worker.postMessage({ url }); })",
        page.url,
    )
    assert answer == ["websocket" if way == "websocket" else "comet", "worker", "from a worker"]


@pytest.mark.parametrize(
    "client",
    ["module.js", "module-of-hookbox.js", "HOOKBOX/static/hookbox.js", "HOOKBOX/static/hookbox.min.js"],
)
def test_the_client_works_as_a_module_and_from_hookbox_itself(client, open_page):
    page = open_page(f"/with/{client}").connect().subscribe()
    page.publish(1)
    assert page.hears(1) == [1]


OLD_PAGE = """<!doctype html><script src="/hookbox.js"></script><script>
var done, result = new Promise(function (resolve) { done = resolve; });
var calls = [];
var conn = hookbox.connect('HOOKBOX/csp');
conn.onOpen = function () { calls.push('open'); };
conn.onError = function (err) { calls.push('error: ' + err.msg); };
conn.onSubscribed = function (channelName, subscription) {
  calls.push('subscribed ' + channelName);
  subscription.onPublish = function (frame) {
    calls.push('publish ' + frame.payload.foo);
    subscription.cancel();
  };
  subscription.publish({ foo: 'bar' });
};
conn.onUnsubscribed = function (subscription) {
  calls.push('unsubscribed ' + subscription.channelName);
  conn.disconnect();
};
conn.onClose = function () { calls.push('close'); done(calls); };
conn.subscribe('my_channel_name');
</script>"""


@both_ways
def test_a_page_as_the_old_manual_shows_works_unchanged(way, open_page, application, cable):
    application.old_page = OLD_PAGE.replace("HOOKBOX", cable.url)
    page = open_page("/old")
    calls = page.page.evaluate("() => result")
    assert calls == [
        "open",
        "subscribed my_channel_name",
        "publish bar",
        "unsubscribed my_channel_name",
        "close",
    ]


@pytest.fixture
def watcher(own_server, app):
    """Somebody who sees who comes to the lobby and who leaves it."""
    app.allow("create_channel", presenceful=True)
    return own_server.subscribed("lobby", "watcher")[0]


five_seconds_of_grace = pytest.mark.parametrize("own_server", [5], indirect=True, ids=[""])


def sees_nothing(watcher):
    watcher.publish("lobby", "marker")
    return watcher.next().name == "PUBLISH"


@both_ways
@five_seconds_of_grace
def test_D9_others_see_nothing_of_a_page_that_is_reloaded(way, open_page, watcher):
    page = open_page().connect().subscribe()
    watcher.expect("SUBSCRIBE", user="ann")
    for _ in range(3):
        page.page.reload()
        page.connect().subscribe()
    assert page.get("conn.subscriptions.get('lobby').presence") == ["watcher", "ann"]
    assert sees_nothing(watcher)


@five_seconds_of_grace
def test_F17_a_page_that_is_cut_shortly_takes_its_place_again_unasked(open_page, own_server, app, cable, watcher):
    page = open_page().connect().subscribe()
    watcher.expect("SUBSCRIBE", user="ann")
    before = page.get("conn.id")
    app.forget()
    for action in ("connect", "subscribe", "unsubscribe", "disconnect"):
        app.refuse(action)
    for number in range(3):
        cable.cut()
        page.run("() => until(() => !conn.connected)")
        own_server.api("publish", channel_name="lobby", payload=number)
        cable.mend()
        page.hears(number + 1)
        assert watcher.next().name == "PUBLISH"
    assert page.get("heard") == [0, 1, 2]
    assert page.get("recoveries") == [{"recovered": True, "missed": 1}] * 3
    assert page.get("conn.id") == before
    assert app.asked == []
    assert sees_nothing(watcher)
    page.publish("still there")
    assert page.hears(5)[-1] == "still there"
