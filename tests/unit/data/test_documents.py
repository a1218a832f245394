"""Reading documents: the kinds of files, and one sentence for everything that can be wrong with them."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from gpt2lab.data.documents import Document, read_documents
from gpt2lab.errors import DataError


def test_every_kind_of_file_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain é\r\n", encoding="utf-8", newline="")
    lines = [{"text": "one", "author": "A"}, {"text": "  "}, {"text": "two", "title": "ignored"}]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    with lzma.open(tmp_path / "c.jsonl.xz", "wt", encoding="utf-8") as f:
        f.write(json.dumps({"text": "three", "author": None}) + "\n")
    with lzma.open(tmp_path / "d.txt.xz", "wt", encoding="utf-8") as f:
        f.write("four")
    paths = [tmp_path / name for name in ("d.txt.xz", "a.txt", "b.jsonl", "c.jsonl.xz")]
    assert list(read_documents(paths)) == [
        Document("four"),
        Document("plain é\r\n"),
        Document("one", "A"),
        Document("two"),
        Document("three"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.doc", b"x", r"a\.doc is not one of the kinds that can be read: \.txt, \.txt\.xz, \.jsonl, \.jsonl\.xz\."),
        ("a.txt", b"ab\xff", r"a\.txt is not UTF-8 text: invalid start byte at byte 2"),
        ("a.txt.xz", b"not xz", r"a\.txt\.xz is not a whole xz file"),
        ("a.txt.xz", lzma.compress(b"text" * 1000)[:-30], r"a\.txt\.xz is not a whole xz file"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2 is not JSON"),
        (
            "a.jsonl",
            b'{"body": "x"}\n',
            r"a\.jsonl, line 1 has no text: an object with a string under 'text' is needed",
        ),
        ("a.jsonl", b"[1]\n", r"line 1 has no text"),
        ("a.jsonl", b'{"text": "x", "author": 3}\n', r"line 1 has no text"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_documents([tmp_path / name]))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt does not exist"):
        list(read_documents([tmp_path / "nowhere.txt"]))
