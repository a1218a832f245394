"""Which bytes a model's weights are read from, told without reading them all at every start.

Two answers about the same files. `content` is a digest of every byte, so equal answers mean equal weights; it costs a
pass over the files. `signature` is a digest of each file's path, size, times of last change and inode, and of 64
stripes of its bytes; it costs a millisecond. Who has once seen a signature and the content together may trust the
signature alone afterwards: whatever writes to a file moves its time of change (which no program can set back), a file
put in its place has another inode, and the stripes notice a file system that keeps no such promise. A copied or touched
file has another signature and the same content. Knows no file format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

READING_VERSION = 1
"""To be raised whenever a reader of this package gives other numbers for the same bytes."""

_STRIPES, _STRIPE = 64, 4096
_PIECE = 16 << 20


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as `stat` described it."""

    path: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """Describe the file at `path`, links followed."""
        real = os.path.realpath(path)
        stat = Path(real).stat()
        return cls(real, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of one set of weights, as they were when `of` was called; to be made before any of them is opened."""

    files: tuple[FileState, ...]

    @classmethod
    def of(cls, paths: Iterable[str | Path]) -> Identity:
        """Describe files, in an order that is the same for the same weights. Raises `OSError`."""
        return cls(tuple(FileState.of(path) for path in paths))

    def unchanged(self) -> bool:
        """Tell whether the files are still the ones that were described, so that all that was read is theirs."""
        try:
            return all(FileState.of(file.path) == file for file in self.files)
        except OSError:
            return False

    def signature(self) -> str:
        """Return a digest of the descriptions and of stripes of the bytes, as 32 hexadecimal digits."""
        from hashlib import blake2b

        digest = blake2b(digest_size=16)
        for file in self.files:
            digest.update(repr((file, READING_VERSION)).encode())
            with Path(file.path).open("rb", buffering=0) as f:
                digest.update(sampled(file.size, _reader(f)))
        return digest.hexdigest()

    def content(self) -> str:
        """Return a digest of every byte, as 32 hexadecimal digits; uses several threads."""
        from concurrent.futures import ThreadPoolExecutor
        from hashlib import blake2b

        digest = blake2b(digest_size=16)
        digest.update(repr((READING_VERSION, [file.size for file in self.files])).encode())
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for piece in pool.map(_digest_of_piece, *zip(*_pieces(self.files), strict=True)):
                digest.update(piece)
        return digest.hexdigest()


def sampled(size: int, read: Callable[[int, int], bytes]) -> bytes:
    """Return a 16-byte digest of 64 stripes of `size` bytes, evenly spread from the first to the last.

    `read(start, count)` gives bytes. Where there are few, it is a digest of all of them.
    """
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    last = max(size - _STRIPE, 0)
    for start in sorted({last * i // (_STRIPES - 1) for i in range(_STRIPES)}):
        digest.update(read(start, min(_STRIPE, size - start)))
    return digest.digest()


def _reader(f: IO[bytes]) -> Callable[[int, int], bytes]:
    def read(start: int, count: int) -> bytes:
        f.seek(start)
        return f.read(count)

    return read


def _pieces(files: Sequence[FileState]) -> Iterator[tuple[str, int]]:
    for file in files:
        for start in range(0, max(file.size, 1), _PIECE):
            yield file.path, start


def _digest_of_piece(path: str, start: int) -> bytes:
    from hashlib import blake2b

    with Path(path).open("rb") as f:
        f.seek(start)
        return blake2b(f.read(_PIECE), digest_size=16).digest()
