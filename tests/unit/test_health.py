"""What load balancers and supervisors ask."""

from __future__ import annotations

import json

import pytest
from api_site import Rig

from hookbox.web.health import add_health
from hookbox.web.lean import LeanBottle
from hookbox.web.pages import excuse


class Health:
    """The pages, and how things stand."""

    def __init__(self):
        self.fault = self.lack = ""
        self.app = LeanBottle(excuse)
        add_health(self.app, lambda: self.fault, lambda: self.lack, lambda: {"store": "ok"})
        self._rig = Rig(api_security_token=("an-api-token",))

    def get(self, path, method="GET", **environ):
        return self._rig.request(method, path, token=None, app=self.app, **environ)


@pytest.fixture
def health():
    return Health()


@pytest.mark.parametrize(
    ("fault", "lack", "status", "word"),
    [
        ("", "", 200, "ready"),
        ("", "degraded", 200, "degraded"),
        ("draining", "", 503, "draining"),
        ("draining", "degraded", 503, "draining"),
    ],
)
def test_F20_F30_readiness_is_a_status_for_machines_and_a_word_for_people(health, fault, lack, status, word):
    health.fault, health.lack = fault, lack
    answer = health.get("/readyz")
    assert (answer.status, answer.body) == (status, f"{word}\n".encode())
    assert health.get("/healthz").status == 200, "it lives all the same"


def test_whoever_asks_for_JSON_is_told_how_the_parts_stand(health):
    answer = health.get("/readyz", HTTP_ACCEPT="application/json")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {"status": "ready", "parts": {"store": "ok"}}
    assert json.loads(health.get("/healthz", HTTP_ACCEPT="application/json").body) == {"status": "ok"}


def test_health_needs_no_token_is_never_stored_and_only_read(health):
    answer = health.get("/healthz", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert health.get("/readyz", "POST").status == 405
