"""Token ids as gpt-2-simple keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab.data.npz import documents_of, read_npz, write_npz
from gpt2lab.data.shards import Shards
from gpt2lab.errors import DataError


def test_what_is_written_is_read_by_numpy_and_by_us(tmp_path: Path) -> None:
    texts = [[1, 2, 50256], [], list(range(1000))]
    assert write_npz(tmp_path / "a.npz", texts) == 1003
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive.files == ["arr_0", "arr_1", "arr_2"]
        assert [archive[name].tolist() for name in archive.files] == texts
        assert {archive[name].dtype for name in archive.files} == {np.dtype(np.int64)}
    assert [ids.tolist() for ids in read_npz(tmp_path / "a.npz")] == texts


def test_the_same_ids_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, [[1, 2, 3]])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_what_gpt_2_simple_writes_is_read(tmp_path: Path) -> None:
    chunks = [np.stack([5, 6, 7]), np.stack([8])]  # its load_dataset makes arrays by stacking ids
    np.savez_compressed(tmp_path / "theirs.npz", *chunks)
    np.savez(tmp_path / "small.npz", np.array([1, 2], np.uint16))
    assert [ids.tolist() for ids in read_npz(tmp_path / "theirs.npz")] == [[5, 6, 7], [8]]
    assert [ids.tolist() for ids in read_npz(tmp_path / "small.npz")] == [[1, 2]]


def test_documents_end_where_their_end_is() -> None:
    stream = Shards([np.array([1, 2, 0, 0, 3], np.uint16), np.array([4, 0, 5], np.uint16)])
    assert [d.tolist() for d in documents_of(stream, 0)] == [[1, 2], [], [3, 4], [5]]


def test_anything_else_is_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "square.npz", np.zeros((2, 2), np.int64))
    np.savez(tmp_path / "real.npz", np.zeros(2))
    np.savez(tmp_path / "negative.npz", np.array([-1]))
    np.savez(tmp_path / "objects.npz", np.array([None, {}], dtype=object))
    np.save(tmp_path / "array.npy", np.zeros(2))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    whole = (tmp_path / "square.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("square.npz", "array 'arr_0' is not a list of token ids but int64 of 2 dimensions"),
        ("real.npz", "array 'arr_0' is not a list of token ids but float64 of 1 dimensions"),
        ("negative.npz", "array 'arr_0' holds numbers that are no token ids"),
        ("objects.npz", r"objects\.npz is not a whole \.npz file of token ids"),
        ("array.npz", r"array\.npz is not a \.npz file"),
        ("half.npz", r"half\.npz is not a whole \.npz file of token ids"),
        ("nowhere.npz", r"nowhere\.npz does not exist"),
    ):
        with pytest.raises(DataError, match=message):
            list(read_npz(tmp_path / name))
    with pytest.raises(DataError, match="Text 1 is not a list of token ids but has 2 dimensions"):
        write_npz(tmp_path / "out.npz", [[[1]]])
    assert not (tmp_path / "out.npz").exists()
