"""/metrics in Prometheus' text format: requests as they were answered, and the engine's own counts for each model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gpt2lab.server.models import GROWING, ModelPool, counts_of

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_GAUGES = {
    "waiting": "texts that wait",
    "running": "texts that are written",
    "reserved_tokens": "positions that running texts may come to need",
}
_MEANING = {
    "submitted": "texts asked for",
    "prompt_tokens": "tokens of prompts that were begun",
    "known_tokens": "of those, tokens found in caches",
    "new_tokens": "tokens written",
    "steps": "steps of the engine",
    "guessed_tokens": "tokens guessed by prompt lookup",
    "kept_tokens": "of those, tokens that became text",
}


class Metrics:
    """What is counted while a server runs. `paths` are the addresses that are told apart."""

    def __init__(self, pool: ModelPool, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._registry = CollectorRegistry()
        self._registry.register(_Engines(pool))
        labels = ["path", "status"]
        self._requests = Counter("gpt2lab_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "gpt2lab_request_seconds", "From a request's body to the end of its answer.", ["path"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._first = Histogram(
            "gpt2lab_first_token_seconds", "From a completion's request to its first token.", buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; status 499 is one whose client went away."""
        known = path if path in self._paths else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Count the first token of a completion."""
        self._first.observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)


class _Engines(Collector):
    """Reads the schedulers' statistics when somebody asks."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of every model."""
        loaded = GaugeMetricFamily("gpt2lab_model_loaded", "1 where the model is loaded.", labels=["model"])
        size = GaugeMetricFamily("gpt2lab_model_bytes", "Weights and remembered texts.", labels=["model"])
        gauges = {
            name: GaugeMetricFamily(f"gpt2lab_{name}", f"Now: {text}.", labels=["model"])
            for name, text in _GAUGES.items()
        }
        growing = {
            name: CounterMetricFamily(f"gpt2lab_{name}", f"So far: {_MEANING[name]}.", labels=["model"])
            for name in GROWING
        }
        ended = CounterMetricFamily("gpt2lab_ended", "Texts by how they ended.", labels=["model", "finish"])
        for model, (statistics, retired, held) in self._pool.statistics().items():
            counts = retired.copy()
            if statistics is not None:
                counts.update(counts_of(statistics))
            loaded.add_metric([model], float(statistics is not None))
            size.add_metric([model], held)
            for name, gauge in gauges.items():
                gauge.add_metric([model], getattr(statistics, name) if statistics is not None else 0)
            for name, counter in growing.items():
                counter.add_metric([model], counts[name])
            for key, count in counts.items():
                if key.startswith("ended:"):
                    ended.add_metric([model, key.removeprefix("ended:")], count)
        yield from (loaded, size, *gauges.values(), *growing.values(), ended)
