"""Token ids as gpt-2-simple and nshepperd's gpt-2 keep them: a compressed `.npz` with one array for each piece of text.

Knows ids, not the vocabulary they belong to: the file does not say which made it, so whoever reads it must know.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.data.batches import TokenStream
from gpt2lab.errors import DataError
from gpt2lab.files import atomic_write

_BLOCK = 1 << 22  # ids read at once


def write_npz(path: str | Path, texts: Iterable[npt.ArrayLike]) -> int:
    """Write the ids of every text as one array and return how many ids there are; whole or not at all.

    The arrays are named and typed as `numpy.savez_compressed(path, *arrays)` does it with lists of ids, and are written
    one by one: memory holds one.
    """
    count = 0
    with atomic_write(path) as f, zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, ids in enumerate(texts):
            array = np.ascontiguousarray(ids, dtype=np.int64)
            if array.ndim != 1:
                raise DataError(f"Text {number + 1} is not a list of token ids but has {array.ndim} dimensions.")
            entry = zipfile.ZipInfo(f"arr_{number}.npy")  # with a fixed date: the same ids give the same file
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
            count += len(array)
    return count


def read_npz(path: str | Path) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the arrays of ids in the file's order, one at a time. Raises `DataError` for anything else in it."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} is not a .npz file.")
        with archive:
            for name in archive.files:
                yield _checked(archive[name], name, path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not a whole .npz file of token ids: {error}.") from None


def _checked(array: Any, name: str, path: str | Path) -> npt.NDArray[np.int64]:
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise DataError(
            f"{path}: array {name!r} is not a list of token ids but {array.dtype} of {array.ndim} dimensions."
        )
    if array.size and (array.min() < 0 or array.max() > 2**31):
        raise DataError(f"{path}: array {name!r} holds numbers that are no token ids.")
    ids: npt.NDArray[np.int64] = array.astype(np.int64)
    return ids


def documents_of(stream: TokenStream, end: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the documents of a stream of ids, each without the `end` that closes it; memory holds a block and one."""
    rest = np.empty(0, np.int64)
    for start in range(0, len(stream), _BLOCK):
        ids = np.concatenate([rest, stream.read(start, min(_BLOCK, len(stream) - start))])
        *whole, rest = np.split(ids, np.flatnonzero(ids == end) + 1)
        yield from (document[:-1] for document in whole)
    if len(rest):
        yield rest
