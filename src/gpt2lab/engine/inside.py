"""Looking inside one pass: what every head attends to, and what every layer would already say (the logit lens).

The lens puts what a layer leaves through the last layer norm and the head (nostalgebraist 2020, "interpreting GPT: the
logit lens"). Ids in, arrays out; the numbers come from the backend's own pass, in its precision.

Legend: L n_layer, H n_head, T tokens, D width of a head, C n_embd.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.protocol import Backend, Floats, Ids
from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config

_ROWS = 128  # states whose logits are computed together


@dataclass(frozen=True, slots=True)
class Inside:
    """Of T tokens in one window: `attentions` (L, H, T, T), row i of a map over the tokens 0 to i sums to 1.

    What layer l (0: the embeddings, L: the model itself) says after token t of the token that follows: `logprobs`,
    `ranks`, `entropies` (L + 1, T), in nats, with NaN and -1 after the last token, which nothing follows (its entropy
    stands); `top_ids`, `top_logprobs` (L + 1, T, top): the likeliest.
    """

    attentions: Floats
    logprobs: Floats
    ranks: Ids
    entropies: Floats
    top_ids: Ids
    top_logprobs: Floats


def attention_maps(qkv: Floats, n_head: int, scale: float, relative: Floats | None = None) -> Floats:
    """Return the causal attention (H, T, T) of a layer from its queries, keys and values (T, 3 C).

    `relative` (H, R, D) are the vectors of relative attention's distances (model/relative.py).
    """
    t, width = qkv.shape[0], qkv.shape[1] // 3
    heads = qkv.reshape(t, 3, n_head, width // n_head).transpose(1, 2, 0, 3)  # (T, 3 C) -> (3, H, T, D)
    scores = heads[0] @ heads[1].transpose(0, 2, 1)  # (H, T, T)
    if relative is not None:
        places = np.arange(t)
        back = np.clip(places[:, None] - places, 0, relative.shape[1] - 1)[None]  # (1, T, T)
        scores += np.take_along_axis(heads[0] @ relative.transpose(0, 2, 1), back, axis=2)  # of (H, T, R)
    scores *= np.float32(scale)
    scores[:, ~np.tri(t, dtype=bool)] = -np.inf
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    maps: Floats = scores
    return maps


def relative_keys(config: GPT2Config, tensors: Mapping[str, Floats] | None, layer: int) -> Floats | None:
    """Return relative attention's vectors of a layer, None where it has none; raises `RequestError` without weights."""
    if not config.max_relative_position:
        return None
    if tensors is None:
        raise RequestError("The maps of relative attention need the model's weights, and only its engine is here.")
    return tensors[f"transformer.h.{layer}.attn.relative_keys"]


def traced(backend: Backend, ids: Ids) -> tuple[Floats, Floats]:
    """Return `Backend.trace` of a text of one window.

    Raises `RequestError` for no tokens, or more than that, and for attention of which there are no maps (T, T).
    """
    if backend.config.is_long:
        raise RequestError(
            "This model has layers of local or compressed attention, of which there are no maps of all pairs of "
            "tokens; look into one of full attention."
        )
    t, window = len(ids), backend.config.n_positions
    if not 0 < t <= window:
        raise RequestError(f"{t} tokens cannot be looked into at once; give from 1 to {window}, the model's window.")
    return backend.trace(ids)


def inside_pieces(
    backend: Backend, ids: Ids, *, top: int = 5, tensors: Mapping[str, Floats] | None = None
) -> Generator[int, None, Inside]:
    """Return what one pass over `ids` shows, a layer between two yields; `score.drained` does all at once.

    `tensors` are the checkpoint's, needed for relative attention only. Raises `RequestError` for no tokens, or more
    than the model's window.
    """
    config = backend.config
    check_whole("top", top, 1)
    top = min(top, config.vocab_size)
    t, layers = len(ids), config.n_layer
    stream, qkv = traced(backend, ids)
    yield 0
    inside = Inside(
        np.empty((layers, config.n_head, t, t), np.float32),
        np.full((layers + 1, t), np.nan, np.float32),
        np.full((layers + 1, t), -1, np.int32),
        np.empty((layers + 1, t), np.float32),
        np.empty((layers + 1, t, top), np.int32),
        np.empty((layers + 1, t, top), np.float32),
    )
    for layer in range(layers):
        inside.attentions[layer] = attention_maps(
            qkv[layer], config.n_head, config.attention_scale(layer), relative_keys(config, tensors, layer)
        )
        yield layer
    following = np.append(ids[1:], ids[-1:]).astype(np.int32)  # the last one stands for nothing and is not kept
    for layer in range(layers + 1):
        for first in range(0, t, _ROWS):
            end = min(first + _ROWS, t)
            known = slice(first, min(end, t - 1))
            part = backend.score_states(np.ascontiguousarray(stream[layer, first:end]), following[first:end], top)
            inside.logprobs[layer, known] = part[0][: t - 1 - first]
            inside.ranks[layer, known] = part[1][: t - 1 - first]
            inside.entropies[layer, first:end] = part[2]
            inside.top_ids[layer, first:end], inside.top_logprobs[layer, first:end] = part[3:]
            yield layer
    return inside
