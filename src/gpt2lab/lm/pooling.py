"""From the hidden states of a text's tokens to one vector of the text."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from gpt2lab.engine.protocol import Floats
from gpt2lab.errors import RequestError

Pooling = Literal["mean", "last", "weighted", "none"]


def check_pooling(pooling: str) -> None:
    """Raise `RequestError` for a way to pool that there is not."""
    if pooling not in get_args(Pooling):
        raise RequestError(f"pooling = {pooling!r} is not one of {', '.join(map(repr, get_args(Pooling)))}.")


def pooled(states: Floats, pooling: Pooling) -> Floats:
    """Return (n, n_embd) states as (n_embd,), or as they are with "none".

    "weighted" is the mean whose weights grow with the place, as later tokens know more (Muennighoff 2022, "SGPT").
    """
    if pooling == "none":
        return states
    if pooling == "last":
        last: Floats = states[-1]
        return last
    weights = np.arange(1, len(states) + 1) if pooling == "weighted" else None
    mean: Floats = np.average(states.astype(np.float64), axis=0, weights=weights).astype(np.float32)
    return mean
