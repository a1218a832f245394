"""GLTR's analysis (Gehrmann, Strobelt and Rush 2019), with the payload of its server, so that its front end reads ours.

    {"request": {"project", "text"},
     "result": {"bpe_strings": [n + 1 tokens], "real_topk": [[rank, p]] * n, "pred_topk": [[[token, p]] * k] * n}}

Tokens are spelt in GPT-2's byte alphabet, the first is <|endoftext|>; a rank is 0 for the likeliest token;
probabilities have five digits behind the point. GLTR reads at most a window; a longer text is read here in windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.zero_shot import BUCKETS
from gpt2lab.engine.score import score_ids
from gpt2lab.errors import RequestError
from gpt2lab.lm.model import LanguageModel

DIGITS = 5
TOP = 40
"""How many tokens GLTR's function gives for every place; its front end asks for 20."""


class Request(TypedDict):
    """What was asked."""

    project: str
    text: str


class Result(TypedDict):
    """What the model said."""

    bpe_strings: list[str]
    real_topk: list[list[Any]]
    pred_topk: list[list[list[Any]]]


class Payload(TypedDict):
    """GLTR's answer."""

    request: Request
    result: Result


def payload(lm: LanguageModel, text: str, *, project: str = "gpt2lab", top: int = TOP) -> Payload:
    """Return GLTR's analysis of a text, read as it is. Raises `RequestError` for an empty one."""
    if top < 1:
        raise RequestError(f"top = {top} must be at least 1.")
    if not text:
        raise RequestError("There is no text to analyse; give at least one character.")
    ids = Reader(lm, layout=True).encode(text)
    scores = score_ids(lm.backend, ids, context=lm.bos_id(), top=top)
    spell = spellings(lm).__getitem__
    tops = np.exp(scores.top_logprobs.astype(np.float64))
    return {
        "request": {"project": project, "text": text},
        "result": {
            "bpe_strings": [spell(lm.bos_id()), *map(spell, ids.tolist())],
            "real_topk": [
                [rank, rounded(p)]
                for rank, p in zip(scores.ranks.tolist(), np.exp(scores.logprobs.astype(np.float64)), strict=True)
            ],
            "pred_topk": [
                [[spell(i), rounded(p)] for i, p in zip(row, values, strict=True)]
                for row, values in zip(scores.top_ids.tolist(), tops, strict=True)
            ],
        },
    }


def spellings(lm: LanguageModel) -> dict[int, str]:
    """Return how each token is spelt in GPT-2's byte alphabet; special ones as they are called."""
    assert lm.tokenizer is not None
    return {i: token for token, i in (*lm.tokenizer.vocab.items(), *lm.tokenizer.special_tokens.items())}


def rounded(probability: float) -> float:
    """Return a probability as GLTR writes it."""
    return round(float(probability), DIGITS)


def bucket(rank: int, bounds: Sequence[int] = BUCKETS) -> int:
    """Return the number of the bucket that a rank falls into: 0 for the likeliest tokens."""
    return sum(rank >= bound for bound in bounds)
