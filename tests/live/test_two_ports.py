"""With a second port the API is there and nowhere else."""

import json
import urllib.error
import urllib.request

import pytest
from console_client import Operator
from websockets.exceptions import InvalidStatus

from hookbox.testing import DEADLINE, HookboxProcess


def fetch(url, body=None):
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {HookboxProcess.TOKEN}"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return answer.read()


def test_the_api_moves_to_its_own_port_and_clients_stay(app):
    with HookboxProcess(app, web_api_port=0) as server:
        urls = server.wait_for_log(r"(?s)hookbox on (http://\S+).*hookbox on (http://\S+)").groups()
        public, private = urls
        bob = server.connect("bob")
        bob.subscribe("lobby")
        body = b'channel_name=lobby&payload="hi"'
        assert json.loads(fetch(f"{private}/web/publish", body))[0] is True
        assert bob.next_publication()["payload"] == "hi"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{public}/web/publish", body)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{private}/csp/handshake", b"{}")
        assert fetch(f"{public}/healthz") == fetch(f"{private}/healthz")
        with pytest.raises(urllib.error.HTTPError, match="404") as off:
            fetch(f"{private}/admin/")
        assert b"admin_password" in off.value.read()


def test_A11_the_console_is_on_the_second_port_and_nowhere_else(app):
    with HookboxProcess(app, web_api_port=0, admin_password="right") as server:
        urls = server.wait_for_log(r"(?s)hookbox on (http://\S+).*hookbox on (http://\S+)").groups()
        public, private = [Operator(int(url.rpartition(":")[2])) for url in urls]
        private.log_in("right")
        feed = private.feed("connections")
        server.connect("bob")
        assert feed.next_publication()["payload"]["kind"] == "opened"
        public.cookie, public.csrf = private.cookie, private.csrf
        for path in ("", "login", "api/session", "ws", "csp/handshake"):
            assert public.request("GET", f"/admin/{path}", headers=public.headers()).status == 404
        with pytest.raises(InvalidStatus):
            public.feed()
        private.post("api/settings", 400, changes={"admin_password": ""})
        private.post("api/settings", changes={"admin_password": "another"})
        assert feed.wait_closed()[0] == 4502
        assert private.request("GET", "/admin/api/session", headers=private.headers()).status == 401
        assert private.try_password("right").status == 401
        private.log_in("another")
