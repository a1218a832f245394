"""A folder of packed weights, each in a file that the next process maps instead of packing again.

A file is a header of 4,096 bytes (a line of magic, a line of JSON, zeros) and the engine's arena as it lies in memory.
What its header must say is compared field by field with what is wanted; a file that says anything else, is cut short or
fails the test of its bytes counts as absent and is written again. Files appear whole under their names, so any number
of processes may look, write and remove at once; a file that is removed while it is mapped stays readable (POSIX). The
folder is bounded: what was used longest ago goes first, and nothing goes that was not written here. No failure of the
disk is an error: the weights are then packed at every start.

Knows nothing of models: the names of contents, shapes and precisions are given.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.checkpoint.identity import sampled
from gpt2lab.errors import ConfigError
from gpt2lab.files import atomic_write, cache_folder

Octets = npt.NDArray[np.uint8]

LIMIT_VARIABLE = "GPT2LAB_CACHE_LIMIT"
DEFAULT_LIMIT = 8_000_000_000
"""Bytes that all packed weights together may take on the disk."""

HEADER_BYTES = 4096
"""Bytes before the weights: one page, so that they begin on a page of the mapping."""

_KIND = b"gpt2lab packed weights "
_MAGIC = _KIND + b"1\n"
_SPARE = 1_000_000_000  # bytes of a disk that are never filled
_MOST_SIGHTINGS = 256
_PACKED = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}-\w+\.packed")
_SIGHTING = re.compile(r"[0-9a-f]{32}\.seen")
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{32}[-.].*\.tmp")
_ABANDONED = 3600  # seconds after which a half-written file is nobody's


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packed weights are meant: digests of the source's bytes and of the model's shape, precision, layout."""

    content: str
    shape: str
    precision: str
    packing: str

    @property
    def name(self) -> str:
        """The name of their file; another layout of the same weights takes its place."""
        return f"{self.content}-{self.shape}-{self.precision}.packed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of packed weights: what it was made from, its bytes on the disk, its last use in seconds since 1970."""

    path: Path
    source: str
    precision: str
    packing: str
    bytes: int
    used: float


class PackedCache:
    """Packed weights in `folder`, together at most `limit` bytes; 0 keeps none."""

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.folder, self.limit = folder, limit

    # --- what a source contains

    def content_of(self, signature: str) -> str | None:
        """Return the content that was once seen with this signature (see `checkpoint.identity`), or None."""
        try:
            text = (self.folder / f"{signature}.seen").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return text if re.fullmatch("[0-9a-f]{32}", text) else None

    def remember(self, signature: str, content: str) -> None:
        """Note that a source of this signature has this content."""
        with contextlib.suppress(OSError), atomic_write(self.folder / f"{signature}.seen", "w") as f:
            f.write(content)
        old = sorted(self._files(_SIGHTING), key=_last_used, reverse=True)[_MOST_SIGHTINGS:]
        _remove(old)

    # --- the weights

    def find(self, wanted: Wanted) -> Octets | None:
        """Map the weights read-only; None when they are not there as they are wanted."""
        path = self.folder / wanted.name
        try:
            with path.open("rb") as f:
                mapped = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # absent or empty
            return None
        header = _header(mapped[:HEADER_BYTES])
        payload = np.frombuffer(mapped, np.uint8)[HEADER_BYTES:]
        if header is None or {**header, "source": ""} != _header_of(wanted, payload, source=""):
            return None
        if hasattr(mmap, "MADV_WILLNEED"):
            mapped.madvise(mmap.MADV_WILLNEED)  # a cold disk starts to read while the rest of the model is set up
        with contextlib.suppress(OSError):
            os.utime(path)
        return payload

    def store(self, wanted: Wanted, payload: Octets, source: str) -> None:
        """Keep weights for the next process, unless they are too large or the disk will not have them.

        Older ones go where room is needed. `source` tells people what they were made from.
        """
        size = HEADER_BYTES + payload.nbytes
        if size > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size, but=wanted.name)
            _check_space(self.folder, size)
            with atomic_write(self.folder / wanted.name, fsync=True) as f:
                f.write(_header_bytes(_header_of(wanted, payload, source)))
                f.write(payload.data)
        except OSError as error:
            warnings.warn(
                f"The packed weights could not be kept in {self.folder} ({error.strerror or error}), so the next start "
                f"packs them again. $GPT2LAB_CACHE names another folder; {LIMIT_VARIABLE}=0 keeps none.",
                stacklevel=2,
            )

    def entries(self) -> list[Entry]:
        """Return what is kept, last used first."""
        found = [entry for path in self._files(_PACKED) if (entry := _entry(path)) is not None]
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def clear(self) -> int:
        """Remove everything that was written here and return the number of bytes that became free."""
        freed = sum(entry.bytes for entry in self.entries())
        _remove([entry.path for entry in self.entries()])
        _remove([*self._files(_SIGHTING), *self._abandoned()])
        return freed

    # --- inside

    def _make_room(self, size: int, *, but: str) -> None:
        """Remove what was used longest ago until `size` more bytes stay within the limit."""
        kept = [entry for entry in self.entries() if entry.path.name != but]
        total = size + sum(entry.bytes for entry in kept)
        for entry in reversed(kept):
            if total <= self.limit:
                break
            _remove([entry.path])
            total -= entry.bytes
        _remove(self._abandoned())

    def _abandoned(self) -> list[Path]:
        """Return what processes that were killed have left half-written."""
        return [path for path in self._files(_HALF_WRITTEN) if _last_used(path) < time.time() - _ABANDONED]

    def _files(self, name: re.Pattern[str]) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if name.fullmatch(path.name)]
        except OSError:
            return []


def default_cache() -> PackedCache:
    """Return the cache in `packed/` of gpt2lab's cache folder, bounded by $GPT2LAB_CACHE_LIMIT.

    Raises `ConfigError` where that variable is not a size.
    """
    return PackedCache(cache_folder() / "packed", size_limit(os.environ.get(LIMIT_VARIABLE, "")))


def size_limit(text: str) -> int:
    """Return a number of bytes written as "8GB", "500 MB" or "0"; "" is the default."""
    if not text.strip():
        return DEFAULT_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(|k|M|G|T)B?\s*", text)
    if found is None:
        raise ConfigError(f"{LIMIT_VARIABLE}={text} is not a size; write for example 8GB, 500MB, or 0 to keep nothing.")
    return int(float(found[1]) * 1000 ** ("", "k", "M", "G", "T").index(found[2]))


def _header_of(wanted: Wanted, payload: Octets, source: str) -> dict[str, Any]:
    sample = sampled(payload.nbytes, lambda start, count: payload[start : start + count].tobytes())
    return {
        **asdict(wanted),
        "byte_order": sys.byteorder,
        "bytes": payload.nbytes,
        "sample": sample.hex(),
        "source": source[:300],
    }


def _header_bytes(header: dict[str, Any]) -> bytes:
    text = _MAGIC + json.dumps(header).encode() + b"\n"
    assert len(text) <= HEADER_BYTES
    return text.ljust(HEADER_BYTES, b"\0")


def _header(data: bytes) -> dict[str, Any] | None:
    """Parse a header; None where it is not one."""
    if not data.startswith(_MAGIC):
        return None
    try:
        header = json.loads(data[len(_MAGIC) :].partition(b"\n")[0])
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _entry(path: Path) -> Entry | None:
    """Describe a file of packed weights, of whatever version; None where it has gone or was not written here."""
    try:
        with path.open("rb") as f:
            data = f.read(HEADER_BYTES)
        stat = path.stat()
    except OSError:
        return None
    if not data.startswith(_KIND):
        return None
    header = _header(data) or {}
    source, precision, packing = (str(header.get(key, "")) for key in ("source", "precision", "packing"))
    return Entry(path, source, precision, packing, stat.st_size, stat.st_mtime)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # another process was first, or may not
            path.unlink()


def _check_space(folder: Path, size: int) -> None:
    import errno
    import shutil

    if shutil.disk_usage(folder).free < size + _SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
