"""A pair as token ids: source, delimiter, target, end (Liu et al. 2018, "Generating Wikipedia", section 4.2.3).

Knows a tokenizer and a window, not models. What does not fit is cut by one rule, the same in training and in use: the
source keeps its first tokens, as many as leave the target its room.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2lab.errors import CheckpointError, ConfigError
from gpt2lab.tokenizer import Tokenizer

SEPARATOR = "sep"
"""The role that the delimiter has in a tokenizer."""


class Row(NamedTuple):
    """A pair to learn: its ids, at which of them the delimiter stands, and the tokens of either side left out."""

    ids: npt.NDArray[np.int64]
    delimiter: int
    cut_source: int
    cut_target: int


class Prompt(NamedTuple):
    """What a model reads: source and delimiter, and how many of the source's last tokens did not fit."""

    ids: list[int]
    cut: int


class Codec:
    """Turns pairs into ids. `room` positions of `window` are kept free for a target with its end.

    Raises `CheckpointError` when the tokenizer has no delimiter or no end, `ConfigError` for a room that is no room.
    """

    def __init__(self, tokenizer: Tokenizer, *, window: int, room: int | None = None) -> None:
        roles, ids = tokenizer.vocabulary.roles, tokenizer.special_tokens
        if SEPARATOR not in roles or "eos" not in roles:
            raise CheckpointError(
                "This model has learnt no pairs of texts (its vocabulary names no delimiter); train one with "
                "gpt2lab seq2seq train, and give its folder."
            )
        self.tokenizer, self.window = tokenizer, window
        self.room = window // 2 if room is None else room
        if not 2 <= self.room < window:
            raise ConfigError(
                f"task.target_tokens = {self.room} must leave some of the model's {window} positions to the source, "
                "and be at least 2."
            )
        self.delimiter, self.end = ids[roles[SEPARATOR]], ids[roles["eos"]]
        self._special = frozenset(ids.values())

    def rows(self, sources: Sequence[str], targets: Sequence[str]) -> list[Row]:
        """Return pairs to learn, each of at most `window` + 1 ids. A target that is cut has no end to be learnt."""
        encoded = zip(self.tokenizer.encode_batch(sources), self.tokenizer.encode_batch(targets), strict=True)
        return [self._row(source, target) for source, target in encoded]

    def prompt(self, source: str) -> Prompt:
        """Return what is to be read to write the target of `source`."""
        ids = self.tokenizer.encode(source)
        kept = ids[: self.window - self.room]
        return Prompt([*kept, self.delimiter], len(ids) - len(kept))

    def foreign(self, vocab_size: int) -> list[int]:
        """Return the ids that no target holds: every special one but the end, and ids of no token."""
        return [*sorted(self._special - {self.end}), *range(self.tokenizer.vocab_size, vocab_size)]

    def _row(self, source: list[int], target: list[int]) -> Row:
        kept = source[: self.window - self.room]
        whole = [*target, self.end]
        fits = whole[: self.window - len(kept)]
        ids = np.asarray([*kept, self.delimiter, *fits], np.int64)
        return Row(ids, len(kept), len(source) - len(kept), len(whole) - len(fits))


def with_tokens(tokenizer: Tokenizer, *, delimiter: str, end: str) -> Tokenizer:
    """Return a tokenizer that has both tokens in their roles, new ones behind all it had."""
    table = tokenizer.vocabulary.with_special([end, delimiter])
    return Tokenizer(dataclasses.replace(table, roles={**table.roles, SEPARATOR: delimiter, "eos": end}))
