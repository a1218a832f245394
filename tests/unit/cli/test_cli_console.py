from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from gpt2lab.cli import console
from gpt2lab.errors import DataError


def test_rows_are_aligned() -> None:
    assert console.aligned([("a", "bb", "1"), ("ccc", "d", "23")], right=(2,)) == ["a    bb   1", "ccc  d   23"]


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (8_800_000, "8.8 MB"), (6.2e12, "6200.0 GB")]
)
def test_sizes_for_people(count: float, shown: str) -> None:
    assert console.size(count) == shown


def test_quoted_tokens_show_blanks() -> None:
    assert console.quoted(' ü\n"') == '" ü\\n\\""'


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", '["é"]'), ("UTF8", '["é"]'), ("cp1252", '["\\u00e9"]')])
def test_json_is_ascii_where_stdout_is_not_utf8(encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert console.to_json(["é"]) == expected
    assert console.to_json(["é"], for_stdout=False) == '["é"]'


def test_text_is_read_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("a\r\nb\n\né\n".encode())
    assert console.read_text(str(tmp_path / "t")) == "a\r\nb\n\né\n"


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"t is not UTF-8 text: invalid start byte at byte 2\.$"):
        console.read_text(str(tmp_path / "t"))


def test_closed_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not console.stdin_is_piped()
    with pytest.raises(DataError, match="Standard input is closed"):
        console.read_text("-")


def test_what_counts_as_piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_text("x")
    with (tmp_path / "t").open() as f:
        monkeypatch.setattr(sys, "stdin", f)
        assert console.stdin_is_piped()
    assert not console.stdin_is_piped()  # closed
    with Path(os.devnull).open() as f:
        monkeypatch.setattr(sys, "stdin", f)
        assert not console.stdin_is_piped()
    monkeypatch.setattr(sys, "stdin", io.StringIO("x"))
    assert not console.stdin_is_piped()


def test_output_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with pytest.raises(RuntimeError), console.open_output(str(target)) as f:
        f.write("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with console.open_output(str(target)) as f:
        f.write("é\n")
    assert target.read_bytes() == "é\n".encode()
    with pytest.raises(FileNotFoundError), console.open_output(str(tmp_path / "nwe" / "out.txt")):
        pytest.fail("the body ran")


def test_output_to_a_folder_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), console.open_output(str(tmp_path)):
        pytest.fail("the body ran")


def test_stdin_is_a_file_for_as_long_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with console.as_files(["a", "b"], "x.jsonl") as files:
        assert files == ["a", "b"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n")))
    with (
        pytest.raises(DataError, match=r"^Standard input, line 1 is bad\.$"),
        console.as_files(["a", "-"], "x") as files,
    ):
        assert files[0] == "a"
        assert Path(files[1]).read_bytes() == b"\xff\n"
        raise DataError(f"{files[1]}, line 1 is bad.")
    assert not Path(files[1]).exists()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="Standard input is closed"), console.as_files(["-"], "x"):
        pytest.fail("the body ran")


def test_what_cannot_be_written_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    console.check_output(None, "-", str(tmp_path / "new"), str(tmp_path / "file"), os.devnull)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(IsADirectoryError):
        console.check_output(str(tmp_path / "file"), str(tmp_path))
    with pytest.raises(FileNotFoundError) as missing:
        console.check_output(str(tmp_path / "nwe" / "out"))
    assert missing.value.filename == str(tmp_path / "nwe")
    with pytest.raises(NotADirectoryError) as below:
        console.check_output(str(tmp_path / "file" / "out"))
    assert below.value.filename == str(tmp_path / "file")
    if Path("/proc/self").is_dir():
        with pytest.raises(OSError, match="out") as refused:  # a folder in which nobody, root included, makes files
            console.check_output("/proc/self/out")
        assert refused.value.filename == "/proc/self/out"


def test_bytes_go_to_a_file_and_to_stdout(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with console.open_output(str(tmp_path / "b"), "wb") as f:
        f.write(b"\xff\r\n")
    assert (tmp_path / "b").read_bytes() == b"\xff\r\n"
    with console.open_output("-", "wb") as f:
        f.write(b"\xff")
        f.flush()
    assert capfdbinary.readouterr().out == b"\xff"


def test_a_device_is_written_to_and_stays_a_device() -> None:
    with console.open_output(os.devnull) as f:
        f.write("x")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", [None, "-"])
def test_no_output_or_a_dash_is_stdout(name: str | None) -> None:
    with console.open_output(name) as f:
        assert f is sys.stdout


def test_streams_that_the_caller_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.prepare_streams()
    with sys.stdout, sys.stderr:
        console.write("nobody")
        console.say("reads this")
