"""What a language model holds of a text inside: `LanguageModel.inspect`, and the numbers that a page draws of it."""

from __future__ import annotations

import base64
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2lab.engine.inside import Inside, inside_pieces
from gpt2lab.engine.protocol import Backend, Floats, Ids
from gpt2lab.tokenizer import Tokenizer

ATTENTION_UNIT = 65535
"""What an attention of 1 is in a page's data: whole numbers of 16 bits hold it to 1e-5."""


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """A text of T tokens, the one that begins it included, and what a model of L layers holds of it.

    token_ids, tokens: ids and the text of each; pieces: the same cut at whole characters, together the text itself.
    inside: attentions (L, H, T, T) and what each layer would say of the next token; see `Inside`.
    """

    token_ids: list[int]
    tokens: list[str]
    pieces: list[str]
    inside: Inside

    @property
    def surprises(self) -> list[float]:
        """-log2 of the probability of each token after those before it, in bits; NaN for the first."""
        return [math.nan, *(-float(p) / math.log(2) for p in self.inside.logprobs[-1][:-1])]


def inspection_pieces(
    backend: Backend,
    tokenizer: Tokenizer | None,
    ids: Ids,
    *,
    begins: bool,
    top: int = 5,
    tensors: Mapping[str, Floats] | None = None,
) -> Generator[int, None, Inspection]:
    """Return the inspection of `ids`, the first of which begins the text and is no part of it if `begins`.

    `tensors`: see `inside_pieces`.
    """
    inside = yield from inside_pieces(backend, ids, top=top, tensors=tensors)
    listed = ids.tolist()
    if tokenizer is None:
        return Inspection(listed, [], [], inside)
    text = listed[1:] if begins else listed
    pieces = ([""] if begins else []) + whole_pieces(tokenizer, text)
    return Inspection(listed, tokenizer.token_texts(listed), pieces, inside)


def whole_pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Return the characters that each token completes, "" where it completes none; together they are the text."""
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in ids]
    if pieces:
        pieces[-1] += stream.finish()
    return pieces


def page_data(found: Inspection, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return an inspection as JSON can carry it.

    lens: for each layer the log-probability (nats) and rank of the token that follows, the entropy, and the likeliest
    as [index into `names`, probability]. attentions: the rows of all maps, layer by layer and head by head, row i of
    them i + 1 long, as little-endian 16-bit whole numbers of 1 / `attention_unit`, in base64.
    """
    inside = found.inside
    t = len(found.token_ids)
    row, column = np.tril_indices(t)
    rows = inside.attentions[:, :, row, column]  # (L, H, T (T + 1) / 2)
    coded = np.rint(rows * ATTENTION_UNIT).astype("<u2")
    used = np.unique(inside.top_ids)
    index = np.searchsorted(used, inside.top_ids)
    probabilities = np.exp(inside.top_logprobs.astype(np.float64))
    layers = [
        {
            "logprobs": [_number(p) for p in inside.logprobs[layer]],
            "ranks": inside.ranks[layer].tolist(),
            "entropies": [_number(e) for e in inside.entropies[layer]],
            "top": [
                [[int(i), _number(p)] for i, p in zip(*place, strict=True)]
                for place in zip(index[layer], probabilities[layer], strict=True)
            ],
        }
        for layer in range(len(inside.logprobs))
    ]
    return {
        "token_ids": found.token_ids,
        "tokens": found.tokens,
        "pieces": found.pieces,
        "surprises": [_number(s) for s in found.surprises],
        "n_layer": inside.attentions.shape[0],
        "n_head": inside.attentions.shape[1],
        "names": [tokenizer.token_text(int(i)) for i in used],
        "lens": layers,
        "attentions": base64.b64encode(coded.tobytes()).decode("ascii"),
        "attention_unit": ATTENTION_UNIT,
    }


def _number(value: float) -> float | None:
    """Return a number with the digits that matter, None for what is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
