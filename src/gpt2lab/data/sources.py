"""From what a user names to files: globs and folders spread out, kinds told apart, compression taken away.

Knows bytes, not documents. What a file holds is told by its name, how it is compressed by its first bytes.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from gpt2lab.errors import DataError, MissingExtraError
from gpt2lab.files import sha256_of

Kind = Literal["text", "jsonl", "json", "csv", "tsv", "parquet", "html", "warc", "npz"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".warc": "warc",
    ".npz": "npz",
}
"""The endings of the files that can be read and what they hold; each may be followed by one of COMPRESSIONS."""

COMPRESSIONS = (".gz", ".xz", ".zst", ".bz2")

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"BZh", "bzip2"),
)
_EXPANSION = 4  # bytes of text that a byte of a compressed file gives, about


@dataclass(frozen=True, slots=True)
class Source:
    """One file: where it is, the input that named it, its name below that input, what it holds, its size in bytes."""

    path: Path
    given: str
    name: str
    kind: Kind
    size: int

    @property
    def expected_bytes(self) -> int:
        """The bytes of text it may give, a guess from its name and size."""
        packed = self.path.suffix.lower() in COMPRESSIONS or self.kind in ("parquet", "npz")
        return self.size * (_EXPANSION if packed else 1)


def find_sources(inputs: Sequence[str | Path], *, kind: Kind | None = None) -> tuple[list[Source], int]:
    """Return the files that `inputs` name, in a fixed order, and how many of other kinds folders held beside them.

    A folder stands for every file of a known kind in it and below, without hidden ones; a pattern for what it matches.
    With `kind` every file is of that kind, whatever its name. Raises `DataError` for what is missing, of an unknown
    kind, or named twice.
    """
    if not inputs:
        raise DataError("There is nothing to prepare: give at least one file.")
    found: list[Source] = []
    passed_over = 0
    for given in map(str, inputs):
        path = Path(given).expanduser()
        if path.is_dir():
            files = [p for p in _below(path) if kind or kind_of(p)]
            passed_over += sum(1 for _ in _below(path)) - len(files)
            if not files:
                raise DataError(f"{given} holds no file that can be read: {_known()}.")
            found += [_source(p, given, p.relative_to(path).as_posix(), kind) for p in files]
        elif not path.exists() and glob.has_magic(given):
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            matches = sorted(Path(name) for name in names if Path(name).is_file())
            if not matches:
                raise DataError(f"No file matches {given}.")
            found += [_source(p, given, p.as_posix(), kind) for p in matches]
        else:
            found.append(_source(path, given, path.name, kind))
    _refuse_twice(found)
    return found, passed_over


def kind_of(path: Path) -> Kind | None:
    """Return what a file holds by its name, or None where the name says nothing."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return KINDS.get(suffixes[-1]) if suffixes else None


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading, decompressed if it is compressed; whatever is wrong with it is a `DataError`."""
    with errors_of(path), contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if not raw.seekable():  # a pipe, as a shell's <(…) is one
            raw = io.BufferedReader(io.BytesIO(raw.read()))
        _refuse_unpacked(path, raw)
        yield stack.enter_context(_decompressed(raw))


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Turn what reading a broken file raises into a `DataError` that names it."""
    import lzma

    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; a file is needed.") from None
    except (lzma.LZMAError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole compressed file: {error}.") from None
    except OSError as error:  # gzip and bz2 say what is wrong by this; a failing disk has a number
        if error.errno is not None:
            raise
        raise DataError(f"{path} is not a whole compressed file: {error}.") from None


def digests(sources: Sequence[Source]) -> tuple[dict[str, str], str]:
    """Return what a manifest says of the inputs, and the list of all files as sha256sum writes it.

    A file has its own SHA-256; a folder or pattern that of the lines of its files.
    """
    lines: dict[str, list[str]] = {}
    entries: dict[str, str] = {}
    for source in sources:
        digest = sha256_of(source.path)
        lines.setdefault(source.given, []).append(f"{digest}  {source.name}\n")
        if source.path == Path(source.given).expanduser():
            entries[_label(source.given, entries)] = digest
            continue
    for given, files in lines.items():
        path = Path(given).expanduser()
        if path.is_dir() or (not path.exists() and glob.has_magic(given)):
            entries[_label(given, entries) + ("/" if path.is_dir() else "")] = hashlib.sha256(
                "".join(files).encode()
            ).hexdigest()
    return entries, "".join(line for files in lines.values() for line in files)


def _label(given: str, taken: dict[str, str]) -> str:
    name = Path(given).name or given
    return given if name in taken else name


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(parent) / f for f in sorted(files) if not f.startswith("."))


def _source(path: Path, given: str, name: str, kind: Kind | None) -> Source:
    if not path.exists():
        raise DataError(f"{given} does not exist.")
    kind = kind or kind_of(path)
    if kind is None:
        raise DataError(
            f"{given} is not one of the kinds that can be read: {_known()}. "
            "If it holds one of them under another name, say so with kind."
        )
    return Source(path, given, name, kind, path.stat().st_size)


def _refuse_twice(sources: Sequence[Source]) -> None:
    seen: dict[Path, str] = {}
    for source in sources:
        path = source.path.resolve()
        if path in seen:
            raise DataError(f"{source.path} is named twice: by {seen[path]} and by {source.given}.")
        seen[path] = source.given


def _known() -> str:
    return f"{', '.join(KINDS)}, each also with {', '.join(COMPRESSIONS)}"


def _refuse_unpacked(path: Path, raw: IO[bytes]) -> None:
    head = raw.read(6)
    raw.seek(0)
    if head and path.suffix.lower() in COMPRESSIONS and not any(head.startswith(magic) for magic, _ in _MAGIC):
        raise DataError(f"{path} is not a whole compressed file: it begins as none does.")


def _decompressed(raw: IO[bytes]) -> Any:
    """Return the stream of a file's content, by its first bytes."""
    head = raw.read(6)
    raw.seek(0)
    packing = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    if packing == "gzip":
        import gzip

        return gzip.open(raw)
    if packing == "xz":
        import lzma

        return lzma.open(raw)
    if packing == "bzip2":
        import bz2

        return bz2.open(raw)
    if packing == "zst":
        return io.BufferedReader(_zstd(raw), 1 << 20)
    return contextlib.nullcontext(raw)


def _zstd(raw: IO[bytes]) -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("Reading .zst files", "corpus") from None
    return _Zstd(raw, zstandard.ZstdDecompressor(max_window_size=1 << 31), zstandard.ZstdError)


class _Zstd(io.RawIOBase):
    """A file of zstandard frames, decompressed; unlike the library's own reader it notices one that is cut short."""

    def __init__(self, raw: IO[bytes], decompressor: Any, error: type[Exception]) -> None:
        self._raw, self._decompressor, self._error = raw, decompressor, error
        self._frame = decompressor.decompressobj()
        self._begun = False
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = self._decompressor.decompressobj(), False
            data = rest or self._raw.read(1 << 17)
            if not data:
                if self._begun:
                    raise EOFError("it ends within a frame")
                return 0
            self._begun = True
            try:
                self._waiting = memoryview(self._frame.decompress(data))
            except self._error as error:
                raise EOFError(str(error)) from None
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count
