"""What a Hookbox tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families as read

from hookbox.testing import DEADLINE

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@dataclass
class Page:
    status: int
    headers: dict[str, str]
    text: str


def get(hookbox, path="/metrics", method="GET", token=None, port=None, **headers):
    """Any page of a server, with its token or another."""
    connection = http.client.HTTPConnection("127.0.0.1", port or hookbox.port, timeout=DEADLINE)
    try:
        if token != "":
            headers.setdefault("Authorization", f"Bearer {token or hookbox.TOKEN}")
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        given = {name.lower(): value for name, value in answer.getheaders()}
        return Page(answer.status, given, answer.read().decode())
    finally:
        connection.close()


class Scrape:
    """What was told at one moment."""

    def __init__(self, hookbox):
        page = get(hookbox)
        assert page.status == 200, page
        self.text = page.text
        self.families = list(read(page.text))
        self._samples = [sample for family in self.families for sample in family.samples]

    def __call__(self, name, /, **labels):
        """The sum of what is told under a name, of the samples with these labels; `_class` means `class`."""
        wanted = {key.lstrip("_"): value for key, value in labels.items()}.items()
        return sum(s.value for s in self._samples if s.name == name and wanted <= s.labels.items())

    def has(self, name):
        return any(sample.name == name for sample in self._samples)

    def values(self, label):
        """Everything that stands under a label."""
        return {sample.labels[label] for sample in self._samples if label in sample.labels}

    @property
    def kinds(self):
        """The type of each family, by what Prometheus calls it: histograms without `_bucket` and the like."""
        found = (line.split() for line in self.text.splitlines() if line.startswith("# TYPE "))
        return {name: kind for _, _, name, kind in found}


class Since:
    """How much more there is than when this was made."""

    def __init__(self, hookbox):
        self._hookbox = hookbox
        self._before = Scrape(hookbox)

    def __call__(self, name, /, **labels):
        return Scrape(self._hookbox)(name, **labels) - self._before(name, **labels)
