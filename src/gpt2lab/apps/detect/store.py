"""Measurements of many texts in one file, so that a long reading can be interrupted and is done once.

A .npz file of the tokens' moments one text behind another. It belongs to one model, precision and way of reading: its
first array is their fingerprint. Knows readings, no detectors.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpt2lab.apps.detect.reading import Reader, Reading
from gpt2lab.engine.moments import Moments
from gpt2lab.errors import DataError
from gpt2lab.files import atomic_write

_COLUMNS = {
    "logprobs": np.float32,
    "ranks": np.int32,
    "entropies": np.float32,
    "highest": np.float32,
    "variances": np.float32,
}
_SECONDS = 60.0  # between two writes


class Store:
    """Readings by text; without a `path` they are kept in memory alone.

    Raises `DataError` for a file of another model or a damaged one.
    """

    def __init__(self, reader: Reader, path: str | Path | None = None) -> None:
        self.reader, self._path = reader, Path(path).expanduser() if path is not None else None
        self._kept: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
        self._mark = f"{reader.lm.backend.fingerprint()} layout={reader.layout}"
        if self._path is not None and self._path.exists():
            self._kept = dict(self._loaded(self._path))

    def read(
        self, texts: Iterable[str], progress: Callable[[int, int | None], None] | None = None
    ) -> Iterator[Reading]:
        """Yield the reading of each text, measuring those that are not known yet. `progress(done, total)`: tokens."""
        wanted = list(texts)
        missing = {text: len(text) for text in wanted if _key(text) not in self._kept}
        done, total, written = 0, sum(missing.values()), time.monotonic()
        for text in wanted:
            key = _key(text)
            if key not in self._kept:
                m = self.reader.read(text).moments
                self._kept[key] = {name: getattr(m, name) for name in _COLUMNS}
                done += len(text)
                if progress is not None:
                    progress(done, total)
                if time.monotonic() - written > _SECONDS:
                    self.save()
                    written = time.monotonic()
            yield self.reader.reread(text, _moments(self._kept[key]))
        if missing:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None or not self._kept:
            return
        arrays: dict[str, Any] = {name: np.concatenate([row[name] for row in self._kept.values()]) for name in _COLUMNS}
        lengths = np.asarray([len(row["ranks"]) for row in self._kept.values()], np.int64)
        with atomic_write(self._path) as f:
            about: dict[str, Any] = {"mark": np.asarray(self._mark), "keys": np.asarray(list(self._kept))}
            np.savez(f, lengths=lengths, **about, **arrays)

    def _loaded(self, path: Path) -> Iterator[tuple[str, dict[str, np.ndarray[Any, Any]]]]:
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in ("mark", "keys", "lengths", *_COLUMNS)}
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} holds no measurements, or is damaged ({error}); remove it or name another."
            ) from None
        if str(arrays["mark"]) != self._mark:
            raise DataError(f"{path} holds measurements of another model or precision; remove it or name another file.")
        ends = np.cumsum(arrays["lengths"])
        for key, end, length in zip(arrays["keys"].tolist(), ends.tolist(), arrays["lengths"].tolist(), strict=True):
            yield str(key), {name: arrays[name][end - length : end] for name in _COLUMNS}


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _moments(row: dict[str, np.ndarray[Any, Any]]) -> Moments:
    n = len(row["ranks"])
    return Moments(
        logprobs=row["logprobs"], ranks=row["ranks"], entropies=row["entropies"], highest=row["highest"],
        means=-row["entropies"], variances=row["variances"],
        top_ids=np.zeros((n, 0), np.int32), top_logprobs=np.zeros((n, 0), np.float32),
    )  # fmt: skip
