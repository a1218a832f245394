"""How much of an evaluation set the training text holds: the 8-gram overlap of Radford et al. 2019, section 4.

There the training set's 8-grams were in Bloom filters with one false positive in 10^8 at most. Here it is the other way
round: the evaluation set's are in a sorted table, and the training text is looked up in it. That is exact but for equal
64-bit numbers of different 8-grams, of which the chance is N / 2^64 for one 8-gram and N in the training text: below
10^-8 up to N = 1.8 x 10^11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2lab.data.documents import read_documents
from gpt2lab.data.ngrams import Hashes, ngrams, word_hashes
from gpt2lab.data.sources import kind_of
from gpt2lab.errors import DataError
from gpt2lab.files import sha256_of

NGRAM = 8
"""Words in a run."""

_SHIFT = 42
_BEGINNING = np.uint64(_SHIFT)  # what is left of a number shifted by it tells most n-grams from those of the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What the training text holds of an evaluation file: of its `ngrams` different 8-grams, `found` before documents
    were left out for it and `left` after; as shares, `found_share` and `left_share`."""

    file: str
    sha256: str
    ngrams: int
    found: int
    left: int
    found_share: float
    left_share: float


class EvaluationNgrams:
    """The different 8-grams of all evaluation files, (m,), sorted; an n-gram's number is its place."""

    def __init__(self, table: Hashes) -> None:
        self.table = table
        self._beginnings = np.zeros(1 << (64 - _SHIFT), bool)
        self._beginnings[table >> _BEGINNING] = True

    def numbers_in(self, text: str) -> npt.NDArray[np.int64]:
        """Return the numbers of those that `text` holds, each once, in order."""
        return self.numbers(ngrams(word_hashes(text), NGRAM))

    def numbers(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return the numbers of those among `hashes`, each once, in order."""
        if not len(self.table):
            return np.empty(0, np.int64)
        hashes = hashes[self._beginnings[hashes >> _BEGINNING]]  # most go here, without a search
        places = np.minimum(np.searchsorted(self.table, hashes), len(self.table) - 1)
        return np.unique(places[self.table[places] == hashes]).astype(np.int64)


def evaluation_ngrams(files: Sequence[str]) -> dict[str, Hashes]:
    """Return the different 8-grams of every file, sorted. Raises `DataError` for a file without any.

    Files are read as inputs are, by their names; one whose name says nothing is text.
    """
    found = {}
    for file in files:
        documents = read_documents([file], kind=kind_of(Path(file)) or "text")
        runs = [ngrams(word_hashes(document.text), NGRAM) for document in documents]
        found[file] = np.unique(np.concatenate([np.empty(0, np.uint64), *runs]))
        if not len(found[file]):
            raise DataError(f"{file} has no run of {NGRAM} words; nothing can be compared with it.")
    return found


def merged(tables: Sequence[Hashes]) -> Hashes:
    """Return the different n-grams of all files, sorted."""
    return np.unique(np.concatenate([np.empty(0, np.uint64), *tables]))


def overlaps(
    files: dict[str, Hashes], table: Hashes, found: npt.NDArray[np.bool_], left: npt.NDArray[np.bool_]
) -> tuple[Overlap, ...]:
    """Return the overlap of each file; `found` and `left` mark the n-grams of `table` that the training text holds."""
    result = []
    for file, hashes in files.items():
        places = np.searchsorted(table, hashes)
        before, after = int(found[places].sum()), int(left[places].sum())
        result.append(
            Overlap(
                file=Path(file).name,
                sha256=sha256_of(file) if Path(file).is_file() else "",
                ngrams=len(hashes),
                found=before,
                left=after,
                found_share=before / len(hashes),
                left_share=after / len(hashes),
            )
        )
    return tuple(result)
