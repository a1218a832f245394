"""Bootstrap intervals: right in size, the same every time."""

from __future__ import annotations

import math

import numpy as np

from gpt2lab.metrics.bootstrap import intervals, sums


def test_sums_are_exact_and_skip_what_is_absent() -> None:
    assert sums([{"a": 1e16, "b": 1.0}, {"a": 1.0}, {"a": -1e16}]) == {"a": 1.0, "b": 1.0}


def test_the_error_of_a_mean_is_its_known_one() -> None:
    values = np.random.default_rng(3).normal(size=400)
    rows = [{"x": float(v), "n": 1.0} for v in values]
    found = intervals(rows, {"mean": lambda s: s["x"] / s["n"]}, resamples=2000)["mean"]
    known = values.std(ddof=1) / math.sqrt(len(values))
    assert math.isclose(found.stderr, known, rel_tol=0.06)
    assert math.isclose(found.low, values.mean() - 1.96 * known, abs_tol=0.15 * known)
    assert math.isclose(found.high, values.mean() + 1.96 * known, abs_tol=0.15 * known)


def test_the_seed_decides() -> None:
    rows = [{"x": float(i * i % 7)} for i in range(30)]
    figures = {"x": lambda s: s["x"]}
    assert intervals(rows, figures, seed=1) == intervals(rows, figures, seed=1)
    assert intervals(rows, figures, seed=1) != intervals(rows, figures, seed=2)


def test_one_row_tells_nothing() -> None:
    found = intervals([{"x": 1.0}], {"x": lambda s: s["x"]})["x"]
    assert all(math.isnan(v) for v in (found.stderr, found.low, found.high))
