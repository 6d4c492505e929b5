"""Metrics for the hottest paths: counted without the lock and the checks of `prometheus_client`'s own.

Each costs an eighth of those (measured). Only an event loop's thread may count; any thread may read.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally(Collector):
    """A counter: `tally.counts["platform", "stored"] += 1`, with the labels' values in their order."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._described = name, documentation, labels
        self.counts: defaultdict[tuple[str | int, ...], int] = defaultdict(int)
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        name, documentation, labels = self._described
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in list(self.counts.items()):
            family.add_metric([*map(str, values)], count)
        yield family


class Times(Collector):
    """A histogram of seconds with one label; *bounds* are the buckets' upper ones, that of the last is infinity."""

    def __init__(self, name: str, documentation: str, label: str, bounds: Sequence[float]) -> None:
        self._described = name, documentation, [label]
        self._bounds = bounds
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        REGISTRY.register(self)

    def observe(self, value: str, seconds: float) -> None:
        """Count *seconds* under the label's *value*."""
        self._sums[value] += seconds
        self._counts[value][bisect.bisect_left(self._bounds, seconds)] += 1

    def collect(self) -> Iterable[Metric]:
        name, documentation, labels = self._described
        family = HistogramMetricFamily(name, documentation, labels=labels)
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        for value, counts in list(self._counts.items()):
            family.add_metric([value], list(zip(names, accumulate(counts), strict=True)), self._sums[value])
        yield family
