"""A corpus on disk: token ids in memory-mapped shards and a manifest that says what they are.

Knows numbers and files, not tokenizers or training. `manifest.json` holds the format, the ids' type, the vocabulary
size, the end-of-text id and, per split, counts and the shards with their SHA-256. Ids are little-endian uint16 where
the vocabulary allows it, else uint32; `token_bytes.bin` (uint16) says how many bytes of text each id stands for.
Every document ends with the end-of-text id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.config import from_dict
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import atomic_write, read_json, sha256_of

FORMAT = 1
"""The version of the layout described above."""

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
class Manifest:
    """What a corpus folder holds. `sources` maps the name of each file read to its SHA-256."""

    format: int
    dtype: str
    vocab_size: int
    end_of_text_id: int
    tokenizer_sha256: str
    cleaning: str
    sources: dict[str, str]
    train: Split
    validation: Split


class ShardWriter:
    """Writes the ids of one split into numbered shards of at most `shard_tokens` ids each (a document may be cut)."""

    def __init__(self, folder: Path, split: str, dtype: str, *, shard_tokens: int = 1 << 26) -> None:
        self._folder, self._name, self._limit = folder, split, shard_tokens
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._split = Split()
        self._authors: set[str] = set()
        self._shards: list[Shard] = []
        self._pending: list[npt.NDArray[Any]] = []
        self._held = 0

    @property
    def tokens(self) -> int:
        """Ids added so far."""
        return self._split.tokens

    def add(self, ids: Sequence[int], *, text_bytes: int, author: str = "") -> None:
        """Append one document's ids, its end included."""
        array = np.asarray(ids, dtype=self._dtype)
        self._pending.append(array)
        self._held += len(array)
        if author:
            self._authors.add(author)
        self._split = replace(
            self._split,
            documents=self._split.documents + 1,
            tokens=self._split.tokens + len(array),
            bytes=self._split.bytes + text_bytes,
        )
        while self._held >= self._limit:
            self._flush(self._limit)

    def close(self) -> Split:
        """Write what is left and return the split's entry for the manifest."""
        if self._held:
            self._flush(self._held)
        return replace(self._split, authors=tuple(sorted(self._authors)), shards=tuple(self._shards))

    def _flush(self, count: int) -> None:
        ids = np.concatenate(self._pending)
        name = f"{self._name}-{len(self._shards):05d}.bin"
        with atomic_write(self._folder / name) as f:
            f.write(ids[:count].tobytes())
        self._shards.append(Shard(file=name, tokens=count, sha256=sha256_of(self._folder / name)))
        self._pending = [ids[count:]] if len(ids) > count else []
        self._held = len(ids) - count


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
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            given = values.get("format") if isinstance(values, dict) else None
            raise DataError(f"{path} has format {given!r}; this version reads {FORMAT}. Prepare the corpus again.")
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
