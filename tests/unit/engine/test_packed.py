"""Packed weights in files: found as they were stored, and whatever goes wrong, never found otherwise."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from gpt2lab.engine import packed
from gpt2lab.engine.packed import HEADER_BYTES, Octets, PackedCache, Wanted, default_cache, size_limit
from gpt2lab.errors import ConfigError

WANTED = Wanted(content="ab" * 16, shape="01234567", precision="int8", packing="1.1")
SIZE = 1_000_000


def weights(seed: int = 0, size: int = SIZE) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def numbered(i: int) -> Wanted:
    return replace(WANTED, content=f"{i:032x}")


@pytest.fixture
def cache(tmp_path: Path) -> PackedCache:
    return PackedCache(tmp_path / "cache" / "packed")


@pytest.fixture
def stored(cache: PackedCache) -> Path:
    """The file of `WANTED`."""
    cache.store(WANTED, weights(), "a model")
    return cache.folder / WANTED.name


# --- finding


def test_what_was_stored_is_found(cache: PackedCache) -> None:
    assert cache.find(WANTED) is None
    cache.store(WANTED, weights(), "a model")
    found = cache.find(WANTED)
    assert found is not None
    assert np.array_equal(found, weights())
    assert not found.flags.writeable
    assert found.flags.c_contiguous
    assert found.ctypes.data % 4096 == 0, "the weights begin on a page"
    assert [path.name for path in cache.folder.iterdir()] == [WANTED.name]


@pytest.mark.parametrize("field", ["content", "shape", "precision", "packing"])
def test_anything_else_that_is_wanted_is_not_there(field: str, cache: PackedCache, stored: Path) -> None:
    other = {"content": "cd" * 16, "shape": "76543210", "precision": "int4", "packing": "2.1"}[field]
    assert cache.find(replace(WANTED, **{field: other})) is None
    assert cache.find(WANTED) is not None


def test_another_layout_takes_the_place_of_the_old_one(cache: PackedCache, stored: Path) -> None:
    new = replace(WANTED, packing="2.1")
    cache.store(new, weights(1), "a model")
    found = cache.find(new)
    assert found is not None
    assert np.array_equal(found, weights(1))
    assert cache.find(WANTED) is None
    assert [entry.packing for entry in cache.entries()] == ["2.1"]


def cut(path: Path) -> None:
    os.truncate(path, HEADER_BYTES + SIZE - 1)


def cut_in_the_header(path: Path) -> None:
    os.truncate(path, 100)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def lengthened(path: Path) -> None:
    with path.open("ab") as f:
        f.write(b"\0")


def changed(at: int, data: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with path.open("r+b") as f:
            f.seek(at)
            f.write(data)

    return change


def zeroed(path: Path) -> None:
    changed(HEADER_BYTES, bytes(SIZE))(path)


def of_other_weights(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(WANTED.content.encode(), b"ef" * 16))


def other_byte_order(path: Path) -> None:
    native = json.dumps(sys.byteorder).encode()
    path.write_bytes(path.read_bytes().replace(native, {b'"little"': b'"biggie"', b'"big"': b'"lit"'}[native]))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut short": cut,
    "cut in the header": cut_in_the_header,
    "empty": emptied,
    "longer": lengthened,
    "another magic": changed(0, b"GPT2"),
    "a header that is no JSON": changed(30, b"}"),
    "a header that is no object": changed(len(packed._MAGIC), b"[]\n"),
    "the first byte of the weights": changed(HEADER_BYTES, bytes([weights()[0] ^ 1])),
    "the last byte of the weights": changed(HEADER_BYTES + SIZE - 1, bytes([weights()[-1] ^ 1])),
    "zeros, as a crashed disk leaves them": zeroed,
    "a header of other weights": of_other_weights,
    "another machine's byte order": other_byte_order,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_counts_as_absent_and_is_written_again(damage: str, cache: PackedCache, stored: Path) -> None:
    DAMAGE[damage](stored)
    assert cache.find(WANTED) is None
    cache.store(WANTED, weights(), "a model")
    found = cache.find(WANTED)
    assert found is not None
    assert np.array_equal(found, weights())


def test_weights_stay_readable_when_their_file_is_removed(cache: PackedCache, stored: Path) -> None:
    found = cache.find(WANTED)
    assert cache.clear() == HEADER_BYTES + SIZE
    assert found is not None
    assert np.array_equal(found, weights())


# --- bounds


def used_at(cache: PackedCache, wanted: Wanted, seconds: int) -> None:
    os.utime(cache.folder / wanted.name, (seconds, seconds))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = PackedCache(tmp_path, limit=3 * (HEADER_BYTES + SIZE))
    for i in range(3):
        cache.store(numbered(i), weights(i), f"model {i}")
        used_at(cache, numbered(i), 1000 + i)
    assert cache.find(numbered(0)) is not None, "which is a use"
    cache.store(numbered(3), weights(3), "model 3")
    assert {entry.source for entry in cache.entries()} == {"model 0", "model 2", "model 3"}
    used_at(cache, numbered(3), 10)
    cache.store(numbered(4), weights(4, 2 * SIZE), "model 4")
    assert {entry.source for entry in cache.entries()} == {"model 0", "model 4"}
    assert sum(entry.bytes for entry in cache.entries()) <= cache.limit


def test_writing_the_same_weights_again_costs_no_others(tmp_path: Path) -> None:
    cache = PackedCache(tmp_path, limit=2 * (HEADER_BYTES + SIZE))
    for i in (0, 1, 1, 1):
        cache.store(numbered(i), weights(i), f"model {i}")
    assert len(cache.entries()) == 2


def test_weights_beyond_the_limit_are_not_kept_and_cost_no_others(tmp_path: Path) -> None:
    cache = PackedCache(tmp_path, limit=HEADER_BYTES + SIZE)
    cache.store(numbered(0), weights(0), "model 0")
    cache.store(numbered(1), weights(1, SIZE + 1), "model 1")
    assert [entry.source for entry in cache.entries()] == ["model 0"]


def test_what_was_not_written_here_is_never_removed(tmp_path: Path) -> None:
    cache = PackedCache(tmp_path, limit=HEADER_BYTES + SIZE)
    foreign = ["notes.txt", numbered(7).name, "0" * 32, ".hidden.tmp", f"{numbered(8).name}.bak"]
    for name in foreign:
        (tmp_path / name).write_bytes(b"mine" * 1000)
        os.utime(tmp_path / name, (1, 1))
    for i in range(3):
        cache.store(numbered(i), weights(i), f"model {i}")
    cache.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(foreign)


@pytest.mark.parametrize("header", [b"gpt2lab packed weights 0\nof another form", b"gpt2lab packed weights 1\n{"])
def test_what_another_version_wrote_or_a_disk_has_damaged_goes_like_the_rest(header: bytes, tmp_path: Path) -> None:
    cache = PackedCache(tmp_path, limit=HEADER_BYTES + SIZE)
    path = tmp_path / numbered(7).name
    path.write_bytes(header)
    assert [(entry.source, entry.precision) for entry in cache.entries()] == [("", "")]
    assert cache.find(numbered(7)) is None
    cache.store(numbered(1), weights(), "a model")
    assert [entry.path.name for entry in cache.entries()] == [numbered(1).name]


def test_entries_tell_what_is_there_last_used_first(tmp_path: Path) -> None:
    cache = PackedCache(tmp_path / "none")
    assert cache.entries() == []
    assert cache.clear() == 0
    cache = PackedCache(tmp_path)
    for i, used in ((0, 1000), (1, 3000), (2, 2000)):
        cache.store(numbered(i), weights(i), "ü" * 1000 if i == 2 else f"model {i}")
        used_at(cache, numbered(i), used)
    one, two, three = cache.entries()
    assert (one.source, one.precision, one.packing, one.used) == ("model 1", "int8", "1.1", 3000)
    assert one.bytes == one.path.stat().st_size == HEADER_BYTES + SIZE
    assert two.source == "ü" * 300, "a long path is cut: the header is one page"
    assert three.source == "model 0"
    assert cache.clear() == 3 * (HEADER_BYTES + SIZE)
    assert cache.entries() == []


# --- disks that fail


def test_a_full_disk_is_a_note_and_no_error(cache: PackedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1_000_000_000))
    with pytest.warns(UserWarning, match=r"not be kept in .*packed \(No space left on device\), so the next start"):
        cache.store(WANTED, weights(), "a model")
    assert list(cache.folder.iterdir()) == []


def test_a_disk_that_fills_up_while_writing_leaves_nothing(cache: PackedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="GPT2LAB_CACHE_LIMIT=0 keeps none"):
        cache.store(WANTED, weights(), "a model")
    assert list(cache.folder.iterdir()) == []


def test_ctrl_c_while_writing_leaves_nothing(cache: PackedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.store(WANTED, weights(), "a model")
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_or_read_is_a_note_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = PackedCache(tmp_path / "file" / "packed")
    assert cache.find(WANTED) is None
    cache.remember("0" * 32, "1" * 32)
    assert cache.content_of("0" * 32) is None
    assert cache.entries() == []
    with pytest.warns(UserWarning, match=r"\(Not a directory\).*\$GPT2LAB_CACHE names another folder"):
        cache.store(WANTED, weights(), "a model")


def test_a_folder_that_can_only_be_read_still_serves(
    cache: PackedCache, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", read_only)
    monkeypatch.setattr(packed, "atomic_write", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    assert cache.find(WANTED) is not None
    cache.remember("0" * 32, "1" * 32)
    cache.clear()
    with pytest.warns(UserWarning, match="Read-only file system"):
        cache.store(numbered(1), weights(), "a model")
    assert cache.find(WANTED) is not None


def test_what_a_killed_process_leaves_is_never_found_and_removed_later(cache: PackedCache) -> None:
    code = (
        "import os, sys\n"
        "from gpt2lab.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as f:\n"
        "    f.write(b'gpt2lab packed weights 1\\n{')\n"
        "    f.flush()\n"
        "    os._exit(9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, cache.folder / WANTED.name], check=False, timeout=60)
    assert killed.returncode == 9
    (left,) = cache.folder.iterdir()
    assert cache.find(WANTED) is None
    assert cache.entries() == []
    cache.store(numbered(1), weights(), "a model")
    assert left.exists(), "it may be another process's that is still at work"
    os.utime(left, (1, 1))
    cache.store(numbered(2), weights(), "a model")
    assert not left.exists()


RACE = """
import sys
import numpy as np
from pathlib import Path
from gpt2lab.engine.packed import HEADER_BYTES, PackedCache, Wanted

wanted = [Wanted(content=f"{i:032x}", shape="01234567", precision="int8", packing="1") for i in range(3)]
made = [np.random.default_rng(i).integers(0, 256, 300_000, np.uint8) for i in range(3)]
cache = PackedCache(Path(sys.argv[1]), limit=2 * (HEADER_BYTES + 300_000))
hits = 0
for step in range(60):
    i = (step + int(sys.argv[2])) % 3
    found = cache.find(wanted[i])
    if found is None:
        cache.store(wanted[i], made[i], "a model")
    else:
        hits += 1
        assert np.array_equal(found, made[i]), "other weights than were wanted"
    if step % 20 == 19:
        cache.clear()
cache.store(wanted[0], made[0], "a model")
print(hits)
"""


def test_processes_that_pack_find_and_remove_at_once_never_see_half_a_file(tmp_path: Path) -> None:
    racing = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", RACE, tmp_path, str(i)], stdout=subprocess.PIPE)
        for i in range(3)
    ]
    for process in racing:
        process.communicate(timeout=120)
    assert [process.returncode for process in racing] == [0, 0, 0]
    cache = PackedCache(tmp_path)
    assert 1 <= len(cache.entries()) <= 2
    assert not list(tmp_path.glob(".*"))


# --- what a source contains


def test_a_signature_is_remembered(cache: PackedCache) -> None:
    assert cache.content_of("a" * 32) is None
    cache.remember("a" * 32, "b" * 32)
    assert cache.content_of("a" * 32) == "b" * 32
    cache.remember("a" * 32, "c" * 32)
    assert cache.content_of("a" * 32) == "c" * 32
    cache.clear()
    assert cache.content_of("a" * 32) is None


@pytest.mark.parametrize("data", [b"", b"b" * 31, b"../" * 10, "é".encode() * 16, b"b" * 33])
def test_a_damaged_note_counts_as_absent(data: bytes, cache: PackedCache) -> None:
    cache.remember("a" * 32, "b" * 32)
    (cache.folder / f"{'a' * 32}.seen").write_bytes(data)
    assert cache.content_of("a" * 32) is None


def test_the_oldest_notes_are_forgotten(cache: PackedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_MOST_SIGHTINGS", 3)
    for i in range(5):
        cache.remember(f"{i:032x}", "b" * 32)
        os.utime(cache.folder / f"{i:032x}.seen", (1000 + i, 1000 + i))
    assert [cache.content_of(f"{i:032x}") is not None for i in range(5)] == [False, False, True, True, True]


# --- settings


def test_the_folder_and_the_limit_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path))
    monkeypatch.delenv("GPT2LAB_CACHE_LIMIT", raising=False)
    assert (default_cache().folder, default_cache().limit) == (tmp_path / "packed", 8_000_000_000)
    monkeypatch.setenv("GPT2LAB_CACHE_LIMIT", "500MB")
    assert default_cache().limit == 500_000_000
    monkeypatch.setenv("GPT2LAB_CACHE_LIMIT", "a lot")
    with pytest.raises(ConfigError, match="_LIMIT=a lot is not a size; write for example 8GB, 500MB, or 0 to"):
        default_cache()


def test_a_limit_of_0_keeps_nothing(cache: PackedCache, stored: Path) -> None:
    none = PackedCache(cache.folder, limit=0)
    none.store(numbered(1), weights(), "a model")
    assert [path.name for path in cache.folder.iterdir()] == [WANTED.name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 8_000_000_000), ("0", 0), ("0 GB", 0), ("8GB", 8_000_000_000), (" 1.5 G ", 1_500_000_000), ("2kB", 2000),
     ("12345", 12345), ("1T", 10**12), ("3 B", 3)],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert size_limit(text) == expected


@pytest.mark.parametrize("text", ["-1", "8 gigabytes", "GB", "1e9", "8GiB", "1,5GB", "nan"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size"):
        size_limit(text)
