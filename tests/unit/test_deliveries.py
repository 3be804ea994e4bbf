"""Deliveries as one part: what the settings say reaches those who go by it."""

import json

import pytest
from parts import House
from store_values import endpoint

from hookbox.clock import ManualClock
from hookbox.commands.dispatch import dispatch
from hookbox.delivery.batch import BATCH
from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.intake import read_dispatch
from hookbox.delivery.models import EndpointId
from hookbox.delivery.request import Request
from hookbox.delivery.store.base import Search
from hookbox.errors import BadRequest
from hookbox.settings import Settings
from hookbox.webhooks.resolve import Resolver

MIB = 1024 * 1024


@pytest.fixture
def with_settings():
    made = []

    def make(**settings):
        clock = ManualClock()
        chosen = Settings(**{"store": ":memory:", **settings})
        made.append(Deliveries(lambda: chosen, clock, Resolver(clock)))
        return made[-1]

    yield make
    for deliveries in made:
        deliveries.stop(0)


@pytest.mark.parametrize(("store_sync", "full"), [("full", True), ("normal", False)])
def test_F20_the_store_leaves_room_on_the_disk_and_syncs_as_the_settings_say(with_settings, store_sync, full):
    limits = with_settings(store_sync=store_sync, max_queue=7, max_store=5 * MIB).store.limits
    assert (limits.queue, limits.bytes) == (7, 5 * MIB)
    assert limits.full_sync is full
    assert limits.free == 64 * MIB


def test_that_is_so_after_a_reload_too(with_settings):
    deliveries = with_settings()
    deliveries.reconfigure()
    assert deliveries.store.limits.free == 64 * MIB


def test_F20_a_store_that_cannot_say_goodbye_is_let_go_of_all_the_same(tmp_path, with_settings, caplog):
    path = str(tmp_path / "hookbox.db")
    first = with_settings(store=path)
    first.store.run(lambda db: db.execute("PRAGMA query_only = 1").fetchall())  # as on a full disk
    first.stop(0)
    assert "not closed in good order" in caplog.text
    with_settings(store=path).numbers.begin()


def test_an_endpoint_that_goes_while_something_for_it_is_accepted_is_said_to_be_gone(with_settings, monkeypatch):
    deliveries = with_settings(egress="off")
    deliveries.numbers.begin()
    deliveries.start()
    deliveries.worker.endpoint_changed(endpoint("ep_1"))
    body = json.dumps({"to": [{"endpoint": "ep_1"}, {"url": "http://a.example/"}], "id": "key", "json": 1})
    wanted = read_dispatch(Request(body.encode(), BATCH))

    def meanwhile(*args):
        deliveries.worker.endpoint_dropped(EndpointId("ep_1"))

    monkeypatch.setattr(deliveries.store, "recall", meanwhile)
    with pytest.raises(BadRequest, match="no endpoint ep_1 any more"):
        dispatch(House().site, deliveries, wanted)
    assert deliveries.store.search(Search()) == []
    assert not deliveries.under_way
