"""What inputs name: files, folders, patterns; and what a manifest says of them."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2lab.data.sources import KINDS, digests, find_sources, kind_of, open_source
from gpt2lab.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2.txt", "b/10.txt", "a.jsonl.gz", "z.TXT", "photo.jpg", ".hidden.txt", ".git/x.txt", "b/c/deep.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def test_a_folder_is_its_files_in_order(tree: Path) -> None:
    sources, passed_over = find_sources([tree])
    assert [s.name for s in sources] == ["a.jsonl.gz", "z.TXT", "b/10.txt", "b/2.txt", "b/c/deep.md"]
    assert [s.kind for s in sources] == ["jsonl", "text", "text", "text", "text"]
    assert passed_over == 1


def test_a_pattern_is_what_it_matches(tree: Path) -> None:
    sources, passed_over = find_sources([str(tree / "**" / "*.txt")])
    assert [s.path for s in sources] == [tree / "b" / "10.txt", tree / "b" / "2.txt"]
    assert passed_over == 0


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "what[1].txt").write_text("x", encoding="utf-8")
    assert [s.name for s in find_sources([tmp_path / "what[1].txt"])[0]] == ["what[1].txt"]


@pytest.mark.parametrize(("ending", "kind"), KINDS.items())
def test_kinds_are_told_by_the_name(ending: str, kind: str) -> None:
    assert (
        kind_of(Path(f"a.b{ending}")) == kind_of(Path(f"a{ending.upper()}")) == kind_of(Path(f"a{ending}.gz")) == kind
    )
    assert kind_of(Path("txt")) is kind_of(Path("a.gz")) is kind_of(Path("a.doc")) is None


def test_a_compressed_file_is_expected_to_hold_more(tree: Path) -> None:
    packed, plain = (next(s for s in find_sources([tree])[0] if s.name == n) for n in ("a.jsonl.gz", "z.TXT"))
    assert packed.expected_bytes == 4 * packed.size
    assert plain.expected_bytes == plain.size == 5


def test_what_is_wrong_with_an_input_is_one_sentence(tree: Path) -> None:
    (tree / "empty").mkdir()
    for inputs, message in (
        ([], "There is nothing to prepare: give at least one file"),
        ([tree / "nowhere.txt"], r"nowhere\.txt does not exist"),
        ([str(tree / "*.nothing")], r"No file matches .*\*\.nothing"),
        ([tree / "photo.jpg"], r"photo\.jpg is not one of the kinds that can be read: \.txt, .*, each also with \.gz"),
        ([tree / "empty"], "empty holds no file that can be read"),
        ([tree / "z.TXT", tree], r"z\.TXT is named twice: by .*z\.TXT and by "),
    ):
        with pytest.raises(DataError, match=message):
            find_sources(inputs)


def test_the_manifest_names_files_and_folders(tree: Path) -> None:
    sources, _ = find_sources([tree / "z.TXT", tree / "b", str(tree / "*.gz")])
    entries, listing = digests(sources)
    sha = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("z.TXT", "b/10.txt", "b/2.txt", "b/c/deep.md")}
    folder = f"{sha['b/10.txt']}  10.txt\n{sha['b/2.txt']}  2.txt\n{sha['b/c/deep.md']}  c/deep.md\n"
    assert entries["z.TXT"] == sha["z.TXT"]
    assert entries["b/"] == hashlib.sha256(folder.encode()).hexdigest()
    assert set(entries) == {"z.TXT", "b/", "*.gz"}
    assert listing.startswith(f"{sha['z.TXT']}  z.TXT\n{folder}")
    assert listing.count("\n") == 5


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder, encoding="utf-8")
    paths = [tmp_path / "one" / "a.txt", tmp_path / "two" / "a.txt"]
    assert set(digests(find_sources(paths)[0])[0]) == {"a.txt", str(paths[1])}


@pytest.mark.skipif(os.name != "posix", reason="this system has no named pipes")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_like_a_file(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(pack(b"one\ntwo\n"),))
    writer.start()
    with open_source(tmp_path / "pipe") as lines:
        assert list(lines) == [b"one\n", b"two\n"]
    writer.join()
