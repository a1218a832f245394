"""The terminal's edges: text in, text out, notes on stderr, files that are whole or absent.

Results go to stdout and nothing else does. Text is UTF-8 wherever we choose; a stdout of another encoding gets "?" for
what it cannot show.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from gpt2lab.errors import DataError
from gpt2lab.files import atomic_write

STDIN = "-"


def prepare_streams() -> None:
    """Make stdout and stderr take every character, and stand in for streams that the caller closed."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it serves until the process ends
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def abandon_output() -> None:
    """Give up on stdout, so that the interpreter's last flush does not complain about a reader that has gone."""
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def say(text: str) -> None:
    """Write a line to stderr; nobody may be there to read it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def note(text: str) -> None:
    """Write a line to stderr that is no error."""
    say(f"note: {text}")


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Show a warning of the library as a note (the signature is `warnings.showwarning`'s)."""
    note(str(message))


def write(text: str) -> None:
    """Write to stdout now, as streamed text must."""
    sys.stdout.write(text)
    sys.stdout.flush()


def stdin_is_piped() -> bool:
    """Tell whether stdin is a pipe or a file; a terminal, /dev/null or nothing at all has no text to give."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def read_text(source: str) -> str:
    """Return the text of a file, or of stdin for "-", byte for byte. Raises `DataError` in one sentence."""
    data = read_bytes(source)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{named(source)} is not UTF-8 text: {error.reason} at byte {error.start}.") from None


def named(source: str) -> str:
    """Return what a file, or stdin for "-", is called at the beginning of a sentence."""
    return "Standard input" if source == STDIN else source


def read_bytes(source: str) -> bytes:
    """Return the bytes of a file, or of stdin for "-". Raises `DataError` where there is nothing to read."""
    if source == STDIN:
        if sys.stdin is None or sys.stdin.closed:
            raise DataError("Standard input is closed; there is nothing to read.")
        return sys.stdin.buffer.read()
    return Path(source).expanduser().read_bytes()


def is_piped(source: str) -> bool:
    """Tell whether a file can be read only once: stdin, "-", or a pipe, as a shell's <(…) is one."""
    return source == STDIN or Path(source).expanduser().is_fifo()


@contextlib.contextmanager
def as_files(inputs: Sequence[str], name: str) -> Iterator[list[str]]:
    """Yield inputs as files that can be read again and again: stdin, "-", and pipes are laid down in temporary ones.

    `name` tells what stdin holds, and a pipe whose own name does not say it; in what is said of them, they are what was
    given all the same.
    """
    piped = list(dict.fromkeys(one for one in inputs if is_piped(one)))
    if not piped:
        yield list(inputs)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gpt2lab-") as folder:
        laid: dict[str, str] = {}
        for number, one in enumerate(piped):
            own = Path(one).name if Path(one).suffix else f"pipe{Path(name).suffix}"
            (place := Path(folder) / str(number)).mkdir()
            laid[one] = str(lay_down(one, place / (name if one == STDIN else own)))
        try:
            yield [laid.get(one, one) for one in inputs]
        except DataError as error:
            raise as_given(error, laid) from None


def as_given(error: DataError, laid: Mapping[str, str]) -> DataError:
    """Return an error that speaks of what was given, not of the files in which it was laid down."""
    told = str(error)
    for one, path in laid.items():
        told = told.replace(path, named(one))
    return DataError(told)


def lay_down(source: str, path: Path) -> Path:
    """Write what comes from stdin, "-", or a pipe into a file, and return the file."""
    import shutil

    if source == STDIN and (sys.stdin is None or sys.stdin.closed):
        raise DataError("Standard input is closed; there is nothing to read.")
    with path.open("wb") as f, contextlib.ExitStack() as stack:
        given = sys.stdin.buffer if source == STDIN else stack.enter_context(Path(source).expanduser().open("rb"))
        shutil.copyfileobj(given, f, 1 << 20)
    return path


def check_output(*paths: str | None) -> None:
    """Raise `OSError` for a file that `open_output` could not write, before hours go into what it is to hold."""
    import tempfile

    for path in paths:
        if path is None or path == STDIN:
            continue
        target = Path(path).expanduser()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(target))
        if not target.parent.is_dir():  # a mistyped folder is a mistake, not a wish
            missing = errno.ENOTDIR if target.parent.exists() else errno.ENOENT
            raise OSError(missing, "No such folder", str(target.parent))
        if target.exists() and not target.is_file():
            continue
        try:
            tempfile.TemporaryFile(dir=target.parent).close()  # only trying tells whether a folder takes files
        except OSError as error:
            error.filename = str(target)
            raise


@contextlib.contextmanager
def open_output(path: str | None, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open what results are written to: stdout for None or "-", else a file that is written whole or not at all."""
    binary = mode == "wb"
    if path is None or path == STDIN:
        sys.stdout.flush()
        yield sys.stdout.buffer if binary else sys.stdout
        return
    check_output(path)
    target = Path(path).expanduser()
    if target.exists() and not target.is_file():  # a device or a pipe is written to, never replaced
        with target.open(mode, encoding=None if binary else "utf-8", newline=None if binary else "") as f:
            yield f
        return
    with atomic_write(target, mode) as f:
        yield f


def to_json(value: Any, *, indent: int | None = None, for_stdout: bool = True) -> str:
    """Return `value` as JSON: UTF-8, but ASCII where it is for a stdout that could not carry every character."""
    encoding = (sys.stdout.encoding or "utf-8") if for_stdout else "utf-8"
    plain = encoding.lower().replace("-", "").replace("_", "") != "utf8"
    return json.dumps(value, ensure_ascii=plain, indent=indent, allow_nan=False)


def quoted(text: str) -> str:
    """Return a token for display: in quotes, blanks and line breaks visible."""
    return json.dumps(text, ensure_ascii=False)


def aligned(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return rows of cells as lines with columns of even width; the columns `right` are set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def size(count: float) -> str:
    """Return a number of bytes for people: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
