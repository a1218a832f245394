"""What a portion of a corpus gave, as arrays in a `.npz` of the work folder that is there whole or not at all.

Knows arrays, not texts. A part holds n documents in order, made of p pieces; their arrays are:

    ids             the token ids of all pieces, one after another, each with its end of text
    piece_lengths   (p,) ids of each                  piece_bytes   (p,) bytes of its UTF-8 text
    piece_splits    (p,) TRAIN, VALIDATION, BY_HASH   piece_owners  (p,) number of its document
    hashes          (n,) of each text                 author_numbers  (n,) index into `authors`
    words           (n,) of its normalised words, (0,) where copies are kept
    bands, signatures  (n, …) for near copies, (0, …) where those are kept
    hits, hit_counts   numbers of the evaluation n-grams found, and (n,) how many in each document
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.data.chunks import Position
from gpt2lab.files import atomic_write

TRAIN, VALIDATION, BY_HASH = 0, 1, 2
"""Where a piece belongs; BY_HASH is decided when all documents are known."""

Arrays = Mapping[str, npt.NDArray[Any]]


def save_part(
    folder: Path, start: Position, end: Position, arrays: Arrays, *, authors: Sequence[str], dropped: Mapping[str, int]
) -> None:
    """Write the part of the records from `start` to `end`."""
    names = sorted(set(authors))
    numbers = {name: number for number, name in enumerate(names)}
    about = json.dumps({"end": [end.source, end.record], "authors": names, "dropped": dict(sorted(dropped.items()))})
    with atomic_write(folder / f"{start.source:08d}-{start.record:012d}.npz", fsync=True) as f:
        np.savez(
            f,
            about=np.frombuffer(about.encode(), np.uint8),
            author_numbers=np.array([numbers[name] for name in authors], np.int64),
            **dict(arrays),  # type: ignore[arg-type] # numpy's stub takes them for an option of its own
        )


class Part:
    """A finished part on the disk; each array is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        source, record = path.stem.split("-")
        self.start = Position(int(source), int(record))
        about = json.loads(self["about"].tobytes())
        self.end = Position(*about["end"])
        self.authors: list[str] = about["authors"]
        self.dropped: dict[str, int] = about["dropped"]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with np.load(self.path, allow_pickle=False) as archive:
            array: npt.NDArray[Any] = archive[name]
            return array


def finished_parts(folder: Path) -> list[Part]:
    """Return the parts in `folder` that follow each other from the beginning without a gap; others are removed."""
    parts: list[Part] = []
    for path in sorted(folder.glob("*.npz")):
        try:
            part = Part(path)
        except (zipfile.BadZipFile, ValueError, EOFError):  # a disk that lost power may have kept half of it
            path.unlink()
            continue
        if part.start == (parts[-1].end if parts else Position()):
            parts.append(part)
        else:
            path.unlink()
    return parts
