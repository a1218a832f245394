"""Rows of pairs as batches, in an order that is the same on every run and can be taken up.

Knows ids, not tensors. Every pair is read once an epoch. Either each has a row of its own, filled up to the longest of
its batch, whose pairs are near in length; or rows as long as the window hold several (packing.py), and with them come
the positions, which begin anew at each pair: no pair is to see another. What is drawn follows from (seed, epoch, batch)
alone.

Legend: B rows, T positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.seq2seq.codec import Row
from gpt2lab.apps.seq2seq.packing import packed, portions
from gpt2lab.data.batches import IGNORE, filled_length
from gpt2lab.errors import DataError

IntArray = npt.NDArray[np.int64]
Batch = tuple[IntArray, ...]
"""Inputs (B, T), targets (B, T) and the place of each row's delimiter (B,): from there on the target is predicted.

Of rows that hold several pairs: inputs, targets, the place within its pair of the delimiter of each position's pair
(B, T), and each position's own place within its pair (B, T).
"""

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
        packing: bool = False,
    ) -> None:
        """`filling` is an id for places where nothing is read; noise draws from the ids below `drawn`.

        With a `window`, lengths are such that shapes repeat (`filled_length`). With `packing`, which needs one, rows
        are as long as it and hold several pairs.
        """
        assert window is not None or not packing
        self._rows, self._size, self._filling, self._seed = rows, size, filling, seed
        self._noise, self._drawn, self._window, self._packing = noise, drawn, window, packing
        self._lengths = np.array([len(row.ids) - 1 for row in rows])  # positions that each pair reads
        self._epoch, self._index = 0, 0
        self._order = self._arranged()

    def __next__(self) -> Batch:
        """Return inputs, targets and places of delimiters."""
        if self._index == len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._arranged()
        batch = self._made(self._order[self._index])
        if self._noise:
            self._disturb(batch)
        self._index += 1
        return batch

    def __iter__(self) -> PairBatches:
        return self

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return len(self._order)

    @property
    def filled(self) -> float:
        """The share of an epoch's positions at which a pair is read, 0 to 1."""
        if self._packing:
            assert self._window is not None
            places = len(self._order) * self._size * self._window
        else:
            places = sum(
                self._size * filled_length(int(self._lengths[np.concatenate(batch)].max()), self._window)
                for batch in self._order
            )
        return float(self._lengths.sum() / places)

    @property
    def pairs_in_a_row(self) -> float:
        """How many pairs a row holds, on average over those that hold any."""
        return len(self._rows) / sum(len(batch) for batch in self._order)

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index, "pairs": len(self._rows), "packing": self._packing}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises `DataError` when it is one of other pairs, or of rows made otherwise."""
        if state["pairs"] != len(self._rows):
            raise DataError(
                f"There are {len(self._rows)} pairs, but the run began with {state['pairs']}; give the same ones."
            )
        if state.get("packing", False) != self._packing:  # absent in what was saved before there was a choice
            before = str(not self._packing).lower()
            raise DataError(f"The run began with task.packing = {before}, and its place is one in such rows; keep it.")
        self._epoch, self._index = int(state["epoch"]), int(state["index"])
        self._order = self._arranged()

    def _arranged(self) -> list[list[list[int]]]:
        """Return the pairs of each row of each batch of this epoch."""
        generator = np.random.default_rng((self._seed, self._epoch))
        order = generator.permutation(len(self._rows))
        if self._packing:
            assert self._window is not None
            rows = packed(self._lengths[order], self._window)
            mixed = [order[rows[i]].tolist() for i in generator.permutation(len(rows))]
            return portions(mixed, self._size)
        batches: list[list[list[int]]] = []
        for start in range(0, len(order), POOL * self._size):
            pool = order[start : start + POOL * self._size]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches += portions(pool[:, None].tolist(), self._size)
        return [batches[i] for i in generator.permutation(len(batches))]

    def _made(self, chosen: Sequence[Sequence[int]]) -> Batch:
        rows = [[self._rows[i] for i in row] for row in chosen]
        if self._packing:
            assert self._window is not None
            return as_packed_batch(rows, size=self._size, filling=self._filling, length=self._window)
        return as_batch([row for (row,) in rows], size=self._size, filling=self._filling, window=self._window)

    def _disturb(self, batch: Batch) -> None:
        """Replace some of the ids that are read by others, never a delimiter."""
        inputs, _, places, *rest = batch
        positions, delimiters = (rest[0], places) if rest else (np.arange(inputs.shape[1]), places[:, None])
        generator = np.random.default_rng((self._seed, self._epoch, self._index, 1))
        struck = (generator.random(inputs.shape) < self._noise) & (positions != delimiters)
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


def as_packed_batch(rows: Sequence[Sequence[Row]], *, filling: int, size: int, length: int) -> Batch:
    """Return rows of pairs as one batch of `size` rows of `length`; what fills them up is no target.

    Behind a row's last pair its positions go on, so that what fills it up is no text of its own.
    """
    shape = (size, length)
    inputs, targets = np.full(shape, filling, np.int64), np.full(shape, IGNORE, np.int64)
    places, positions = np.full(shape, length, np.int64), np.tile(np.arange(length), (size, 1))
    for number, pairs in enumerate(rows):
        begin = 0
        for pair in pairs:
            end = begin + len(pair.ids) - 1
            inputs[number, begin:end], targets[number, begin:end] = pair.ids[:-1], pair.ids[1:]
            positions[number, begin:] = np.arange(length - begin)
            places[number, begin:] = pair.delimiter
            begin = end
    return inputs, targets, places, positions


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
