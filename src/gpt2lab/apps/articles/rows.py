"""Articles as rows of token ids to train on, the same on every run, that can be taken up anywhere.

Knows ids, not tensors. The order of the fields and the part of a long article are drawn anew at every visit; what is
drawn follows from (seed, epoch, visit) alone, so the state is two numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.fields import FIELDS, Field
from gpt2lab.apps.articles.orders import arranged
from gpt2lab.apps.articles.records import Article
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import DataError

BEGINNINGS, ENDS = 0.5, 0.25
"""Of rows that are too long, the shares of which the beginning, or the end, is read; of the rest any part is."""

Pieces = Mapping[Field, Sequence[int]]
Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def encoded(articles: Sequence[Article], codec: Codec) -> list[Pieces]:
    """Return the ids of every article's fields, each with its two tokens. Raises `DataError` when there is none."""
    found = [{field: codec.piece(field, text) for field, text in a.texts().items()} for a in articles]
    made: list[Pieces] = [pieces for pieces in found if pieces]
    if not made:
        raise DataError("There is no article with any field to learn.")
    return made


def digest(pieces: Sequence[Pieces]) -> str:
    """Return a number for encoded articles in their order, as hexadecimal."""
    sha = hashlib.sha256()
    for article in pieces:
        sha.update(np.array([i for f in FIELDS for i in article.get(f, ())], "<u4").tobytes())
    return sha.hexdigest()


class ArticleRows:
    """Endless training batches of `rows` rows of at most `window` tokens; short rows are filled up."""

    def __init__(
        self, pieces: Sequence[Pieces], codec: Codec, *, rows: int, window: int, seed: int, sliding: bool
    ) -> None:
        self._pieces, self._codec, self._rows, self._window = pieces, codec, rows, window
        self._seed, self._sliding = seed, sliding
        self._size = window + 1 - len(codec.start)
        lengths = np.array([sum(map(len, article.values())) for article in pieces])
        # as many visits as it has windows, so that every token is read about once an epoch
        visits = np.maximum(np.round(lengths / self._size), 1).astype(int) if sliding else np.ones(len(pieces), int)
        self._visits = np.repeat(np.arange(len(pieces)), visits)
        self._epoch, self._index = 0, 0
        self._order = self._shuffled()

    def __next__(self) -> Rows:
        """Return inputs and targets, each (rows, T)."""
        return as_batch([self._next_row() for _ in range(self._rows)], self._codec)

    def __len__(self) -> int:
        """Return how many rows an epoch has."""
        return len(self._visits)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, to be given to `load_state_dict` of a reader of the same articles."""
        return {"epoch": self._epoch, "index": self._index, "rows": len(self._visits)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position that `state_dict` returned. Raises `DataError` when it is one of other articles."""
        if state["rows"] != len(self._visits):
            raise DataError(
                f"The articles make {len(self._visits)} rows, but the position is in {state['rows']}; give the "
                "articles and the window that the run began with."
            )
        self._epoch, self._index = state["epoch"], state["index"]
        self._order = self._shuffled()

    def _next_row(self) -> list[int]:
        if self._index == len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._shuffled()
        visit = int(self._order[self._index])
        self._index += 1
        generator = np.random.default_rng((self._seed, self._epoch, visit, 1))
        ids = arranged(self._pieces[self._visits[visit]], self._size, self._codec.padding, generator)
        spare = len(ids) - self._size
        first = row_start(spare, generator) if self._sliding and spare > 0 else 0
        return [*self._codec.start, *ids[first : first + self._size]]

    def _shuffled(self) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._visits))


def row_start(spare: int, generator: np.random.Generator) -> int:
    """Return where to begin reading a row that is `spare` tokens too long: metadata stands at either end of it."""
    kind = generator.random()
    if kind < BEGINNINGS:
        return 0
    return spare if kind < BEGINNINGS + ENDS else int(generator.integers(spare + 1))


def fixed_batches(pieces: Sequence[Pieces], codec: Codec, *, rows: int, window: int) -> list[Rows]:
    """Return batches of the beginnings of articles in canonical order, longest first so that little is filled up."""
    size = window + 1 - len(codec.start)
    found = [[*codec.start, *[i for f in FIELDS for i in article.get(f, ())][:size]] for article in pieces]
    found.sort(key=len, reverse=True)
    return [as_batch(found[i : i + rows], codec) for i in range(0, len(found), rows)]


def as_batch(rows: Sequence[Sequence[int]], codec: Codec) -> Rows:
    """Return inputs and targets (B, T) of rows of ids; neither what fills them up nor a mark of a cut is a target."""
    longest = max(map(len, rows))
    whole = np.full((len(rows), longest), codec.padding, np.int64)
    for place, row in zip(whole, rows, strict=True):
        place[: len(row)] = row
    targets = whole[:, 1:].copy()
    targets[targets == codec.padding] = IGNORE
    return np.ascontiguousarray(whole[:, :-1]), targets
