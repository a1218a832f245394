"""Which documents are copies of earlier ones: exactly, by their words, or nearly, by MinHash signatures.

Signatures are `datasketch`'s (Broder 1997): of the runs of five words, 128 minima. Candidates share a band of the
signature (locality-sensitive hashing, with datasketch's choice of bands for the threshold); they are copies if their
signatures say that the share of common runs is at least the threshold. datasketch's own index needs 3.3 kB of memory a
document; sorting the bands one after another needs 16 bytes. Knows numbers, not texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.data.ngrams import Hashes, combined, ngrams
from gpt2lab.errors import MissingExtraError

PERMUTATIONS = 128
SHINGLE = 5
"""Words in a run."""

_MOST_SHINGLES = 2048  # of a document: the smallest of its hashes, which two near copies have in common
_MOST_LEADERS = 16  # different documents kept in sight among those that share a band
_WEIGHTS = (0.05, 0.95)  # of false candidates, which cost a comparison, and of missed ones, which stay

Signature = npt.NDArray[np.uint32]


class Signatures:
    """Makes signatures of texts given as the hashes of their words, and the numbers of their bands."""

    def __init__(self, threshold: float) -> None:
        try:
            import datasketch
        except ImportError:
            raise MissingExtraError("Finding near copies", "corpus") from None
        self._minhash = datasketch.MinHash(num_perm=PERMUTATIONS, scheme="affine32", hashfunc=int)
        index = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=_WEIGHTS)
        self.bands, self.rows = index.b, index.r

    def of(self, texts: Sequence[Hashes]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
        """Return the signatures (n, 128), zeros for a text without words, and the numbers of their bands (n, b)."""
        signatures = np.zeros((len(texts), PERMUTATIONS), np.uint32)
        for number, words in enumerate(texts):
            if len(words):
                signatures[number] = self._signature(words)
        return signatures, self._bands_of(signatures)

    def _signature(self, words: Hashes) -> Any:
        shingles = np.unique(ngrams(words, min(SHINGLE, len(words))))
        if len(shingles) > _MOST_SHINGLES:
            shingles = shingles[:_MOST_SHINGLES]  # sorted: the smallest
        self._minhash.clear()
        self._minhash.update_batch((shingles >> np.uint64(32)).tolist())
        return self._minhash.hashvalues

    def _bands_of(self, signatures: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
        bands = np.empty((len(signatures), self.bands), np.uint64)
        for band in range(self.bands):
            rows = signatures[:, band * self.rows : (band + 1) * self.rows].astype(np.uint64)
            bands[:, band] = combined(list(rows.T))
        return bands


def exact_copies(words: Hashes) -> npt.NDArray[np.bool_]:
    """Return which documents, (n,), have the words of an earlier one."""
    copies = np.ones(len(words), bool)
    copies[np.unique(words, return_index=True)[1]] = False
    return copies


class NearCopies:
    """Finds near copies band by band; memory holds one band and the pairs that were found.

    `signatures` is (n, 128), and may lie on the disk; only candidates are looked at. `left_out` (n,) are not compared.
    """

    def __init__(self, signatures: npt.NDArray[Any], threshold: float, left_out: npt.NDArray[np.bool_]) -> None:
        self._signatures, self._threshold, self._left_out = signatures, threshold, left_out
        self._pairs: set[tuple[int, int]] = set()  # (earlier, later)

    def add_band(self, band: Hashes) -> None:
        """Compare the documents that share their number in `band`, (n,)."""
        order = np.argsort(band, kind="stable")
        order = order[~self._left_out[order]]
        edges = np.flatnonzero(np.diff(band[order])) + 1
        bounds = np.concatenate([[0], edges, [len(order)]])
        for group in np.flatnonzero(np.diff(bounds) > 1):
            self._compare(order[bounds[group] : bounds[group + 1]])

    def copies(self) -> npt.NDArray[np.bool_]:
        """Return which documents, (n,), are near copies of an earlier one that is kept."""
        copies = np.zeros(len(self._left_out), bool)
        for earlier, later in sorted(self._pairs, key=lambda pair: (pair[1], pair[0])):
            if not copies[earlier]:
                copies[later] = True
        return copies

    def _compare(self, members: npt.NDArray[np.int64]) -> None:
        """Hold every member, earliest first, against those of the group that nothing earlier is like."""
        leaders: list[int] = []
        rows: list[Any] = []
        for member in members.tolist():
            row = np.asarray(self._signatures[member])
            if not row.any():
                continue
            for leader, other in zip(leaders, rows, strict=True):
                if np.mean(row == other) >= self._threshold:
                    self._pairs.add((leader, member))
                    break
            else:
                if len(leaders) < _MOST_LEADERS:
                    leaders.append(member)
                    rows.append(row)
