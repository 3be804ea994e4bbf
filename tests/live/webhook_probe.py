"""Asks questions as the server does: in one patched process, told by lines on standard input.

Each line in is `[id, command, arguments]`, each line out `{"id": ..., ...}`; questions are
answered when their verdict is there. The first command is `renew`.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
from dataclasses import asdict, replace  # noqa: E402

import gevent  # noqa: E402
from gevent.fileobject import FileObjectThread  # noqa: E402

from hookbox.clock import SystemClock  # noqa: E402
from hookbox.errors import WebhookError  # noqa: E402
from hookbox.settings import Settings  # noqa: E402
from hookbox.webhooks.client import WebhookClient  # noqa: E402
from hookbox.webhooks.gate import Question  # noqa: E402
from hookbox.webhooks.resolve import system_lookup  # noqa: E402

HANGING = 3600  # seconds


def lookup(host, port):
    if host.startswith("hangs"):
        monkey.get_original("time", "sleep")(HANGING)
    return system_lookup(host if host != "app.test" else "127.0.0.1", port)


class Log(logging.Handler):
    """Keeps lines until they are asked for."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


class Probe:
    def __init__(self):
        self.asking = {}
        self.settings = self.client = None
        self.kept = Log()
        logging.basicConfig(level=logging.DEBUG, handlers=[self.kept])

    def renew(self, **settings):
        if self.client is not None:
            self.client.stop(0)
        self.settings = Settings(**settings)
        self.client = WebhookClient(self.settings, SystemClock(), lookup)
        return self.log()

    def log(self):
        lines, self.kept.lines = self.kept.lines, []
        return {"lines": lines}

    def ask(self, **question):
        try:
            verdict = self.client.ask(Question(**question))
        except WebhookError as error:
            return {
                "verdict": type(error).__name__,
                "text": str(error),
                "detail": error.detail,
                "code": error.code,
            }
        return {"verdict": type(verdict).__name__, **asdict(verdict)}

    def kill(self, of):
        self.asking.pop(of).kill()
        return {}

    def counts(self):
        return self.client.counts()

    def reconfigure(self, **settings):
        self.settings = replace(self.settings, **settings)
        self.client.reconfigure(self.settings)
        return {}

    def stop(self, timeout):
        self.client.stop(timeout)
        return {}

    def memory(self):
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return {"peak_kib": int(lines["VmHWM"].split()[0])}

    def run(self, id, command, arguments):
        answer = getattr(self, command)(**arguments)
        print(json.dumps({"id": id, **answer}), flush=True)


def main():
    probe = Probe()
    for line in FileObjectThread(sys.stdin.buffer, "rb"):
        id, command, arguments = json.loads(line)
        running = gevent.spawn(probe.run, id, command, arguments)
        if command == "ask":
            probe.asking[id] = running
        else:
            running.join()


if __name__ == "__main__":
    main()
