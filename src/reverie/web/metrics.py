"""``/metrics``: what this process answered and what the queue does, in Prometheus' text format.

Requests are counted by hand, in one dict of lists, since the library's label objects cost more than a call's routing.
The library writes the text, from a registry that knows nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from reverie.jobs.metrics import BOUNDS, OTHER, SERIES, Measures, histogram, labels_of
from reverie.model import JobStatus, Verb

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_CELLS: Final = 2000
"""Combinations of service, verb and class of status that are counted apart."""
MOST_QUEUES: Final = 500
MOST_WORKERS: Final = 200
_SUM: Final = len(BOUNDS) + 1
_VERBS: Final = frozenset(str(verb.name) for verb in Verb)
_PREFIX: Final = "reverie_"


class Requests:
    """How many calls were answered, and how fast, by service, verb and class of status.

    Args:
        has_service: whether there is a service of a name; whoever asks for others cannot make us remember their names.
    """

    def __init__(self, has_service: Callable[[str], bool]) -> None:
        self._has_service = has_service
        self._cells: dict[tuple[str, str, int], list[float]] = {}

    def note(self, service: str, verb: str, status: int, seconds: float) -> None:
        """Count one call; on the path of every request, so it looks up and adds, and nothing else."""
        cell = self._cells.get((service, verb, status // 100))
        if cell is None:
            cell = self._new(service, verb, status // 100)
        cell[bisect_left(BOUNDS, seconds)] += 1
        cell[_SUM] += seconds

    def _new(self, service: str, verb: str, kind: int) -> list[float]:
        full = len(self._cells) >= MOST_CELLS
        service = OTHER if full or not self._has_service(service) else service
        return self._cells.setdefault((service, verb if verb in _VERBS else OTHER, kind), [0.0] * (_SUM + 1))

    def families(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import HistogramMetricFamily

        labels = ["service", "verb", "status"]
        family = HistogramMetricFamily(
            f"{_PREFIX}request_seconds", "Calls of the API, from headers to answer", labels=labels
        )
        for (service, verb, kind), cell in list(self._cells.items()):  # calls go on meanwhile
            numbered = {str(number): value for number, value in enumerate(cell[:_SUM])}
            buckets, total = histogram({**numbered, "sum": cell[_SUM]})
            family.add_metric([service, verb, f"{kind}xx"], buckets, total)
        yield family


class _Once:
    """A registry of what was collected already; the library asks for nothing more than this."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(requests: Requests, measures: Measures | None) -> bytes:
    """The text; without *measures* the store could not be reached, and only this process is told of."""
    from typing import cast

    from prometheus_client.exposition import generate_latest
    from prometheus_client.metrics_core import GaugeMetricFamily
    from prometheus_client.registry import CollectorRegistry

    reached = 0 if measures is None else 1
    families = [
        *requests.families(),
        GaugeMetricFamily(f"{_PREFIX}store_up", "Whether the platform's store could be reached", value=reached),
    ]
    if measures is not None:
        families += [*_depths(measures), *_workers(measures), *_store(measures), *_counted(measures)]
    return generate_latest(cast("CollectorRegistry", _Once(families)))


def _depths(measures: Measures) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    depth: dict[tuple[str, str, str], int] = defaultdict(int)
    oldest: dict[tuple[str, str], float] = {}
    for count in sorted(measures.counts, key=lambda one: -one.jobs):
        queue = (count.connection, count.queue)
        if queue not in oldest and len(oldest) >= MOST_QUEUES:
            queue = (OTHER, OTHER)
        depth[*queue, str(count.status)] += count.jobs
        age = max(measures.now - count.oldest_due, 0.0) if count.status is JobStatus.WAITING else 0.0
        oldest[queue] = max(oldest.get(queue, 0.0), age)
    depths = GaugeMetricFamily(
        f"{_PREFIX}queue_depth", "Jobs of a queue in a state", labels=["connection", "queue", "state"]
    )
    ages = GaugeMetricFamily(
        f"{_PREFIX}queue_oldest_ready_seconds",
        "How long the oldest job that could run has been due",
        labels=["connection", "queue"],
    )
    for labels, jobs in depth.items():
        depths.add_metric(labels, jobs)
    for queue, age in oldest.items():
        ages.add_metric(queue, age)
    yield depths
    yield ages


def _workers(measures: Measures) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    up = GaugeMetricFamily(f"{_PREFIX}worker_up", "A worker that says it is there", labels=["worker"])
    seen = GaugeMetricFamily(
        f"{_PREFIX}worker_last_seen_seconds", "Since a worker last renewed what it holds", labels=["worker"]
    )
    turned = GaugeMetricFamily(
        f"{_PREFIX}worker_last_turn_seconds",
        "Since a worker last went round and looked for jobs, as far as it has said so; every 10 s when idle",
        labels=["worker"],
    )
    for worker in measures.workers[-MOST_WORKERS:]:
        up.add_metric([worker.name], 1)
        seen.add_metric([worker.name], max(measures.now - worker.seen_at, 0.0))
        if worker.name in measures.turns:
            turned.add_metric([worker.name], max(measures.now - measures.turns[worker.name], 0.0))
    yield up
    yield seen
    yield turned


def _store(measures: Measures) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    for name, value in measures.store.items():
        yield GaugeMetricFamily(f"{_PREFIX}queue_{name}", f"Of the store that holds the queue: {name}", value=value)


def _counted(measures: Measures) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

    found: dict[str, dict[tuple[str, ...], dict[str, float]]] = {name: {} for name in SERIES}
    for place, value in measures.sums.items():
        if place[0] not in found:
            continue  # of a newer version
        labels, last = labels_of(place), ""
        if SERIES[place[0]].kind == "histogram":
            labels, last = labels[:-1], labels[-1]
        found[place[0]].setdefault(tuple(labels), {})[last] = value
    for name, series in SERIES.items():
        labels = list(series.labels)
        if series.kind == "counter":
            counter = CounterMetricFamily(_PREFIX + name, series.meaning, labels=labels)
            for values, by_last in _or_nothing(found[name], series.labels).items():
                counter.add_metric(values, by_last.get("", 0.0))
            yield counter
        else:
            family = HistogramMetricFamily(_PREFIX + name, series.meaning, labels=labels)
            for values, by_last in _or_nothing(found[name], series.labels).items():
                buckets, total = histogram(by_last)
                family.add_metric(values, buckets, total)
            yield family


def _or_nothing(
    found: Mapping[tuple[str, ...], Mapping[str, float]], labels: tuple[str, ...]
) -> Mapping[tuple[str, ...], Mapping[str, float]]:
    """A series without labels is there from the beginning, at 0, so that its first change is seen as one."""
    return found if found or labels else {(): {}}
