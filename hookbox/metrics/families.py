"""Metric families out of plain numbers, with names and units as Prometheus likes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from hookbox.core.tally import Tally

Families: TypeAlias = Iterable[Metric]
Labels: TypeAlias = str | tuple[str, ...]
Values: TypeAlias = Mapping[Any, float]
"""By a label's value, or by the values of several."""

OTHER = "other"
"""Stands for every value of a label that is not known, so that there are never more than are."""


def gauge(name: str, about: str, value: float) -> Metric:
    """A number that goes up and down."""
    return GaugeMetricFamily(name, about, value=value)


def counter(name: str, about: str, value: float) -> Metric:
    """A number that only grows; `_total` is put behind its name."""
    return CounterMetricFamily(name, about, value=value)


def gauges(name: str, about: str, label: Labels, values: Values) -> Metric:
    """One number for each value of a label."""
    family = GaugeMetricFamily(name, about, labels=_all(label))
    for key, value in values.items():
        family.add_metric(_all(key), value)
    return family


def counters(name: str, about: str, label: Labels, values: Values) -> Metric:
    """One number that only grows for each value of a label."""
    family = CounterMetricFamily(name, about, labels=_all(label))
    for key, value in values.items():
        family.add_metric(_all(key), value)
    return family


def histogram(name: str, about: str, tally: Tally | None) -> Metric:
    """How large how many were."""
    return histograms(name, about, (), {(): tally} if tally is not None else {})


def histograms(name: str, about: str, label: Labels, tallies: Mapping[Any, Tally]) -> Metric:
    """The same for each value of a label."""
    family = HistogramMetricFamily(name, about, labels=_all(label))
    for key, tally in tallies.items():
        counts, total = list(tally.counts), tally.total  # which another thread may be adding to
        below, buckets = 0, []
        for bound, count in zip((*tally.bounds, float("inf")), counts, strict=True):
            below += count
            buckets.append((floatToGoString(bound), below))  # type: ignore[no-untyped-call]
        family.add_metric(_all(key), buckets, total)
    return family


def folded(values: Mapping[str, float], known: Iterable[str]) -> dict[str, float]:
    """Numbers by a label of which only some values are known: those, and the others together."""
    result: dict[str, float] = dict.fromkeys(known, 0.0)
    for key, value in values.items():
        name = key if key in result else OTHER
        result[name] = result.get(name, 0.0) + value
    return result


def _all(label: Labels) -> list[str]:
    return [label] if isinstance(label, str) else list(label)
