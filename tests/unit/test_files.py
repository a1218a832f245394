"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from gpt2lab.errors import DataError
from gpt2lab.files import atomic_folder, atomic_write, cache_folder, read_json, sha256_of, write_json


def test_a_file_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("first", "second\r\n第二"):
        with atomic_write(path, "w", fsync=True) as f:
            f.write(text)
            assert not path.exists() or path.read_text(encoding="utf-8") != text
        assert path.read_bytes() == text.encode()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as f:
        f.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_finds_no_room_says_of_what(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_target_never_the_temporary_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught, atomic_write(tmp_path / "folder"):
        pass
    assert caught.value.filename == str(tmp_path / "folder")
    with pytest.raises(FileNotFoundError) as caught_inside, atomic_folder(tmp_path / "model") as folder:
        (folder / "part" / "a").write_text("")
    assert caught_inside.value.filename == str(tmp_path / "model" / "part" / "a")
    with pytest.raises(FileNotFoundError) as elsewhere, atomic_write(tmp_path / "a"):
        (tmp_path / "input").read_text()
    assert elsewhere.value.filename == str(tmp_path / "input")
    for writing in (atomic_write, atomic_folder):
        name = "n" * 250  # the temporary name beside it is longer than a file's may be
        with pytest.raises(OSError, match="too long") as too_long, writing(tmp_path / name):
            pass
        assert too_long.value.filename == str(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_an_error_that_is_only_a_text_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="12 requested and 0 written"), atomic_write(tmp_path / "a"):
        raise OSError("12 requested and 0 written")


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "f", "w") as f:
            f.write("x")
        with atomic_folder(tmp_path / "d") as folder:
            (folder / "g").write_text("x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    refused = pytest.raises(DataError, match="model exists already; choose another name, remove it, or ask for it")
    with refused, atomic_folder(target):
        pass
    with atomic_folder(target, overwrite=True) as folder:
        (folder / "b").write_text("2")
        assert (target / "a").exists()
    assert [p.name for p in target.iterdir()] == ["b"]
    with pytest.raises(ZeroDivisionError), atomic_folder(target, overwrite=True) as folder:
        (folder / "c").write_text("3")
        _ = 1 / 0
    assert [p.name for p in target.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [target]


def test_json_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    write_json(path, {"größe": [1, None, "字"]})
    assert read_json(path) == {"größe": [1, None, "字"]}
    assert "字" in path.read_text(encoding="utf-8")
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text("{'a': 1}")
    with pytest.raises(DataError, match=r"v\.json is not valid JSON: .*line 1"):
        read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not valid JSON"):
        read_json(path)
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "none.json")


def test_half_a_pair_of_surrogates_survives(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"a": "x\ud800字"})
    assert read_json(tmp_path / "v.json") == {"a": "x\ud800字"}


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GPT2LAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/gpt2lab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "gpt2lab"
