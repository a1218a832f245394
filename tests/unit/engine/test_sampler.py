"""Choosing tokens: every filter against a NumPy oracle, and draws against the distribution they should follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from gpt2lab import _native
from gpt2lab.engine.native import filtered, native_params
from gpt2lab.engine.params import SamplingParams

Row = npt.NDArray[np.float32]
DRAWS = 40_000


def softmax(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    e = np.exp(x - x.max())
    return e / e.sum()


def oracle(logits: Row, p: SamplingParams) -> npt.NDArray[np.float64]:
    """Return the filtered distribution by sorting everything, in the order transformers applies its filters."""
    x = logits.astype(np.float64)
    if p.temperature == 0:
        return (np.arange(x.size) == x.argmax()).astype(np.float64)
    x = x / p.temperature
    order = np.lexsort((np.arange(x.size), -x))
    if p.top_k:
        x[order[p.top_k :]] = -np.inf
    if p.top_p < 1:
        mass = softmax(x)[order]
        with_it = mass.cumsum()
        keep = with_it <= p.top_p if p.top_p_rule == "openai" else with_it - mass < p.top_p
        keep[0] = True
        x[order[~keep]] = -np.inf
    if p.min_p:
        probabilities = softmax(x)
        x[probabilities < p.min_p * probabilities.max()] = -np.inf
    if p.typical_p < 1:
        q = softmax(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = -np.log(q)
            entropy = np.nansum(q * surprise)
        distance = np.abs(surprise - entropy)
        by_distance = np.argsort(distance, kind="stable")
        last = min(int((q[by_distance].cumsum() < p.typical_p).sum()), x.size - 1)
        x[distance > distance[by_distance[last]]] = -np.inf
    return softmax(x)


FILTERS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.7},
    {"temperature": 0.0},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 40},
    {"top_p": 0.1},
    {"top_p": 0.9},
    {"top_p": 0.999},
    {"top_p": 0.9, "top_p_rule": "openai"},
    {"top_p": 0.01, "top_p_rule": "openai"},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"typical_p": 0.3},
    {"typical_p": 0.95},
    {"temperature": 1.4, "top_k": 30, "top_p": 0.8},
    {"temperature": 0.6, "top_k": 30, "top_p": 0.8, "min_p": 0.02, "typical_p": 0.9},
    {"top_k": 20, "top_p": 0.5, "top_p_rule": "openai"},
    {"top_p": 0.95, "min_p": 0.01},
    {"top_k": 10_000},
]


def row(size: int, seed: int, spread: float = 2.0) -> Row:
    return np.random.default_rng(seed).normal(scale=spread, size=size).astype(np.float32)


@pytest.mark.parametrize("values", FILTERS, ids=str)
@pytest.mark.parametrize("isa", _native.available_isas())
def test_filters_equal_the_oracle(values: dict[str, Any], isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2LAB_ISA", isa)
    params = SamplingParams(**values)
    for seed, size in enumerate((2, 17, 64, 100, 1000, 1537) * 5):
        logits = row(size, seed, spread=0.3 + seed / 4)
        ids, probabilities = filtered(logits, params)
        own = np.zeros(size)
        own[ids] = probabilities
        np.testing.assert_allclose(own, oracle(logits, params), rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("values", FILTERS, ids=str)
def test_draws_follow_the_distribution(values: dict[str, Any]) -> None:
    logits = row(50, seed=1, spread=1.5)
    params = SamplingParams(**values, seed=12345)
    drawn = _native.draw(logits, native_params(params), DRAWS, _native.available_isas()[0])
    expected = oracle(logits, params) * DRAWS
    observed = np.bincount(drawn, minlength=50)
    assert not observed[expected == 0].any()
    enough = expected >= 5
    if enough.sum() > 1:
        seen, wanted = observed[enough], expected[enough]
        rest_seen, rest_wanted = observed[~enough].sum(), expected[~enough].sum()
        if rest_wanted >= 5:
            seen, wanted = np.append(seen, rest_seen), np.append(wanted, rest_wanted)
        p_value = stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue
        assert p_value > 1e-4  # fixed seed: the same verdict every time


@pytest.mark.parametrize("k", [1, 2, 7, 63, 64, 65, 100])
def test_top_k_keeps_exactly_k_among_equals_and_prefers_lower_ids(k: int) -> None:
    logits = np.zeros(200, np.float32)
    logits[150] = 1.0
    ids, _ = filtered(logits, SamplingParams(top_k=k))
    assert sorted(ids) == sorted([150, *range(k - 1)])


def test_a_sorted_row_and_its_reverse_give_the_same_tokens() -> None:
    ascending = np.arange(5000, dtype=np.float32)
    ids, _ = filtered(ascending, SamplingParams(top_k=3))
    assert ids.tolist() == [4999, 4998, 4997]
    ids, _ = filtered(ascending[::-1].copy(), SamplingParams(top_k=3))
    assert ids.tolist() == [0, 1, 2]


def test_temperature_zero_takes_the_first_of_the_likeliest() -> None:
    logits = np.zeros(300, np.float32)
    logits[[7, 130, 299]] = 2.0
    drawn = _native.draw(logits, native_params(SamplingParams(temperature=0.0)), 20, _native.available_isas()[0])
    assert set(drawn.tolist()) == {7}


def test_tokens_of_minus_infinity_are_never_drawn() -> None:
    logits = np.full(700, -np.inf, np.float32)
    logits[[3, 600]] = [0.0, 1.0]
    for values in FILTERS:
        drawn = _native.draw(logits, native_params(SamplingParams(**values)), 500, _native.available_isas()[0])
        assert set(drawn.tolist()) <= {3, 600}


def test_the_random_numbers_are_philox() -> None:
    # Random123's known answers for Philox4x32-10 with counter and key all zeros, and all ones
    zeros = (0x6627E8D5 << 32 | 0xE169C58D) >> 11
    assert _native.uniform(0, 0, 0) == zeros * 2.0**-53
    draws = np.array([_native.uniform(s, n, i) for s in range(5) for n in range(5) for i in range(400)])
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert len(set(draws.tolist())) == draws.size


def history(*ids: int) -> npt.NDArray[np.int32]:
    return np.asarray(ids, np.int32)


def processed(logits: Row, params: SamplingParams, past: npt.NDArray[np.int32], prompt_length: int = 0) -> Row:
    out: Row = _native.process(logits, native_params(params), past, prompt_length)
    return out


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_once() -> None:
    logits = np.array([2.0, -2.0, 0.5, 4.0], np.float32)
    out = processed(logits, SamplingParams(repetition_penalty=2.0), history(0, 1, 0, 1, 0))
    np.testing.assert_array_equal(out, np.array([1.0, -4.0, 0.5, 4.0], np.float32))


def test_no_repeat_ngram_bans_what_would_complete_one_again() -> None:
    out = processed(np.zeros(6, np.float32), SamplingParams(no_repeat_ngram_size=3), history(1, 2, 3, 4, 1, 2))
    assert np.flatnonzero(np.isinf(out)).tolist() == [3]
    out = processed(np.zeros(6, np.float32), SamplingParams(no_repeat_ngram_size=1), history(1, 2, 2))
    assert np.flatnonzero(np.isinf(out)).tolist() == [1, 2]
    assert not np.isinf(processed(np.zeros(6, np.float32), SamplingParams(no_repeat_ngram_size=4), history(1, 2))).any()


def test_bad_words_are_banned_only_where_they_would_be_completed() -> None:
    params = SamplingParams(bad_words_ids=[[5], [1, 2, 3]])
    assert np.flatnonzero(np.isinf(processed(np.zeros(6, np.float32), params, history(1, 2)))).tolist() == [3, 5]
    assert np.flatnonzero(np.isinf(processed(np.zeros(6, np.float32), params, history(2)))).tolist() == [5]


def test_logit_bias_is_added_and_stop_ids_wait_for_the_minimum() -> None:
    params = SamplingParams(logit_bias={2: 1.5, 3: -np.inf}, stop_ids=(4,), min_new_tokens=2, max_new_tokens=9)
    out = processed(np.zeros(6, np.float32), params, history(1, 1, 1), prompt_length=2)
    assert out.tolist() == [0, 0, 1.5, -np.inf, -np.inf, 0]
    out = processed(np.zeros(6, np.float32), params, history(1, 1, 1, 1), prompt_length=2)
    assert out[4] == 0
