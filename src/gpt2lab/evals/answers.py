"""What a model has answered, kept on the disk: an evaluation that was stopped goes on where it was.

One SQLite file for every model and precision, as `Backend.fingerprint` tells them apart; in it the answers by a digest
of the question's tokens, so that two tasks or presets that ask the same share them. Answers of another build of the
engine are not taken. SQLite's transactions make every answer whole or absent, also when the process is killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

from gpt2lab.errors import DataError
from gpt2lab.files import cache_folder

Key = bytes


def default_folder() -> Path:
    """Return where answers are kept when nothing else is said: evals in gpt2lab's cache."""
    return cache_folder() / "evals"


def key_of(*parts: bytes) -> Key:
    """Return the key of a question that consists of `parts`."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


class AnswerStore:
    """The answers of the model called `fingerprint`, in `folder`/FINGERPRINT.sqlite; a context manager.

    Raises `DataError` where the file is not such a store or cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.path = folder / f"{fingerprint}-{_engine()}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self.path, timeout=60)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer BLOB) WITHOUT ROWID")
            self._file.commit()
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> DataError:
        return DataError(f"{self.path} cannot keep answers ({error}); remove it, or evaluate without keeping them.")

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def get(self, keys: Iterable[Key]) -> Mapping[Key, bytes]:
        """Return the answers that are known, by key."""
        found: dict[Key, bytes] = {}
        wanted = list(dict.fromkeys(keys))
        try:
            for i in range(0, len(wanted), 500):  # SQLite bounds the number of parameters
                part = wanted[i : i + 500]
                marks = ",".join("?" * len(part))
                found.update(self._file.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part))
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

    def put(self, answers: Sequence[tuple[Key, bytes]]) -> None:
        """Keep answers, all of them or none."""
        try:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", answers)
        except sqlite3.Error as error:
            raise self._refused(error) from None


def _engine() -> str:
    """Return a digest of the native code, whose every build may round otherwise."""
    import gpt2lab._native as native

    return blake2b(Path(str(native.__file__)).read_bytes(), digest_size=4).hexdigest()
