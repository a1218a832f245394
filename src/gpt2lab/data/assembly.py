"""From finished parts to the files of a corpus: what is left out is decided, the rest is written in order.

Knows arrays, not texts. Memory holds a few numbers for each document and one part at a time. Run again after an
interruption it writes the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.data.duplicates import PERMUTATIONS, NearCopies, exact_copies
from gpt2lab.data.parts import BY_HASH, TRAIN, VALIDATION, Part
from gpt2lab.data.recipe import CorpusRecipe
from gpt2lab.data.shards import ShardWriter, Split

Marks = npt.NDArray[np.bool_]
Report = Callable[[int, int], None]

_MOST_AUTHORS = 10_000  # listed in a manifest; of more, none is


@dataclass(slots=True)
class Assembly:
    """What became of the documents: counts of what was left out, the splits, the evaluation n-grams that were found."""

    dropped: dict[str, int]
    train: Split
    validation: Split
    found: Marks
    left: Marks


def assemble(
    parts: Sequence[Part],
    folder: Path,
    recipe: CorpusRecipe,
    *,
    dtype: str,
    evaluation: int,
    work: Path,
    report: Report,
) -> Assembly:
    """Write the shards of all `parts` into `folder`; `evaluation` is the number of evaluation n-grams.

    `work` is a folder for a temporary file; `report` is told how many parts of how many are written.
    """
    counts = [len(part["hashes"]) for part in parts]
    reasons, dropped = _left_out(parts, counts, recipe, work)
    held_out = _held_out(parts, reasons, recipe)
    found, left = np.zeros(evaluation, bool), np.zeros(evaluation, bool)
    splits = {TRAIN: _SplitWriter(folder, "train", dtype), VALIDATION: _SplitWriter(folder, "validation", dtype)}
    first = 0
    for number, (part, count) in enumerate(zip(parts, counts, strict=True), start=1):
        here = slice(first, first + count)
        kept = ~reasons[here]
        owners, pieces = part["piece_owners"], part["piece_splits"].copy()
        pieces[(pieces == BY_HASH) & held_out[here][owners]] = VALIDATION
        pieces[pieces == BY_HASH] = TRAIN
        for split, writer in splits.items():
            writer.add(part, (pieces == split) & kept[owners])
        if evaluation:
            trained = np.zeros(count, bool)
            trained[owners[pieces == TRAIN]] = True
            _mark(part, trained, found)
            _mark(part, trained & kept, left)
        first += count
        report(number, len(parts))
    for part in parts:
        dropped.update(part.dropped)
    return Assembly(dict(sorted(dropped.items())), splits[TRAIN].close(), splits[VALIDATION].close(), found, left)


class _SplitWriter:
    """The shards and counts of one split."""

    def __init__(self, folder: Path, name: str, dtype: str) -> None:
        self._shards = ShardWriter(folder, name, dtype)
        self._documents = self._tokens = self._bytes = 0
        self._authors: set[str] = set()

    def add(self, part: Part, chosen: Marks) -> None:
        """Append the chosen pieces of a part."""
        if not chosen.any():
            return
        lengths = part["piece_lengths"]
        ids = part["ids"]
        self._shards.write(ids if chosen.all() else ids[np.repeat(chosen, lengths)])
        self._documents += int(chosen.sum())
        self._tokens += int(lengths[chosen].sum())
        self._bytes += int(part["piece_bytes"][chosen].sum())
        numbers = part["author_numbers"][part["piece_owners"][chosen]]
        self._authors.update(part.authors[i] for i in np.unique(numbers))

    def close(self) -> Split:
        """Return the split's entry for the manifest."""
        authors = sorted(self._authors - {""})
        return Split(
            documents=self._documents,
            tokens=self._tokens,
            bytes=self._bytes,
            authors=tuple(authors) if len(authors) <= _MOST_AUTHORS else (),
            shards=self._shards.close(),
        )


def _left_out(parts: Sequence[Part], counts: list[int], recipe: CorpusRecipe, work: Path) -> tuple[Marks, Counter[str]]:
    """Return which documents are left out for what others say, and how many for which reason."""
    total = sum(counts)
    out = np.zeros(total, bool)
    dropped: Counter[str] = Counter()
    if recipe.drop_contaminated:
        out = _joined(parts, "hit_counts") >= recipe.drop_contaminated
        dropped["contaminated"] = int(out.sum())
    if recipe.duplicates != "keep":
        copies = exact_copies(_joined(parts, "words")) & ~out
        dropped["exact copy"] = int(copies.sum())
        out |= copies
    if recipe.duplicates == "near" and total:
        copies = _near_copies(parts, counts, recipe, out, work)
        dropped["near copy"] = int(copies.sum())
        out |= copies
    return out, +dropped


def _near_copies(parts: Sequence[Part], counts: list[int], recipe: CorpusRecipe, out: Marks, work: Path) -> Marks:
    path = work / "signatures.bin"
    with path.open("wb") as f:
        for part in parts:
            f.write(part["signatures"].tobytes())
    signatures = np.memmap(path, np.uint32, "r", shape=(sum(counts), PERMUTATIONS))
    copies = NearCopies(signatures, recipe.near_threshold, out)
    bands = parts[0]["bands"].shape[1]
    for band in range(bands):
        copies.add_band(np.concatenate([part["bands"][:, band] for part in parts]))
    return copies.copies() & ~out


def _held_out(parts: Sequence[Part], out: Marks, recipe: CorpusRecipe) -> Marks:
    """Return which of the documents that go to one split as a whole are held out: the share with the smallest hashes.

    It is at least one where there is another to train on and nothing else is held out.
    """
    whole, others = [], False
    for part in parts:
        splits, owners = part["piece_splits"], part["piece_owners"]
        marks = np.zeros(len(part["hashes"]), bool)
        marks[owners[splits == BY_HASH]] = True
        whole.append(marks)
        others = others or bool((splits == VALIDATION).any())
    candidates = np.concatenate([np.empty(0, bool), *whole]) & ~out
    hashes = _joined(parts, "hashes")
    chosen: Marks = candidates & (hashes < np.uint64(recipe.validation_share * 2**64))
    if not others and not chosen.any() and candidates.sum() > 1:
        places = np.flatnonzero(candidates)
        chosen[places[np.argmin(hashes[places])]] = True
    return chosen


def _mark(part: Part, documents: Marks, table: Marks) -> None:
    """Mark in `table` the evaluation n-grams that the chosen documents of a part hold."""
    table[part["hits"][np.repeat(documents, part["hit_counts"])]] = True


def _joined(parts: Sequence[Part], name: str) -> npt.NDArray[Any]:
    return np.concatenate([part[name] for part in parts]) if parts else np.empty(0, np.uint64)
