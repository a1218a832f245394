"""A corpus on disk: token ids in memory-mapped shards and a manifest that says what they are.

Knows numbers and files, not tokenizers or training. `manifest.json` holds the format, the ids' type, the vocabulary
size, the end-of-text id and, per split, counts and the shards with their SHA-256. Ids are little-endian uint16 where
the vocabulary allows it, else uint32; `token_bytes.bin` (uint16) says how many bytes of text each id stands for.
Every document ends with the end-of-text id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gpt2lab.config import from_dict
from gpt2lab.data.contamination import Overlap
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import read_json, sha256_of

FORMAT = 2
"""The version of the layout described above; 2 added to the manifest what was left out, learnt from and overlaps."""

READABLE = (1, 2)

MANIFEST = "manifest.json"
TOKEN_BYTES = "token_bytes.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of ids."""

    file: str
    tokens: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The counts of one part of a corpus; `bytes` are those of its UTF-8 text."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    authors: tuple[str, ...] = ()
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularySample:
    """What a vocabulary was learnt from: every `every`-th training document of every `portions`-th portion."""

    documents: int
    bytes: int
    every: int
    portions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a corpus folder holds.

    `sources` maps the name of each file read to its SHA-256, and of each folder or pattern to that of the list of its
    files (`sources.sha256`). `dropped` counts the documents that were left out by reason; `passed_over` the files of
    folders that are of other kinds. `vocabulary` is None where a tokenizer was given. `recipe` is how it was made.
    """

    format: int
    dtype: str
    vocab_size: int
    end_of_text_id: int
    tokenizer_sha256: str
    cleaning: str
    sources: dict[str, str]
    train: Split
    validation: Split
    passed_over: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    vocabulary: VocabularySample | None = None
    contamination: tuple[Overlap, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)


class ShardWriter:
    """Writes ids into numbered shards of at most `shard_tokens` ids (a document may be cut) without holding them."""

    def __init__(self, folder: Path, split: str, dtype: str, *, shard_tokens: int = 1 << 26) -> None:
        self._folder, self._name, self._limit = folder, split, shard_tokens
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._shards: list[Shard] = []
        self._file: IO[bytes] | None = None
        self._digest, self._written = hashlib.sha256(), 0

    def write(self, ids: npt.ArrayLike) -> None:
        """Append ids."""
        array = np.asarray(ids, dtype=self._dtype)
        while len(array):
            if self._file is None:
                self._file = (self._folder / self._next).open("wb")
                self._digest, self._written = hashlib.sha256(), 0
            piece = array[: self._limit - self._written]
            data = piece.tobytes()
            self._file.write(data)
            self._digest.update(data)
            self._written += len(piece)
            array = array[len(piece) :]
            if self._written == self._limit:
                self._end()

    def close(self) -> tuple[Shard, ...]:
        """End the last shard and return all of them."""
        if self._file is not None:
            self._end()
        return tuple(self._shards)

    @property
    def _next(self) -> str:
        return f"{self._name}-{len(self._shards):05d}.bin"

    def _end(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        self._shards.append(Shard(file=self._next, tokens=self._written, sha256=self._digest.hexdigest()))


class Shards:
    """The ids of one split as one long sequence, read from memory-mapped files."""

    def __init__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        self._arrays = list(arrays)
        self._starts = np.cumsum([0, *map(len, arrays)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, length: int) -> npt.NDArray[np.int64]:
        """Return the ids at [start, start + length) as int64; shard borders do not show."""
        parts = []
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        while length > 0:
            offset = start - int(self._starts[shard])
            part = self._arrays[shard][offset : offset + length]
            parts.append(part.astype(np.int64))
            start, length, shard = start + len(part), length - len(part), shard + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Corpus:
    """A corpus folder, opened. Raises `DataError` when it is missing, incomplete, of another format or cut short."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if not path.is_file():
            raise DataError(
                f"{self.folder} is not a prepared corpus: it has no {MANIFEST}. Make one with gpt2lab prepare."
            )
        values = read_json(path)
        if not isinstance(values, dict) or values.get("format") not in READABLE:
            given = values.get("format") if isinstance(values, dict) else None
            known = " and ".join(map(str, READABLE))
            raise DataError(f"{path} has format {given!r}; this version reads {known}. Prepare the corpus again.")
        try:
            self.manifest = from_dict(Manifest, values)
        except ConfigError as error:
            raise DataError(f"{path} is damaged: {error} Prepare the corpus again.") from None
        self.train = Shards([self._map(s) for s in self.manifest.train.shards])
        self.validation = Shards([self._map(s) for s in self.manifest.validation.shards])
        self.token_bytes: npt.NDArray[np.int64] = np.fromfile(self.folder / TOKEN_BYTES, dtype="<u2").astype(np.int64)
        """Bytes of text that each id stands for, (V,); 0 for the end of a text."""

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer that made the ids."""
        return self.folder / "tokenizer"

    def verify(self) -> None:
        """Read every shard and compare it with the manifest; raises `DataError` naming the first that differs."""
        for shard in (*self.manifest.train.shards, *self.manifest.validation.shards):
            if sha256_of(self.folder / shard.file) != shard.sha256:
                raise DataError(f"{self.folder / shard.file} was changed since it was made. Prepare the corpus again.")

    def _map(self, shard: Shard) -> npt.NDArray[Any]:
        path, dtype = self.folder / shard.file, np.dtype(self.manifest.dtype).newbyteorder("<")
        size = path.stat().st_size if path.is_file() else -1
        if size != shard.tokens * dtype.itemsize:
            what = "is missing" if size < 0 else f"has {size} bytes instead of {shard.tokens * dtype.itemsize}"
            raise DataError(f"{path} {what}. Prepare the corpus again.")
        return np.memmap(path, dtype=dtype, mode="r")


def dtype_for(vocab_size: int) -> str:
    """Return the smallest of the two id types that holds every id."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"
