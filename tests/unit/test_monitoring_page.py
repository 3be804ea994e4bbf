"""The page, the dashboard and the alerts about metrics speak of the same ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hookbox.settings import Settings
from hookbox.webhooks.tallies import HOOKS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitoring.md").read_text()
ALERTS = (DOCS / "monitoring" / "alerts.yml").read_text()
BOARD = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
ROW = re.compile(r"^\| `((?:hookbox|process)_\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", re.MULTILINE)
KINDS = {name: kind for name, kind, _ in ROW.findall(PAGE)}
LABELS = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in ROW.findall(PAGE)}
RULES = dict(zip(re.findall(r"- alert: (\w+)", ALERTS), re.findall(r"expr: (.+)", ALERTS), strict=True))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [*RULES.values(), *(target["expr"] for panel in PANELS for target in panel["targets"])]
OF_PROMETHEUS = {"job", "instance", "le", "__name__"}


def base(name):
    """What the page calls a sample."""
    for end in ("_bucket", "_count", "_sum"):
        if KINDS.get(name.removesuffix(end)) == "histogram":
            return name.removesuffix(end)
    return name


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_is_on_the_page(expression):
    named = re.findall(r"\b((?:hookbox|process)_\w+)(?:\{(.*?)\})?", re.sub(r'"[^"]*"', '""', expression))
    assert named or "up{" in expression
    for name, labels in named:
        assert base(name) in KINDS, name
        assert set(re.findall(r"(\w+)\s*(?:=|!)", labels)) <= LABELS[base(name)] | OF_PROMETHEUS, name
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_only_grows_is_looked_at_by_its_growth(expression):
    for name, around in re.findall(r"\b(\w+_(?:total|bucket|count))\{?.*?\}?(\[[^\]]*\]|)", expression):
        if KINDS.get(base(name)) in ("counter", "histogram"):
            assert re.search(rf"(?:rate|increase)\({name}", expression), (name, around)


def test_the_names_are_as_Prometheus_likes_them():
    for name, kind in KINDS.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent)(_|$)", name), name


def test_every_alert_is_explained_and_nothing_else():
    explained = re.findall(r"`(Hookbox\w+)`", PAGE)
    assert sorted(explained) == sorted(RULES)


def test_the_dashboard_can_be_imported_anywhere():
    assert BOARD["templating"]["list"][0]["type"] == "datasource"
    assert "id" not in BOARD or BOARD["id"] is None
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_no_two_panels_of_the_dashboard_lie_on_each_other():
    cells = [
        (x, y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))


def test_limits_on_the_page_are_settings():
    limits = re.findall(r"^\| (`[a-z].*?) \|", PAGE.partition("## Which limit was reached?")[2], re.MULTILINE)
    names = {name for cell in limits for name in re.findall(r"`(\w+)`", cell)}
    assert len(names) > 40
    assert names <= set(Settings.__dataclass_fields__)


def test_the_hooks_that_are_told_are_those_there_are():
    assert {"connect", "disconnect", "subscribe", "publish", "hub_subscribe"} < HOOKS


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
class TestPromtool:
    def check(self, *arguments):
        done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_the_alerts_are_rules(self):
        self.check("check", "rules", DOCS / "monitoring" / "alerts.yml")

    def test_the_alerts_say_the_right_thing_at_the_right_time(self):
        self.check("test", "rules", Path(__file__).with_name("alerts_cases.yml"))

    def test_every_expression_of_the_dashboard_can_be_parsed(self, tmp_path):
        expressions = [text.replace("$__rate_interval", "5m") for text in EXPRESSIONS]
        rules = [{"record": f"r:{n}", "expr": text} for n, text in enumerate(expressions)]
        file = tmp_path / "rules.json"  # which YAML includes
        file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
        self.check("check", "rules", file)
