"""Divergences: known values, bounds, equality with SciPy, and that merging outcomes only brings them down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from gpt2lab.metrics.divergence import jensen_shannon, log_odds_ratio, total_variation


def test_known_values() -> None:
    apart = np.eye(2)
    assert total_variation(*apart) == 1
    assert jensen_shannon(apart) == 1
    assert jensen_shannon(np.eye(8)) == 3
    same = np.asarray([[0.25, 0.75]] * 3)
    assert total_variation(same[0], same[1]) == 0
    assert jensen_shannon(same) == 0
    # half of the mass is shared: H(1/4, 1/2, 1/4) - 1 = 0.5 bits
    assert jensen_shannon(np.asarray([[0.5, 0.5, 0], [0, 0.5, 0.5]])) == pytest.approx(0.5)
    assert total_variation(np.asarray([0.5, 0.5, 0]), np.asarray([0, 0.5, 0.5])) == 0.5
    assert log_odds_ratio(0.5, 0.2) == pytest.approx(math.log(4))
    assert log_odds_ratio(0.3, 0.3) == 0


rows = st.lists(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=6, max_size=6).filter(lambda v: sum(v) > 1e-3),
    min_size=2, max_size=4,
).map(lambda v: np.asarray(v) / np.asarray(v).sum(axis=1, keepdims=True))  # fmt: skip


@given(rows)
def test_bounds_and_order(p: np.ndarray) -> None:
    js = jensen_shannon(p)
    assert 0 <= js <= math.log2(len(p)) + 1e-9
    assert js == pytest.approx(jensen_shannon(p[::-1]), abs=1e-12)
    if len(p) == 2:
        tv = total_variation(*p)
        assert js <= tv + 1e-9  # Lin 1991, theorem 3
        assert js >= 1 - _binary_entropy((1 - tv) / 2) - 1e-9
        assert js == pytest.approx(jensenshannon(*p, base=2) ** 2, abs=1e-7)


def _binary_entropy(x: float) -> float:
    return -sum(v * math.log2(v) for v in (x, 1 - x) if v > 0)


@given(rows)
def test_merging_outcomes_brings_them_down(p: np.ndarray) -> None:
    merged = np.stack([p[:, 0] + p[:, 1], p[:, 2] + p[:, 3] + p[:, 4], p[:, 5]], axis=1)
    assert jensen_shannon(merged) <= jensen_shannon(p) + 1e-9
    assert total_variation(merged[0], merged[1]) <= total_variation(p[0], p[1]) + 1e-9
