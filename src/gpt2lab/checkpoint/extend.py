"""A model that learns more tokens: the same weights, with rows for the new ids behind those it had.

Knows arrays and tokenizers, not what the tokens are for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from gpt2lab.checkpoint.tensors import EMBEDDING, HEAD, Array, Checkpoint
from gpt2lab.errors import CheckpointError
from gpt2lab.tokenizer import Tokenizer

_NOISE = 0.1
"""Of the rows' own spread; without it new tokens would be one token to the model, and stay so for long."""


def with_tokenizer(base: Checkpoint, tokenizer: Tokenizer, *, seed: int = 0) -> Checkpoint:
    """Return `base` with a tokenizer that has all tokens of its own under their ids, and maybe more behind them.

    A new token's row is the mean of all rows with a little noise: nothing is known of it, so it is expected nowhere in
    particular. Rows that the model had and no token used are filled anew as well. All other values are the base's own.
    Raises `CheckpointError` when `tokenizer` is not such a one.
    """
    old = base.tokenizer
    if old is None:
        raise CheckpointError(f"{base.source} has no tokenizer, so nothing is known of its ids; give one that has.")
    before, after = old.vocabulary.token_ids(), tokenizer.vocabulary.token_ids()
    if any(after.get(token) != i for token, i in before.items()):
        raise CheckpointError(f"The tokenizer given has not all tokens of {base.source} under the same ids.")
    size = max(base.config.vocab_size, tokenizer.vocab_size)
    tensors: Mapping[str, Array] = base.tensors
    if tokenizer.vocab_size > old.vocab_size:
        generator = np.random.default_rng(seed)
        new = slice(old.vocab_size, tokenizer.vocab_size)
        tensors = dict(base.tensors)
        for name in (EMBEDDING, HEAD):
            if name in tensors:
                tensors[name] = _extended(tensors[name], old.vocab_size, new, size, generator)
    pad = base.config.pad_token_id
    config = dataclasses.replace(
        base.config, vocab_size=size, pad_token_id=tokenizer.pad_id if pad is None else pad
    )  # fmt: skip
    return dataclasses.replace(base, config=config, tensors=tensors, tokenizer=tokenizer)


def _extended(rows: Array, used: int, new: slice, size: int, generator: np.random.Generator) -> Array:
    """Return rows (size, C): those of before (V, C), and new ones at `new`."""
    mean, spread = rows[:used].mean(0), rows[:used].std(0)
    made = np.empty((size, rows.shape[1]), np.float32)
    made[: len(rows)] = rows
    made[new] = mean + _NOISE * spread * generator.standard_normal((new.stop - new.start, len(mean)))
    return made
