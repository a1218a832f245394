"""Examples for a head: sequences of token ids that are judged together, what is right of them, and batches of both.

A batch needs no token for padding: it says itself where each sequence ends, and a causal model sees nothing of what
stands behind. Knows token ids and targets, not what they mean.

Axes: B rows (examples), S sequences of an example, T tokens of the longest sequence of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2lab.data.batches import IGNORE, filled_length
from gpt2lab.errors import DataError

if TYPE_CHECKING:
    from gpt2lab.train.task import Batch

Ids = npt.NDArray[np.int64]

ABSENT = -1
"""Where a sequence ends that an example does not have, because others of its batch have more."""

_POOL = 32
"""Batches whose examples are put together by length; more fill less with zeros, fewer are closer to chance."""


class Example(NamedTuple):
    """Sequences, none of them empty, and the target as an array: of any one shape, or one value for each token."""

    sequences: tuple[Ids, ...]
    target: npt.NDArray[Any]

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return max(map(len, self.sequences))


def padded(examples: Sequence[Example], *, per_token: bool = False, window: int | None = None) -> Batch:
    """Return ids (B, S * T), the place of each sequence's last token (B, S), and the targets (B, …).

    Targets of `per_token` are (B, T), filled up with `IGNORE`; others have one shape for all. With a `window`,
    lengths are such that shapes repeat (`filled_length`).
    """
    s, t = max(len(e.sequences) for e in examples), filled_length(max(e.length for e in examples), window)
    ids = np.zeros((len(examples), s, t), np.int64)
    last = np.full((len(examples), s), ABSENT, np.int64)
    for row, example in enumerate(examples):
        for place, sequence in enumerate(example.sequences):
            ids[row, place, : len(sequence)] = sequence
            last[row, place] = len(sequence) - 1
    if per_token:
        targets = np.full((len(examples), t), IGNORE, np.int64)
        for row, example in enumerate(examples):
            targets[row, : len(example.target)] = example.target
    else:
        targets = np.stack([example.target for example in examples])
    return ids.reshape(len(examples), s * t), last, targets


def in_batches(
    examples: Sequence[Example], rows: int, *, per_token: bool = False, window: int | None = None
) -> list[Batch]:
    """Return the examples in their order as batches of `rows`, the last one of what is left."""
    return [padded(examples[i : i + rows], per_token=per_token, window=window) for i in range(0, len(examples), rows)]


def digest(examples: Iterable[Example]) -> str:
    """Return a hash of all ids and targets, in hexadecimal."""
    made = hashlib.sha256()
    for example in examples:
        for array in (*example.sequences, example.target):
            made.update(repr((array.dtype.str, array.shape)).encode())
            made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()


class Examples:
    """Endless batches of `rows` examples, in an order that follows from (seed, epoch).

    Every epoch reads each example once. Within `_POOL` batches those of like length stand together, so that little is
    computed for nothing; which batch comes when is chance again.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        rows: int,
        seed: int,
        per_token: bool = False,
        window: int | None = None,
    ) -> None:
        if not examples:
            raise DataError("There is no example to learn from.")
        self._examples, self._rows, self._seed = examples, rows, seed
        self._per_token, self._window = per_token, window
        self._lengths = np.asarray([example.length for example in examples])
        self._epoch, self._index = 0, 0
        self._order = self._shuffled()

    def __next__(self) -> Batch:
        chosen = []
        for _ in range(self._rows):
            if self._index == len(self._order):
                self._epoch, self._index = self._epoch + 1, 0
                self._order = self._shuffled()
            chosen.append(self._examples[int(self._order[self._index])])
            self._index += 1
        return padded(chosen, per_token=self._per_token, window=self._window)

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index, "examples": len(self._examples)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises `DataError` when there are more or fewer examples now."""
        if state.get("examples") != len(self._examples):
            raise DataError(
                f"There are {len(self._examples)} examples, but the run began with {state.get('examples')}; give the "
                "same ones."
            )
        self._epoch, self._index = int(state["epoch"]), int(state["index"])
        self._order = self._shuffled()

    def _shuffled(self) -> Ids:
        chance = np.random.default_rng((self._seed, self._epoch))
        order = chance.permutation(len(self._examples))
        size = self._rows * _POOL
        pools = [order[i : i + size] for i in range(0, len(order), size)]
        alike = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        whole = len(alike) // self._rows
        batches = alike[: whole * self._rows].reshape(whole, self._rows)
        return np.concatenate([batches[chance.permutation(whole)].ravel(), alike[whole * self._rows :]])
