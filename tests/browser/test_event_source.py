"""Streams in a real browser: EventSource with cookies and with tickets, through interruptions."""

import contextlib
import http.server
import json
import re
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE, FaultProxy, HookboxProcess, ScriptedApp

DOCS = Path(__file__).parents[2] / "docs/streams.md"
EXAMPLES = re.findall(r"```js\n(.*?)```", DOCS.read_text(), re.DOTALL)
PAGE = """<!doctype html><meta charset="utf-8"><title>News</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 40em; margin: 2em auto }} li {{ overflow-wrap: anywhere }}</style>
<h1>News</h1><ol id="shown"></ol>
<script>
const shown = [], waiting = [];
function show(what) {{
  shown.push(what);
  document.getElementById('shown').appendChild(document.createElement('li')).textContent = JSON.stringify(what);
  waiting.splice(0).forEach(wait => wait());
}}
async function until(condition) {{
  while (!condition()) await new Promise(resolve => waiting.push(resolve));
  return shown;
}}
</script><script>{script}</script>"""


class Site:
    """What serves the page, on another port than Hookbox; and gets tickets for it."""

    def __init__(self):
        site = self
        self.hookbox = ""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site.handler(site))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.tickets = []
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def handler(site):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                number = int(self.path[1:]) if self.path[1:].isdecimal() else 0  # it may ask for an icon, too
                script = EXAMPLES[number].replace("http://localhost:8001", site.hookbox)
                self.answer(PAGE.format(script=script), "text/html; charset=utf-8")

            def do_POST(self):
                self.answer(site.get_ticket(), "application/json")

            def answer(self, text, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        return Handler

    def get_ticket(self, origin=None):
        request = urllib.request.Request(
            f"{self.hookbox}/stream/ticket",
            urllib.parse.urlencode({"topic": "news"}).encode(),
            {"Authorization": f"Bearer {HookboxProcess.TOKEN}", "Origin": origin or self.url},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            self.tickets.append(answer.read().decode())
        return self.tickets[-1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def app():
    return ScriptedApp()


@pytest.fixture
def news(app, site):
    """A Hookbox behind a proxy that can be cut; the page knows the proxy."""
    with contextlib.ExitStack() as running:
        server = running.enter_context(
            HookboxProcess(app, store=":memory:", origin="http://elsewhere.example")
        )
        server.proxy = running.enter_context(FaultProxy(server.port))
        site.hookbox = server.proxy.url
        server.api("create_channel", channel_name="news", moderated_subscribe=True)
        yield server


@pytest.fixture
def page(browser, site):
    context = browser.new_context(viewport={"width": 700, "height": 500})
    context.add_cookies([{"name": "user", "value": "ann", "url": site.url}])
    context.set_default_timeout(3 * DEADLINE * 1000)
    page = context.new_page()
    yield page
    context.close()


def publish(server, *payloads):
    for payload in payloads:
        server.api("publish", channel_name="news", payload=payload)


def shows(page, count):
    return page.evaluate(f"until(() => shown.length >= {count})")


def test_a_page_is_let_in_by_its_cookies_and_misses_nothing_when_it_is_cut_off(news, app, site, page):
    page.goto(site.url + "/0")
    (asked,) = app.wait_for("subscribe", channel_name="news")
    assert asked.form["user"] == "ann"
    assert "user=ann" in asked.headers["cookie"]
    page.evaluate("stream.readyState || new Promise(resolve => stream.onopen = resolve)")
    news.proxy.down()  # before it has seen anything
    news.proxy.reset()
    publish(news, "one", {"two": "2\u2028\n"})
    news.proxy.up()
    assert shows(page, 2) == ["one", {"two": "2\u2028\n"}]
    for number in (3, 5):
        news.proxy.reset()
        publish(news, number, number + 1)
        shows(page, number + 1)
    assert shows(page, 6) == ["one", {"two": "2\u2028\n"}, 3, 4, 5, 6]
    assert len(app.questions("subscribe")) == 4


def test_a_page_that_may_not_read_learns_that_it_is_closed(news, app, site, page):
    app.refuse("subscribe", "members only")
    page.goto(site.url + "/0")
    assert shows(page, 1) == ["not allowed, or no server"]
    assert page.evaluate("stream.readyState") == 2


def test_A7_a_page_with_tickets_misses_nothing_either(news, app, site, page):
    page.goto(site.url + "/1")
    wait_for_stream(news)
    publish(news, 1)
    shows(page, 1)
    news.proxy.reset()
    publish(news, 2, 3)
    assert shows(page, 3) == [1, 2, 3]
    assert len(site.tickets) == 2
    assert app.asked == []


def test_A7_a_ticket_for_another_origin_is_refused(news, site, page):
    ticket = json.loads(site.get_ticket("http://elsewhere.example"))["ticket"]
    page.goto(site.url + "/0")
    state = page.evaluate(
        """url => new Promise(resolve => {
          const stolen = new EventSource(url);
          stolen.onopen = () => resolve('open');
          stolen.onerror = () => resolve(stolen.readyState);
        })""",
        f"{news.proxy.url}/stream?ticket={ticket}",
    )
    assert state == 2


def wait_for_stream(server):
    until = time.monotonic() + DEADLINE
    while not server.api("get_server_info")["counts"]["streams"]:
        assert time.monotonic() < until
        time.sleep(0.01)
