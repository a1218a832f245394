"""Reading documents: the kinds of files, and one sentence for everything that can be wrong with them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.data.documents import Document, read_documents
from gpt2lab.data.npz import write_npz
from gpt2lab.data.readers import SECTION
from gpt2lab.errors import ConfigError, DataError, MissingExtraError

PAGE = """<html><head><title>The sea</title></head><body><nav><a href="/">Home</a> <a href="/a">About</a></nav>
<article><h1>The sea</h1>
<p>The ship went out to sea in the morning, and nobody on the quay waved or said a word to it.</p>
<p>In the evening it had not come back, and the lamps along the harbour were lit one after another.</p></article>
<footer>Copyright 2020. All rights reserved.</footer></body></html>"""


def read(path: Path, **options: str) -> list[Document]:
    return list(read_documents([path], **options))


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_every_kind_of_file_in_the_order_given(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "plain é\r\n")
    lines = [{"text": "one", "author": "A"}, {"text": "  "}, {"text": "two", "title": "ignored"}]
    written(tmp_path / "b.jsonl", "\n".join(map(json.dumps, lines)) + '\n\n"a string"\n')
    written(tmp_path / "c.jsonl.xz", lzma.compress(json.dumps({"text": "three", "author": None}).encode()))
    written(tmp_path / "d.md", "four")
    written(tmp_path / "e.json", json.dumps([{"text": "five", "author": "E"}, "six"]))
    written(tmp_path / "f.csv", 'text,author\n"seven, or\n""7""",F\neight,\n')
    written(tmp_path / "g.tsv", "author\ttext\nG\tnine\n")
    names = ("d.md", "a.txt", "b.jsonl", "c.jsonl.xz", "e.json", "f.csv", "g.tsv")
    assert list(read_documents([tmp_path / name for name in names])) == [
        Document("four"),
        Document("plain é\r\n"),
        Document("one", "A"),
        Document("two"),
        Document("a string"),
        Document("three"),
        Document("five", "E"),
        Document("six"),
        Document('seven, or\n"7"', "F"),
        Document("eight"),
        Document("nine", "G"),
    ]


def zstandard_compress(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("ending", "compress"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress), (".zst", zstandard_compress)],
)
class TestCompression:
    """What a file is compressed with is told by its first bytes."""

    def test_it_is_taken_away(self, tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
        data = compress("héllo\n".encode() * 1000)
        for name in (f"a.txt{ending}", "named_plain.txt"):
            assert read(written(tmp_path / name, data)) == [Document("héllo\n" * 1000)]

    def test_several_streams_one_after_another(
        self, tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
    ) -> None:
        assert read(written(tmp_path / f"a.txt{ending}", compress(b"one ") + compress(b"two"))) == [Document("one two")]

    def test_a_file_cut_short(self, tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
        data = compress(np.random.default_rng(0).bytes(5000).hex().encode())
        with pytest.raises(DataError, match=rf"a\.txt\{ending} is not a whole compressed file: "):
            read(written(tmp_path / f"a.txt{ending}", data[: len(data) // 2]))

    def test_a_file_named_so_that_is_not(self, tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
        with pytest.raises(DataError, match=r"is not a whole compressed file: it begins as none does"):
            read(written(tmp_path / f"a.txt{ending}", "plain"))


def test_parquet_is_read_by_column_and_template(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = 3000
    table = {"title": [f"t{i}" for i in range(rows)], "body": [f"b{i}" for i in range(rows)], "n": list(range(rows))}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet", row_group_size=700)
    assert read(tmp_path / "a.parquet", column="body") == [Document(f"b{i}") for i in range(rows)]
    assert read(tmp_path / "a.parquet", template="{title}: {body} {n}")[-1] == Document("t2999: b2999 2999")
    with pytest.raises(DataError, match=r"a\.parquet has no column 'text'.* Its columns are 'title', 'body', 'n'; c"):
        read(tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(DataError, match=r"b\.parquet is not a whole Parquet file"):
        read(written(tmp_path / "b.parquet", data[: len(data) // 2]))


def test_a_page_is_its_main_text(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    (page,) = read(written(tmp_path / "a.html", PAGE))
    assert page.text.startswith("The sea\nThe ship went out to sea")
    assert "Home" not in page.text
    assert "Copyright" not in page.text
    assert read(written(tmp_path / "empty.htm", "<html><body></body></html>")) == []


def warc(pages: list[tuple[str, str, bytes]]) -> bytes:
    """Return an archive of (status line, content type, body)."""
    records = [b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 4\r\n\r\ninfo\r\n\r\n"]
    for number, (status, kind, body) in enumerate(pages):
        http = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/{number}\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
        )
        records.append(head.encode() + http + b"\r\n\r\n")
    return b"".join(records)


def test_an_archive_gives_its_pages(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    pytest.importorskip("fastwarc")
    page = PAGE.encode()
    data = warc(
        [
            ("200 OK", "text/html; charset=utf-8", page),
            ("404 Not Found", "text/html", page),
            ("200 OK", "image/png", b"\x89PNG"),
            ("200 OK", "text/html", page.replace(b"sea", b"moor")),
        ]
    )
    for name, content in (("a.warc", data), ("b.warc.gz", gzip.compress(data))):
        first, second = read(written(tmp_path / name, content))
        assert first.text.startswith("The sea\n")
        assert second.text.startswith("The moor\n")
    with pytest.raises(DataError, match=r"c\.warc is not a WARC file: it does not begin with WARC/"):
        read(written(tmp_path / "c.warc", "<html>"))


def test_a_text_file_is_cut_at_its_separators(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "\ufeffone<|endoftext|>\n\n<|endoftext|>two\nthree")
    assert read(path, separator="<|endoftext|>") == [Document("one"), Document("two\nthree")]
    assert read(path) == [Document("one<|endoftext|>\n\n<|endoftext|>two\nthree")]


def test_a_long_text_file_is_cut_behind_a_line(tmp_path: Path) -> None:
    line = "é" * 49 + "\n"
    count = SECTION // len(line.encode()) * 2 + 10
    pieces = [d.text for d in read(written(tmp_path / "a.txt", line * count))]
    assert len(pieces) == 3
    assert "".join(pieces) == line * count
    assert all(piece.endswith("\n") and len(piece.encode()) <= SECTION for piece in pieces)
    pieces = [d.text for d in read(written(tmp_path / "b.txt", "xé" * (SECTION // 2)))]  # no line to cut behind
    assert len(pieces) == 2
    assert "".join(pieces) == "xé" * (SECTION // 2)


def test_a_template_puts_fields_together(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "title,body,year\nOne,first,1\nTwo,,2\n")
    assert [d.text for d in read(path, template="{{{title}}} {year}\n{body}")] == ["{One} 1\nfirst", "{Two} 2\n"]
    path = written(tmp_path / "a.jsonl", '{"title": "One", "n": 3, "body": null}\n{"body": "x"}\n')
    assert [d.text for d in read(path, template="{title}/{body}/{n}")] == ["One//3", "/x/"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "a", "template": "{a}"}, "column and template exclude each other"),
        ({"separator": ""}, "separator must not be empty"),
        ({"template": "no names"}, r"template = 'no names' names no column; write one as \{name\}"),
        ({"template": "{title"}, r"has a brace without a name; write \{name\} for a column, \{\{ and \}\} for braces"),
        ({"template": "{}"}, "has a brace without a name"),
    ],
)
def test_impossible_fields(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "a.csv", **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.doc", b"x", r"a\.doc is not one of the kinds that can be read: \.txt, .*say so with kind"),
        ("a.txt", b"ab\xff", r"a\.txt is not UTF-8 text: invalid start byte at byte 2\."),
        ("a.txt", b"ab\x00c", r"a\.txt is not text: it holds bytes of zeros, as binary files do\."),
        ("a.txt", b"%PDF-1.4", r"a\.txt is not text: it is a PDF\."),
        ("a.csv", b"PK\x03\x04rest", r"a\.csv is not text: it is a zip archive\."),
        ("a.txt", "text".encode("utf-16"), r"a\.txt is UTF-16 text; UTF-8 is needed: iconv -f UTF-16 -t UTF-8\."),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2: it is not JSON: Expecting value"),
        (
            "a.jsonl",
            b'{"text": "x"}\n{"text": "\xff"}\n',
            r"a\.jsonl, line 2: it is not UTF-8 text: invalid start byte",
        ),
        ("a.jsonl", b'{"body": "x"}\n', r"a\.jsonl, line 1: it has no column 'text'.* Its columns are 'body'; choose"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl, line 1: an object is needed, not list\."),
        ("a.jsonl", b'{"text": 3}\n', r"a\.jsonl, line 1: its 'text' is not text but int\."),
        ("a.json", b"[1", r"a\.json is not JSON: "),
        ("a.json", b"3", r"a\.json holds neither a list of objects nor an object\."),
        ("a.json", b"[[1]]", r"a\.json, object 1: its 'text' is not text but list\."),
        (
            "a.csv",
            b"title,texts\nx,y\n",
            r"a\.csv has no column 'text'\. Did you mean 'texts'\? Its columns are 'title', 't",
        ),
        ("a.csv", b"text\na\n\xff\n", r"a\.csv is not UTF-8 text: invalid start byte behind line "),
        ("a.csv", b"text\na\x00b\n", r"a\.csv is not text: it holds bytes of zeros"),
        (
            "a.tsv",
            b"title\tbody\n",
            r"a\.tsv has no column 'text'.* Its columns are 'title', 'body'; choose one with column",
        ),
        ("a.npz", b"PK\x03\x04rest", r"a\.npz is not a whole \.npz file of token ids"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(written(tmp_path / name, content))


def test_ids_need_their_tokenizer(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", [[1, 2]])
    with pytest.raises(DataError, match=r"a\.npz, array 1: it holds token ids; name the tokenizer that made them"):
        read(tmp_path / "a.npz")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name, content, what in (
        ("trafilatura", "a.html", b"<p>x</p>", "Reading web pages"),
        ("pyarrow", "a.parquet", b"PAR1", r"Reading \.parquet files"),
        ("fastwarc.warc", "a.warc", b"WARC/1.0", r"Reading \.warc files"),
        ("zstandard", "a.txt.zst", b"\x28\xb5\x2f\xfd", r"Reading \.zst files"),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(ImportError, match=rf"{what} needs a part .* pip install 'gpt2lab\[corpus\]'"):
            read(written(tmp_path / name, content))


def test_a_kind_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "server.log", '{"text": "a line"}\n')
    assert read(path, kind="jsonl") == [Document("a line")]
    assert read(path, kind="text") == [Document('{"text": "a line"}\n')]


def test_a_page_of_bytes_that_are_no_page_is_empty(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    assert read(written(tmp_path / "a.html", io.BytesIO(b"\x00\x01\xff").getvalue())) == []


def test_a_missing_extra_is_told_by_another_process_too() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("Reading web pages", "corpus")))
    assert str(error) == str(MissingExtraError("Reading web pages", "corpus"))
    assert error.extra == "corpus"
