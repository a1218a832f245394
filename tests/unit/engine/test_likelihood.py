"""Continuations behind contexts: the same bits as one at a time, whatever is computed together."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine.likelihood import Pair, likelihoods
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Ids
from gpt2lab.engine.score import score_ids
from gpt2lab.errors import RequestError
from random_gpt2 import MODEL, native

N = MODEL.n_positions


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL)


def ids(seed: int, length: int) -> Ids:
    return np.random.default_rng(seed).integers(MODEL.vocab_size, size=length).astype(np.int32)


def alone(backend: NativeBackend, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    whole = np.concatenate(pair)[-(N + 1) :]
    scores = score_ids(backend, whole[1:], context=int(whole[0]), stride=N, top=1)
    n = len(pair.continuation)
    return scores.logprobs[-n:], scores.top_ids[-n:, 0]


PAIRS = [
    *(Pair(ids(1, 20), ids(i, n)) for i, n in ((2, 1), (3, 4), (4, 9))),
    *(Pair(np.concatenate([ids(9, 40), ids(i, 3)]), ids(i + 50, 1 + i % 3)) for i in range(12)),
    Pair(ids(5, 1), ids(6, 1)),
    Pair(ids(7, 3 * N), ids(8, 5)),
    Pair(ids(7, 3), ids(8, N)),
]


@pytest.mark.parametrize("known", [None, PrefixCache()])
def test_each_pair_is_what_it_is_alone(backend: NativeBackend, known: PrefixCache | None) -> None:
    for _ in range(2):
        found = dict(likelihoods(backend, PAIRS, known))
        assert sorted(found) == list(range(len(PAIRS)))
        for i, pair in enumerate(PAIRS):
            logprobs, likeliest = alone(backend, pair)
            np.testing.assert_array_equal(found[i].logprobs, logprobs)
            np.testing.assert_array_equal(found[i].likeliest, likeliest)
            assert found[i].greedy(likeliest)
            assert found[i].greedy(pair.continuation) == np.array_equal(likeliest, pair.continuation)


def test_a_shared_beginning_is_computed_once(backend: NativeBackend) -> None:
    known = PrefixCache()
    pairs = [Pair(np.concatenate([ids(9, 40), ids(i, 3)]), ids(i, 2)) for i in range(6)]
    list(likelihoods(backend, pairs, known))
    assert known.statistics().texts == 1
    assert known.find(ids(9, 40)) is not None


def test_many_contexts_go_in_several_batches(backend: NativeBackend) -> None:
    pairs = [Pair(ids(i, 5 + i % 7), ids(i, 1 + i % 4)) for i in range(150)]
    found = dict(likelihoods(backend, pairs))
    for i in (0, 63, 64, 149):
        np.testing.assert_array_equal(found[i].logprobs, alone(backend, pairs[i])[0])


def test_likeliest_tokens_may_be_left_out(backend: NativeBackend) -> None:
    pairs = [Pair(ids(1, 9), ids(2, 4)), Pair(ids(3, 12), ids(4, 1))]
    plain = dict(likelihoods(backend, pairs))
    banned = np.unique(np.concatenate([found.likeliest for found in plain.values()]))
    for i, found in likelihoods(backend, pairs, without=banned):
        np.testing.assert_array_equal(found.logprobs, plain[i].logprobs)
        np.testing.assert_array_equal(found.likeliest, plain[i].likeliest)
        before = np.concatenate(pairs[i])[:-1]
        logits = backend.forward([backend.new_cache()], [before], all_positions=True)[-len(found.allowed) :].copy()
        logits[:, banned] = -np.inf
        np.testing.assert_array_equal(found.allowed, logits.argmax(axis=1))
        assert not np.isin(found.allowed, banned).any()
    assert all((found.allowed == found.likeliest).all() for found in plain.values())


def test_what_cannot_be_measured_is_said(backend: NativeBackend) -> None:
    with pytest.raises(RequestError, match=rf"A continuation of {N + 1} tokens does not fit the model's window of {N}"):
        list(likelihoods(backend, [Pair(ids(1, 1), ids(2, N + 1))]))
    with pytest.raises(RequestError, match=r"at least one token each"):
        list(likelihoods(backend, [Pair(ids(1, 0), ids(2, 1))]))
