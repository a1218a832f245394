"""Files that are either whole or absent, and the folders where gpt2lab keeps its own.

Knows nothing of models. Every write goes to a temporary name beside its target and is renamed when complete, so that
a full disk, a crash or Ctrl-C leaves the old file or none. What only writing needs is imported by the first write.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gpt2lab.errors import DataError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb", *, fsync: bool = False) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` for writing ("wb" or "w", UTF-8) and rename it to `path` on success.

    Half a pair of surrogates, which JSON can hold and UTF-8 cannot, is written as JSON escapes it (\\ud800).
    With `fsync`, the bytes are on the disk before the rename. On any exception the temporary file is removed and
    `path` is left as it was.
    """
    import tempfile

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        error.filename = str(target)
        raise
    temporary = Path(name)
    try:
        encoding, errors, newline = (None, None, None) if "b" in mode else ("utf-8", "backslashreplace", "")
        with os.fdopen(descriptor, mode, encoding=encoding, errors=errors, newline=newline) as f:
            yield f
            f.flush()
            if fsync:
                os.fsync(f.fileno())
        _give_default_permissions(temporary)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _tell_target(error, temporary, target)
        raise


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` and rename it to `path` on success; it is removed on any exception.

    An existing `path` is an error unless `overwrite`; then it is replaced only after the new one is complete.
    """
    import shutil
    import tempfile

    target = Path(path)
    if target.exists() and not overwrite:
        raise DataError(f"{target} exists already; choose another name, remove it, or ask for it to be overwritten.")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        error.filename = str(target)
        raise
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        put_folder(temporary, target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _tell_target(error, temporary, target)
        raise


def _tell_target(error: BaseException, temporary: Path, target: Path) -> None:
    """Have an error of the system name what was being written: a full disk names nothing, others the temporary."""
    if not isinstance(error, OSError) or error.errno is None:  # a text alone, as NumPy raises it, would be lost
        return
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else target
    if named.is_relative_to(temporary):
        named = target / named.relative_to(temporary)
    error.filename = str(named)


def put_folder(complete: Path, target: Path) -> None:
    """Rename a folder that is complete to `target`, on the same disk; one that is there is replaced."""
    import shutil
    import tempfile

    if not target.exists():
        complete.replace(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    target.replace(old / target.name)
    complete.replace(target)
    shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _give_default_permissions(path: Path) -> None:
    path.chmod(0o666 & ~_umask())  # mkstemp makes files private; ours follow the umask like any other file


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as lower-case hexadecimal, read in pieces."""
    import hashlib

    digest = hashlib.sha256()
    with Path(path).open("rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text in UTF-8; a byte order mark is passed over.

    Whatever is wrong with the text is a `ValueError` that says so, also where Python's parser raises something else.
    """
    whole = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        return json.loads(whole.removeprefix("\ufeff"))
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:  # the interpreter's bound on the digits of a number
        raise ValueError("a number has too many digits") from None


def read_json(path: str | Path) -> Any:
    """Read a UTF-8 JSON file; a missing or malformed one is a `DataError` that names the file and the place."""
    try:
        return parse_json(Path(path).read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON with a final newline, whole or not at all."""
    with atomic_write(path, "w") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def cache_folder() -> Path:
    """Return where downloads and packed weights go: $GPT2LAB_CACHE, else ~/.cache/gpt2lab. It may not exist yet."""
    if given := os.environ.get("GPT2LAB_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gpt2lab"
