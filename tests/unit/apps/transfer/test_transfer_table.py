"""Tables: rows know their file and line, and each thing that is wrong with one is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.apps.transfer.table import read_table, rows_of
from gpt2lab.errors import DataError


def test_quotes_mean_something_in_csv_alone() -> None:
    tsv = rows_of(b'a\tb\n"x" y\t"z\n', "t.tsv", kind="tsv")
    assert tsv[0] == ("t.tsv, line 2", {"a": '"x" y', "b": '"z'})
    csv = rows_of(b'a,b\n"x, y\nz",1\nq,2\n', "t.csv", kind="csv")
    assert [(row.place, row.values["a"]) for row in csv] == [("t.csv, line 2", "x, y\nz"), ("t.csv, line 4", "q")]


def test_without_a_header_columns_have_numbers() -> None:
    (row,) = rows_of(b"gj04\t1\t\tGood.\n", "t.tsv", kind="tsv", header=False)
    assert (row.place, row.get("4"), row.get("2")) == ("t.tsv, line 1", "Good.", "1")


def test_a_byte_order_mark_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b"\xef\xbb\xbfa\tb\r\n\r\n1\t2\r\n")
    assert read_table(tmp_path / "t.tsv")[0] == (f"{tmp_path / 't.tsv'}, line 3", {"a": "1", "b": "2"})
    objects = rows_of(b'{"a": 1}\n\n{"a": [2]}', "t.jsonl", kind="jsonl")
    assert [(row.place, row.get("a")) for row in objects] == [("t.jsonl, line 1", 1), ("t.jsonl, line 3", [2])]


def test_a_template_joins_columns() -> None:
    (row,) = rows_of(b'{"a": "x", "b": "y"}', "t.jsonl", kind="jsonl")
    assert row.get("{a} {b}") == "x y"
    with pytest.raises(DataError, match=r"t\.jsonl, line 1: .*'c'"):
        row.get("{c}")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", "tsv", r"^t is empty; rows of examples are needed\.$"),
        (b" \n", "jsonl", r"^t is empty"),
        (b"a\tb\n", "tsv", r"^t has a first line with the names of its columns, but no rows\.$"),
        (b"a\tb\n1\t2\n3\n", "tsv", r"^t, line 3 has 1 columns, but the first line names 2: 'a', 'b'\.$"),
        (b'a,b\n1,"2" 3\n', "csv", r"^t, line 2 is not CSV: "),
        (b'{"a": 1}\n{"a": \n', "jsonl", r"^t, line 2 is not JSON: "),
        (b'{"a": 1}\n[1]\n', "jsonl", r"^t, line 2 is not a JSON object with named values\.$"),
        (b"a\tb\n1\t\xff\n", "tsv", r"^t, line 2 is not UTF-8 text: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(data: bytes, kind, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(data, "t", kind=kind)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a", encoding="utf-8")
    for path, message in (
        (tmp_path / "no.tsv", r"no\.tsv does not exist\.$"),
        (tmp_path / "x.txt", r"x\.txt says by its name of no format; call it \.tsv, \.csv or \.jsonl"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(path)
    with pytest.raises(DataError, match="is a folder; a file is needed"):
        read_table(tmp_path)


def test_a_column_that_is_not_there_names_the_nearest() -> None:
    (row,) = rows_of(b"sentence\tlabel\nx\t1\n", "t.tsv", kind="tsv")
    with pytest.raises(
        DataError,
        match=r"^t\.tsv, line 2: there is no column 'sentense'\. Did you mean 'sentence'\? There are 'sentence'",
    ):
        row.get("sentense")
