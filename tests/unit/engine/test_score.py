"""Scoring and looking ahead: every token once, whatever the windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.score import most_likely, next_logits, score_ids, score_pieces
from gpt2lab.errors import RequestError
from random_gpt2 import MODEL, native

N = MODEL.n_positions


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL)


def text(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(MODEL.vocab_size, size=length).astype(np.int32)


def by_hand(
    backend: NativeBackend, before: list[int], targets: list[int], stride: int
) -> tuple[list[float], list[int], list[float]]:
    """Score by whole windows without a cache, keeping from each only what no earlier window scored."""
    logprobs, ranks, entropies, done, start = [], [], [], 0, 0
    while done < len(targets):
        end = min(start + N, len(targets))
        window = np.asarray(before[start:end], np.int32)
        logits = backend.forward([backend.new_cache()], [window], all_positions=True).astype(np.float64)
        for place in range(done, end):
            row = logits[place - start]
            logp = row - row.max() - np.log(np.exp(row - row.max()).sum())
            logprobs.append(logp[targets[place]])
            ranks.append(int((row > row[targets[place]]).sum()))
            entropies.append(-(np.exp(logp) * logp).sum())
        done = end
        start = done - (N - stride)
    return logprobs, ranks, entropies


@pytest.mark.parametrize("length", [1, 2, N - 1, N, N + 1, 3 * N + 5])
@pytest.mark.parametrize("stride", [1, 20, N // 2, N])
def test_every_token_is_scored_once(backend: NativeBackend, length: int, stride: int) -> None:
    if stride == 1 and length > N + 1:
        length = N + 9
    ids = text(length)
    scores = score_ids(backend, ids, context=0, stride=stride, top=3)
    logprobs, ranks, entropies = by_hand(backend, [0, *ids[:-1].tolist()], ids.tolist(), stride)
    np.testing.assert_allclose(scores.logprobs, logprobs, atol=1e-4)
    np.testing.assert_array_equal(scores.ranks, ranks)
    np.testing.assert_allclose(scores.entropies, entropies, atol=1e-4)
    for i in range(length):
        if scores.ranks[i] < 3:
            assert scores.top_ids[i, scores.ranks[i]] == ids[i]
            assert scores.top_logprobs[i, scores.ranks[i]] == scores.logprobs[i]


def test_without_context_the_first_token_has_no_score(backend: NativeBackend) -> None:
    ids = text(9)
    scores = score_ids(backend, ids, context=None)
    assert np.isnan(scores.logprobs[0])
    assert np.isnan(scores.entropies[0])
    assert scores.ranks[0] == -1
    with_first = score_ids(backend, ids[1:], context=int(ids[0]))
    np.testing.assert_array_equal(scores.logprobs[1:], with_first.logprobs)


def test_progress_counts_to_the_end(backend: NativeBackend) -> None:
    seen: list[tuple[int, int]] = []
    score_ids(backend, text(200), context=0, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (200, 200)


@pytest.mark.parametrize("stride", [None, 1, N])
def test_pieces_of_any_size_are_the_same_scores(backend: NativeBackend, stride: int | None) -> None:
    ids = text(2 * N + 5)
    whole = score_ids(backend, ids, context=0, stride=stride, top=2)
    for piece in (1, 7, N - 1, N, 1000):
        counted = []
        pieces = score_pieces(backend, ids, context=0, stride=stride, top=2, piece=piece)
        while True:
            try:
                counted.append(next(pieces))
            except StopIteration as end:
                scores = end.value
                break
        assert counted == sorted(counted)
        assert counted[-1] == len(ids)
        assert len(counted) >= len(ids) / piece
        for field in dataclasses.fields(whole):
            np.testing.assert_array_equal(getattr(scores, field.name), getattr(whole, field.name))
    with pytest.raises(RequestError, match="piece = 0 must be a whole number of at least 1"):
        next(score_pieces(backend, ids, context=0, piece=0))


@pytest.mark.parametrize("stride", [0, -1, N + 1, 1.5])
def test_impossible_strides_are_named(backend: NativeBackend, stride: int) -> None:
    with pytest.raises(RequestError, match=f"must be a whole number from 1 to the model's window of {N}"):
        score_ids(backend, text(5), context=0, stride=stride)


def test_next_tokens_are_the_true_softmax(backend: NativeBackend) -> None:
    ids = text(30)
    logits = next_logits(backend, ids)
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    best = most_likely(logits, 10)
    assert [i for i, _ in best] == np.argsort(-logits, kind="stable")[:10].tolist()
    np.testing.assert_allclose([q for _, q in best], np.sort(p)[::-1][:10], rtol=1e-9)
    assert sum(q for _, q in most_likely(logits, 10**6)) == pytest.approx(1.0)
    np.testing.assert_array_equal(next_logits(backend, text(100)), next_logits(backend, text(100)[-N:]))


def test_k_must_be_positive(backend: NativeBackend) -> None:
    with pytest.raises(RequestError, match="k = 0 must be a whole number of at least 1"):
        most_likely(next_logits(backend, text(3)), 0)


def test_caches_fork_and_crop(backend: NativeBackend) -> None:
    ids = text(50)
    cache = backend.new_cache()
    backend.feed(cache, ids[:40])
    twin = cache.fork()
    a = backend.forward([cache, twin], [ids[40:45], ids[40:41]])
    assert (cache.length, twin.length) == (45, 41)
    fresh = backend.forward([backend.new_cache(), backend.new_cache()], [ids[:45], ids[:41]])
    np.testing.assert_array_equal(a, fresh)
    twin.crop(10)
    again = backend.forward([twin], [ids[10:45]])
    np.testing.assert_array_equal(again[0], fresh[0])


def test_what_would_leave_the_weights_is_refused(backend: NativeBackend) -> None:
    ids = text(10)
    other = native(dataclasses.replace(MODEL, n_layer=1))
    full = backend.new_cache()
    backend.feed(full, text(N))
    twice = backend.new_cache()
    for call, sentence in (
        (lambda: backend.forward([full], [ids]), f"{N + 10} tokens do not fit the model's window of {N}"),
        (
            lambda: backend.feed(backend.new_cache(), np.asarray([211], np.int32)),
            "Token id 211 is not one of the model's",
        ),
        (lambda: backend.feed(backend.new_cache(), np.asarray([-1], np.int32)), "Token id -1 is not one"),
        (lambda: backend.feed(backend.new_cache(), ids[:0]), "There are no ids"),
        (lambda: other.feed(full, ids), "The cache is that of a model of another shape"),
        (lambda: backend.forward([twice, twice], [ids, ids]), "A cache is given twice"),
        (lambda: backend.forward([twice], [ids, ids]), "As many caches as arrays of ids are needed"),
        (lambda: backend.hidden(ids, 3), "There is no layer 3"),
        (lambda: backend.score(twice, ids, ids + 205, 0), "each one of the model's ids"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
