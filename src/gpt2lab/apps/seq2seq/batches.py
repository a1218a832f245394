"""Rows of pairs as batches of about equal lengths, in an order that is the same on every run and can be taken up.

Knows ids, not tensors. Every pair is read once an epoch, in a row of its own: pairs share no row, so none can attend to
another. Rows are filled up to the longest of their batch, whose pairs are near in length, so little is wasted. What is
drawn follows from (seed, epoch, batch) alone.

Legend: B rows, T positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.seq2seq.codec import Row
from gpt2lab.data.batches import IGNORE, filled_length
from gpt2lab.errors import DataError

IntArray = npt.NDArray[np.int64]
Batch = tuple[IntArray, IntArray, IntArray]
"""Inputs (B, T), targets (B, T) and the place of each row's delimiter (B,): from there on the target is predicted."""

POOL = 64
"""Batches that are sorted by length together: more waste less, fewer mix better."""


class PairBatches:
    """Endless batches of `size` rows; the last one of an epoch is filled up with rows in which nothing counts."""

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        size: int,
        filling: int,
        seed: int,
        noise: float = 0.0,
        drawn: int = 0,
        window: int | None = None,
    ) -> None:
        """`filling` is an id for places where nothing is read; noise draws from the ids below `drawn`.

        With a `window`, lengths are such that shapes repeat (`filled_length`).
        """
        self._rows, self._size, self._filling, self._seed = rows, size, filling, seed
        self._noise, self._drawn, self._window = noise, drawn, window
        self._lengths = np.array([len(row.ids) for row in rows])
        self._epoch, self._index = 0, 0
        self._order = self._arranged()

    def __next__(self) -> Batch:
        """Return inputs, targets and places of delimiters."""
        if self._index == len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._arranged()
        chosen = [self._rows[i] for i in self._order[self._index]]
        inputs, targets, places = as_batch(chosen, size=self._size, filling=self._filling, window=self._window)
        if self._noise:
            self._disturb(inputs, places)
        self._index += 1
        return inputs, targets, places

    def __iter__(self) -> PairBatches:
        return self

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return len(self._order)

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index, "pairs": len(self._rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises `DataError` when it is one of other pairs."""
        if state["pairs"] != len(self._rows):
            raise DataError(
                f"There are {len(self._rows)} pairs, but the run began with {state['pairs']}; give the same ones."
            )
        self._epoch, self._index = int(state["epoch"]), int(state["index"])
        self._order = self._arranged()

    def _arranged(self) -> list[IntArray]:
        """Return the rows of each batch of this epoch."""
        generator = np.random.default_rng((self._seed, self._epoch))
        order = generator.permutation(len(self._rows))
        batches: list[IntArray] = []
        for start in range(0, len(order), POOL * self._size):
            pool = order[start : start + POOL * self._size]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches += [pool[i : i + self._size] for i in range(0, len(pool), self._size)]
        return [batches[i] for i in generator.permutation(len(batches))]

    def _disturb(self, inputs: IntArray, places: IntArray) -> None:
        """Replace some of the ids that are read by others, never the delimiter."""
        generator = np.random.default_rng((self._seed, self._epoch, self._index, 1))
        struck = generator.random(inputs.shape) < self._noise
        struck[np.arange(len(places)), places] = False
        inputs[struck] = generator.integers(self._drawn, size=int(struck.sum()))


def as_batch(rows: Sequence[Row], *, filling: int, size: int = 0, window: int | None = None) -> Batch:
    """Return rows as one batch of at least `size` rows; what fills them up is no target."""
    count, length = max(size, len(rows)), filled_length(max(len(row.ids) for row in rows) - 1, window)
    inputs = np.full((count, length), filling, np.int64)
    targets = np.full((count, length), IGNORE, np.int64)
    places = np.zeros(count, np.int64)
    for number, row in enumerate(rows):
        inputs[number, : len(row.ids) - 1] = row.ids[:-1]
        targets[number, : len(row.ids) - 1] = row.ids[1:]
        places[number] = row.delimiter
    return inputs, targets, places


def fixed_batches(rows: Sequence[Row], *, size: int, filling: int, window: int | None = None) -> list[Batch]:
    """Return batches of all rows, the longest first."""
    ordered = sorted(rows, key=lambda row: -len(row.ids))
    return [as_batch(ordered[i : i + size], filling=filling, window=window) for i in range(0, len(ordered), size)]


def digest(rows: Sequence[Row]) -> str:
    """Return a number for rows in their order, as hexadecimal."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(row.ids.astype("<u4").tobytes())
    return sha.hexdigest()
