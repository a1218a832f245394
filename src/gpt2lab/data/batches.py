"""Windows of a token stream in a random order that is the same on every run and can be taken up anywhere.

Knows arrays, not files or tensors. An epoch cuts the stream into windows behind a random offset and reads them in a
random order; both follow from (seed, epoch) alone, so the state is two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpt2lab.errors import DataError

IntArray = npt.NDArray[np.int64]

IGNORE = -100
"""The target of a position that has no loss, as in torch."""

_MULTIPLE = 8


def filled_length(longest: int, window: int | None) -> int:
    """Return how many positions a batch gets whose longest row has `longest`: a few more, of `window` at most.

    Every shape that is new costs a product's preparation, and oneDNN keeps a thousand of them: gigabytes, if each batch
    had a length of its own. Without a window nothing is added.
    """
    return longest if window is None else min(-(-longest // _MULTIPLE) * _MULTIPLE, max(window, longest))


class TokenStream(Protocol):
    """A sequence of token ids that can be read anywhere."""

    def __len__(self) -> int: ...

    def read(self, start: int, length: int) -> IntArray:
        """Return the ids at [start, start + length)."""
        ...


class Batches:
    """Endless batches of `window` inputs and the targets one further on.

    Raises `DataError` when the stream is shorter than two windows and a token.
    """

    def __init__(self, stream: TokenStream, *, rows: int, window: int, seed: int) -> None:
        if len(stream) < 2 * window + 1:
            raise DataError(
                f"The training text has {len(stream)} tokens; windows of {window} need at least {2 * window + 1}. "
                "Give more text or set a shorter window."
            )
        self._stream, self._rows, self._window, self._seed = stream, rows, window, seed
        self._epoch, self._index = 0, 0
        self._offset, self._order = self._shuffle()

    def __next__(self) -> tuple[IntArray, IntArray]:
        """Return inputs and targets, each (rows, window)."""
        rows = np.stack([self._next_window() for _ in range(self._rows)])  # (B, T + 1)
        return rows[:, :-1], rows[:, 1:]

    def __iter__(self) -> Batches:
        return self

    @property
    def epochs(self) -> float:
        """How often the stream has been read, as a fraction."""
        return self._epoch + self._index / len(self._order)

    def state_dict(self) -> dict[str, int]:
        """Return the position, to be given to `load_state_dict` of a reader of the same stream, window and seed."""
        return {"epoch": self._epoch, "index": self._index, "tokens": len(self._stream)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a position that `state_dict` returned. Raises `DataError` when the stream has another length."""
        if state["tokens"] != len(self._stream):
            raise DataError(
                f"The training text has {len(self._stream)} tokens, but the position is in one of {state['tokens']}; "
                "give the corpus that the run began with."
            )
        self._epoch, self._index = state["epoch"], state["index"]
        self._offset, self._order = self._shuffle()

    def _next_window(self) -> IntArray:
        if self._index == len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._offset, self._order = self._shuffle()
        start = self._offset + int(self._order[self._index]) * self._window
        self._index += 1
        return self._stream.read(start, self._window + 1)

    def _shuffle(self) -> tuple[int, IntArray]:
        generator = np.random.default_rng((self._seed, self._epoch))
        offset = int(generator.integers(self._window))
        return offset, generator.permutation((len(self._stream) - 1 - offset) // self._window)


def spread_windows(stream: TokenStream, *, count: int, window: int) -> tuple[IntArray, IntArray]:
    """Return inputs and targets, each (n, window), of n <= `count` windows spread evenly over the stream, in order.

    The same windows on every call: the fixed set on which a validation loss is measured.
    """
    available = (len(stream) - 1) // window
    if available < 1:
        raise DataError(
            f"The held-out text has {len(stream)} tokens; a window of {window} needs {window + 1}. "
            "Hold more of the text back when it is prepared (validation_share), or shorten model.n_positions."
        )
    n = min(count, available)
    rows = np.stack([stream.read(i * available // n * window, window + 1) for i in range(n)])  # (n, T + 1)
    return rows[:, :-1], rows[:, 1:]
