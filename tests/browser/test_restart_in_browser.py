"""A page with the bundled client stays through a restart of its server, and nobody who looks at it notices."""

import contextlib
import http.server
import socket
import threading
from pathlib import Path

import pytest
from running import Running
from test_client import PAGE_SCRIPT

from hookbox.testing import DEADLINE

JS = Path(__file__).parents[2] / "hookbox" / "js"
PAGE = f"""<!doctype html><script>{(JS / "hookbox.js").read_text()}</script><script>{PAGE_SCRIPT}
const outcomes = [];
let published = 0, ticker;
function tick() {{
  const number = published++;
  conn.publish('lobby', number).then(() => outcomes.push('done'), error => outcomes.push(error.code)).then(look);
}}
</script>"""


@contextlib.contextmanager
def replaced(app):
    """A server, and what puts another in its place while it runs."""
    with contextlib.ExitStack() as running:
        first = running.enter_context(Running(app, "-p", 0))

        def restart():
            second = running.enter_context(Running(app, "-p", first.port, "--replace"))
            assert first.process.wait(3 * DEADLINE) == 0
            return second

        yield first, restart


@contextlib.contextmanager
def started_again(app):
    """A server on an inherited socket, and what ends it and starts the next one on it."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as given, contextlib.ExitStack() as running:
        first = running.enter_context(Running(app, "--fd", given.fileno(), sockets=[given]))

        def restart():
            first.process.terminate()
            assert first.process.wait(3 * DEADLINE) == 0
            return running.enter_context(Running(app, "--fd", given.fileno(), sockets=[given]))

        yield first, restart


class Page(http.server.BaseHTTPRequestHandler):
    """Serves the one page: its server goes on, whatever happens to Hookbox."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def page(browser, address):
    context = browser.new_context()
    context.set_default_timeout(3 * DEADLINE * 1000)
    page = context.new_page()
    page.faults = []
    evaluate = page.evaluate
    page.evaluate = lambda script, argument=None: evaluate(
        "([code, argument, within]) => Promise.race([eval(code)(argument), new Promise((done, fail) => "
        "setTimeout(() => fail(new Error('not in time: ' + JSON.stringify([told, outcomes]))), within))])",
        [script if "=>" in script else f"() => {script}", argument, 3000 * DEADLINE],
    )
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(address)
    yield page
    assert page.faults == []
    context.close()


@pytest.mark.parametrize("transport", ["websocket", "comet"])
@pytest.mark.parametrize("way", [replaced, started_again], ids=["replace", "fd"])
def test_F30_a_page_comes_back_over_a_restart_without_a_visible_error(way, transport, page, app):
    with way(app) as (server, restart):
        page.evaluate("([url, way]) => start(url, 'ann', { transport: way })", [server.url, transport])
        page.evaluate("() => conn.subscribe('lobby').then(() => {})")
        server.api("publish", channel_name="lobby", payload="before")
        page.evaluate("() => { ticker = setInterval(tick, 100); }")
        page.evaluate("() => until(() => outcomes.length > 5)")
        server = restart()
        page.evaluate("() => until(() => recoveries.length)")
        before = page.evaluate("outcomes.length")
        page.evaluate("count => until(() => outcomes.length > count + 10)", before)
        server.api("publish", channel_name="lobby", payload="after")
        page.evaluate("() => until(() => heard.includes('after'))")
        page.evaluate("() => { clearInterval(ticker); return until(() => outcomes.length === published); }")

        told = page.evaluate("told")
        assert [event for event in told if event[0] in ("error", "close")] == []
        assert {detail for event, detail in told if event == "state"} == {"connecting", "connected", "waiting"}
        assert page.evaluate("[conn.state, why.code]") == ["connected", None]
        assert page.evaluate("recoveries") == [{"recovered": False, "missed": 0}], "a new server knows no old offset"
        assert set(page.evaluate("outcomes")) == {"done"}
        heard = [item for item in page.evaluate("heard") if isinstance(item, int)]
        assert heard == list(range(page.evaluate("published"))), "each once, in order"
        assert page.evaluate("heard[0]") == "before"


def test_F30_what_a_page_shows_of_a_restart_is_over_soon(page, app):
    with replaced(app) as (server, restart):
        page.evaluate("url => start(url, 'ann')", server.url)
        page.evaluate("() => reached('connected')")
        page.evaluate("""() => {
          let left;
          window.away = 0;
          conn.on('state', state => {
            if (state === 'waiting') left = performance.now();
            if (state === 'connected') { window.away = performance.now() - left; look(); }
          });
        }""")
        restart()
        page.evaluate("() => until(() => window.away)")
        assert page.evaluate("window.away") < 1000 * DEADLINE
