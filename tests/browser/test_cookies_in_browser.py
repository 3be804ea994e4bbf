"""Cookies of the application's answers in a real browser: HttpOnly ones arrive, and script never sees them."""

import http.server
import threading

import pytest

from hookbox.testing import DEADLINE, HookboxProcess, Reply

POLICY = "default-src 'none'; script-src {hookbox} 'unsafe-inline'; connect-src {hookbox} {sockets}"
PAGE = """<!doctype html><script src="{hookbox}/static/hookbox.min.js"></script>
<script>
const seen = [], outcomes = [];
const look = () => seen.push(document.cookie);
function start(options) {{
  return new Promise(done => {{
    conn = hookbox.connect('{hookbox}', null, undefined, options);
    conn.on('state', look);
    conn.on('open', done);
    conn.on('cookies', ({{ ok }}) => {{ look(); outcomes.push(ok); }});
  }});
}}
</script>"""


@pytest.fixture(scope="module")
def server():
    with HookboxProcess(leave_grace=0.3) as server:
        yield server


@pytest.fixture
def app(server):
    server.app.forget()
    return server.app


class Pages:
    """Serves the page, on another port than Hookbox; remembers what cookies its visitors had."""

    def __init__(self, hookbox):
        pages, self.carried = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/":
                    pages.carried.append(self.headers["Cookie"])
                self.send_response(200 if self.path == "/" else 404)
                if self.path == "/":
                    policy = POLICY.format(hookbox=hookbox, sockets=hookbox.replace("http", "ws"))
                    self.send_header("Content-Security-Policy", policy)
                    self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(PAGE.format(hookbox=hookbox).encode() if self.path == "/" else b"")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def pages(server):
    pages = Pages(server.url)
    yield pages
    pages.server.shutdown()
    pages.server.server_close()


@pytest.fixture
def page(browser, pages):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(DEADLINE * 1000)
    page.carried = pages.carried
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: said.type == "error" and "404" not in said.text and faults.append(said.text))
    page.goto(pages.url)
    yield page
    context.close()
    assert faults == []


def sets(*cookies, answer=None):
    return Reply(answer or [True, {}], headers=tuple(("Set-Cookie", cookie) for cookie in cookies))


@pytest.mark.parametrize("transport", ["websocket", "comet"])
def test_A5_the_next_page_load_and_the_next_question_carry_it_and_script_never_sees_it(app, page, transport):
    app.answer("connect", sets("sid=first; HttpOnly", answer=[True, {"name": "ann"}]))
    page.evaluate("transport => start({ transport })", transport)
    page.reload()
    assert page.carried[-1] == "sid=first"
    app.answer("publish", sets("sid=second; HttpOnly; SameSite=Lax; Path=/", "theme=dark; Path=/"))
    page.evaluate("transport => start({ transport })", transport)
    page.evaluate("() => conn.publish('lobby', 1)")
    page.evaluate("() => conn.publish('lobby', 2)")
    carried = [asked.headers["cookie"] for asked in app.questions("publish")]
    assert carried == ["sid=first", "sid=second; theme=dark"]
    seen = page.evaluate("() => [seen.concat(document.cookie), outcomes]")
    assert not any("sid" in cookies for cookies in seen[0])
    assert seen[0][-1] == "theme=dark"
    assert seen[1] == [True, True, True]
    page.reload()
    assert set(page.carried[-1].split("; ")) == {"sid=second", "theme=dark"}
    (cookie,) = [each for each in page.context.cookies() if each["name"] == "sid"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")


def test_the_application_can_take_away_a_cookie_that_script_does_not_see(app, page):
    app.answer("publish", sets("sid=1; HttpOnly; Path=/"))
    page.evaluate("() => start().then(() => conn.publish('lobby', 1))")
    app.answer("publish", sets('sid=""; Max-Age=0; Path=/'))
    page.evaluate("() => conn.publish('lobby', 2)")
    page.reload()
    assert page.carried[-1] is None


def test_an_old_page_goes_on_without_it(app, page):
    """The original client knows no features; it gets what it always got."""
    app.answer("connect", sets("sid=1; HttpOnly", "theme=dark; Path=/", answer=[True, {"name": "ann"}]))
    page.evaluate(
        """url => new Promise(done => {
          const socket = new WebSocket(url);
          socket.onopen = () => socket.send('[1,"CONNECT",{"cookie_string":""}]\\r\\n');
          let text = '';
          socket.onmessage = ({ data }) => { text += data; if (text.includes('CONNECTED')) done(text); };
        })""",
        page.evaluate("() => new URL('/ws', document.scripts[0].src).href").replace("http", "ws"),
    )
    page.reload()
    assert page.carried[-1] is None
