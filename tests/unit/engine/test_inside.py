"""Looking inside: the last layer's word is the model's own, bit for bit, and every row of a map is a distribution."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpt2lab.engine.inside import inside_pieces
from gpt2lab.engine.score import drained, score_ids
from gpt2lab.errors import RequestError
from random_gpt2 import MODEL, native

LONG = dataclasses.replace(MODEL, n_positions=700)  # more than the engine computes at once


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_the_last_layer_says_what_the_model_says(precision: str) -> None:
    backend = native(MODEL, precision=precision)
    ids = np.random.default_rng(1).integers(MODEL.vocab_size, size=40).astype(np.int32)
    inside = drained(inside_pieces(backend, ids, top=4))
    scores = score_ids(backend, ids, context=None, top=4)
    np.testing.assert_array_equal(inside.logprobs[-1, :-1], scores.logprobs[1:])
    np.testing.assert_array_equal(inside.ranks[-1, :-1], scores.ranks[1:])
    np.testing.assert_array_equal(inside.entropies[-1, :-1], scores.entropies[1:])
    np.testing.assert_array_equal(inside.top_ids[-1, :-1], scores.top_ids[1:])


def test_maps_are_causal_and_sum_to_one_over_several_chunks() -> None:
    backend = native(LONG, threads=2)
    ids = np.random.default_rng(2).integers(LONG.vocab_size, size=600).astype(np.int32)
    inside = drained(inside_pieces(backend, ids, top=1))
    assert inside.attentions.shape == (2, 4, 600, 600)
    assert not np.triu(inside.attentions, 1).any()
    np.testing.assert_allclose(inside.attentions.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(  # what comes later changes nothing
        drained(inside_pieces(backend, ids[:20], top=1)).top_ids, inside.top_ids[:, :20]
    )


def test_the_states_of_a_trace_are_the_hidden_states() -> None:
    backend = native(MODEL)
    ids = np.arange(30, dtype=np.int32)
    stream, qkv = backend.trace(ids)
    assert stream.shape == (MODEL.n_layer + 1, 30, MODEL.n_embd)
    assert qkv.shape == (MODEL.n_layer, 30, 3 * MODEL.n_embd)
    for layer in range(MODEL.n_layer):
        np.testing.assert_array_equal(stream[layer], backend.hidden(ids, layer))


@pytest.mark.parametrize("count", [0, MODEL.n_positions + 1])
def test_a_text_must_fit_the_window(count: int) -> None:
    with pytest.raises(RequestError, match=f"{count} tokens cannot be looked into at once; give from 1 to 64"):
        drained(inside_pieces(native(), np.zeros(count, np.int32)))


def test_one_token_has_nothing_before_it() -> None:
    inside = drained(inside_pieces(native(), np.asarray([3], np.int32), top=2))
    np.testing.assert_array_equal(inside.attentions, 1)
    assert np.isnan(inside.logprobs).all()
    assert np.isfinite(inside.top_logprobs).all()


def test_a_trace_cannot_be_asked_for_what_is_not_there() -> None:
    model = native()._model
    with pytest.raises(ValueError, match="width"):
        model.score_states(np.zeros((2, 47), np.float32), np.zeros(2, np.int32), 1)
    with pytest.raises(ValueError, match="As many targets"):
        model.score_states(np.zeros((2, 48), np.float32), np.zeros(3, np.int32), 1)
    cache = model.new_cache()
    model.feed(cache, np.asarray([1], np.int32))
    with pytest.raises(ValueError, match="empty cache"):
        model.trace(cache, np.asarray([1], np.int32))
