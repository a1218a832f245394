"""One file over HTTP: resumed after a break, checked against the announced size, and whole or absent under its name.

Knows nothing of models. What has arrived stays beside the target as `NAME.TAG.part` and is resumed by the next attempt,
where TAG comes from what the server says of the file's version.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.errors import DownloadError
from gpt2lab.files import sha256_of

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server: its size in bytes, and its version (ETag or date) as the server gives it."""

    url: str
    size: int
    version: str

    def part_of(self, target: Path) -> Path:
        """Return where the beginning of this very version of the file is kept."""
        tag = hashlib.sha256(f"{self.url} {self.version} {self.size}".encode()).hexdigest()[:12]
        return target.with_name(f"{target.name}.{tag}.part")


def ask(url: str, *, timeout: float = 30) -> Remote:
    """Ask the server about a file without fetching it; `DownloadError` when it is not there or there is no network."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            size = answer.headers.get("Content-Length")
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _explained(url, error) from None
    if size is None or not size.isdigit():
        raise DownloadError(f"{url} does not announce its size, so it is not the file that is wanted.")
    return Remote(url, int(size), version)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer, how many fruitless attempts in a row to make, and the pause after the first.

    Times are in seconds; the pause doubles with each further attempt.
    """

    timeout: float = 30
    attempts: int = 5
    pause: float = 1


def fetch(
    remote: Remote,
    target: Path,
    *,
    report: Callable[[int], None],
    sha256: str | None = None,
    patience: Patience | None = None,
) -> Path:
    """Fetch `remote` to `target`; `report` is called with the number of further bytes that are there.

    After a break it goes on where it stopped. When `patience` is at its end, a `DownloadError` says so, and what has
    arrived is kept for the next call. So does a wrong size or SHA-256, after which nothing is kept.
    """
    patience = patience or Patience()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = remote.part_of(target)
    there = part.stat().st_size if part.is_file() else 0
    if there > remote.size:
        part.unlink()
        there = 0
    report(there)
    fruitless = 0
    while there < remote.size:
        before = there
        try:
            there = _continue(remote, part, there, report, patience.timeout)
            error: Exception = EOFError("the connection was closed early")
        except (OSError, http.client.HTTPException) as problem:
            _raise_if_final(remote, target, problem)
            error = problem
            there = part.stat().st_size if part.is_file() else 0
        fruitless = 0 if there > before else fruitless + 1
        if there < remote.size:
            if fruitless >= patience.attempts:
                raise _explained(
                    remote.url, error, f" after {there:,} of {remote.size:,} bytes (kept for the next try)"
                )
            time.sleep(patience.pause * 2 ** min(fruitless, 5) if fruitless else 0)
    if there == 0:
        part.touch()
    _check(remote, part, sha256)
    part.replace(target)
    return target


def _continue(remote: Remote, part: Path, there: int, report: Callable[[int], None], timeout: float) -> int:
    """Append what the server sends from byte `there` on, and return how many bytes are there now."""
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={there}-"} if there else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer, part.open("ab") as f:
        if there and answer.status != 206:  # the server starts again from the beginning
            f.truncate(0)
            report(-there)
            there = 0
        while there <= remote.size and (piece := answer.read(_PIECE)):
            f.write(piece)
            there += len(piece)
            report(len(piece))
    return there


def _check(remote: Remote, part: Path, sha256: str | None) -> None:
    size = part.stat().st_size
    if size != remote.size:
        part.unlink()
        raise DownloadError(
            f"{remote.url} sent {size:,} bytes or more where {remote.size:,} were announced; try again."
        )
    if sha256 is not None and sha256_of(part) != sha256:
        part.unlink()
        raise DownloadError(f"{remote.url} is not the file that was published: its SHA-256 differs from {sha256}.")


def _raise_if_final(remote: Remote, target: Path, error: Exception) -> None:
    """Raise at once for what another attempt cannot mend: the server's refusal, a full disk, a folder not writable."""
    if isinstance(error, urllib.error.HTTPError) and error.code < 500:
        raise _explained(remote.url, error) from None
    if isinstance(error, OSError) and (space := no_space(error)):
        raise DownloadError(f"{target.parent} {space}; {remote.size:,} bytes are needed for {target.name}.") from None
    if isinstance(error, PermissionError):
        raise DownloadError(f"{target.parent} cannot be written to.") from None


def no_space(error: OSError) -> str | None:
    """Return words for a full disk when that is what `error` says."""
    import errno

    return "is on a disk that is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None


def check_space(folder: Path, needed: int) -> None:
    """Raise a `DownloadError` unless the disk of `folder` (which may not exist yet) has `needed` bytes free."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DownloadError(f"{folder} is on a disk with {free:,} bytes free; {needed:,} are needed.")


def _explained(url: str, error: Exception, where: str = "") -> DownloadError:
    """Return the sentence for a failed request."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (404, 410):
            return DownloadError(f"{url} does not exist ({error.code}).")
        return DownloadError(f"{url} was refused by the server ({error.code} {error.reason}){where}.")
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return DownloadError(f"{url} did not answer in time{where}; try again.")
    if isinstance(error, (urllib.error.URLError, ConnectionError)):
        return DownloadError(f"{url} cannot be reached{where}: no network, or the server is down ({reason}).")
    if isinstance(error, ValueError):
        return DownloadError(f"{url!r} is not a web address ({error}).")
    return DownloadError(f"{url} broke off{where}: {reason or type(reason).__name__}; try again.")
