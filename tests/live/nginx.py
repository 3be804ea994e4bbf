"""A real nginx with many servers, each a deployment of its own in front of one Hookbox."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE

WELL = """
        proxy_http_version 1.1;
        proxy_set_header Upgrade    $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host       $http_host;
        proxy_set_header X-Forwarded-For   $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_buffering         off;
        proxy_request_buffering off;
        proxy_read_timeout      75s;
        proxy_send_timeout      75s;
        client_max_body_size    256k;
"""
"""What docs/deployment.md puts into the location of Hookbox."""


ATTEMPTS = 3


def need_nginx():
    """Skip, loudly, where there is no nginx; but not where everything has to be tested."""
    if shutil.which("nginx") is None:
        assert os.environ.get("CI") != "true", "there is no nginx: apt-get install nginx-light"
        pytest.skip("there is no nginx: apt-get install nginx-light")


class Nginx:
    """An nginx in the foreground, with one server for each of `locations`.

    Args:
        locations: by a name, what stands in the server's block.
        certificate: files of chain and key; those servers whose name begins with `tls` use them.
    """

    def __init__(self, locations, certificate=("", "")):
        self._folder = Path(tempfile.mkdtemp(prefix="hookbox-nginx-"))
        self._errors = self._folder / "error.log"
        for attempt in range(ATTEMPTS):
            try:
                self._start(locations, certificate)
                return
            except RuntimeError:  # somebody else took one of its ports meanwhile
                if attempt == ATTEMPTS - 1:
                    raise

    def _start(self, locations, certificate):
        self.ports = dict(zip(locations, _free_ports(len(locations)), strict=True))
        servers = "".join(self._server(name, text, certificate) for name, text in locations.items())
        config = self._folder / "nginx.conf"
        config.write_text(self._config(servers))
        command = ["nginx", "-p", str(self._folder), "-c", str(config), "-e", str(self._errors)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def url(self, name, host="127.0.0.1"):
        return f"{'https' if name.startswith('tls') else 'http'}://{host}:{self.ports[name]}"

    def _server(self, name, text, certificate):
        tls = ""
        if name.startswith("tls"):
            chain, key = certificate
            tls = f"ssl_certificate {chain}; ssl_certificate_key {key};"
        listen = f"127.0.0.1:{self.ports[name]}{' ssl' if tls else ''}"
        return f"    server {{ listen {listen}; {tls}\n{text}\n    }}\n"

    def _config(self, servers):
        places = "".join(
            f"    {kind}_temp_path {self._folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.getuid() == 0 else ""
        return f"""{user}daemon off;
worker_processes 1;
pid {self._folder}/nginx.pid;
error_log {self._folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
{places}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
{servers}
}}
"""

    def _wait(self):
        until = time.monotonic() + DEADLINE
        for port in self.ports.values():
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                if self.process.poll() is not None or time.monotonic() > until:
                    self.process.kill()
                    self.process.wait(DEADLINE)
                    raise RuntimeError(f"nginx did not start:\n{self._errors.read_text()}")
                time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        shutil.rmtree(self._folder)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports
