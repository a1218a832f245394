from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpt2lab.cli.prompts import prompts_in, read_prompts
from gpt2lab.errors import ConfigError, DataError, RequestError


@pytest.fixture
def stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = []

    def give(text: str) -> None:
        path = tmp_path / "stdin"
        path.write_bytes(text.encode())
        files.append(path.open(encoding="utf-8"))
        monkeypatch.setattr(sys, "stdin", files[-1])

    yield give
    for f in files:
        f.close()


def test_the_argument_is_the_prompt_whatever_is_piped(stdin) -> None:
    stdin("other")
    assert read_prompts("a  b\n", [], None) == ["a  b\n"]


def test_a_pipe_is_the_prompt_byte_for_byte(stdin) -> None:
    stdin("one\r\n\ntwo")
    assert read_prompts(None, [], None) == ["one\r\n\ntwo"]
    stdin("x")
    assert read_prompts("-", [], None) == ["x"]


def test_a_last_line_break_is_kept_and_told(stdin, capsys: pytest.CaptureFixture[str]) -> None:
    stdin("x\n")
    assert read_prompts(None, [], None) == ["x\n"]
    assert capsys.readouterr().err == "note: The prompt ends with a line break, as echo adds one; printf does not.\n"


def test_nothing_given_means_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert read_prompts(None, [], None) is None


def test_an_empty_prompt_is_refused(stdin, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    stdin("")
    with pytest.raises(RequestError, match="The prompt is empty: standard input holds no text"):
        read_prompts(None, [], None)
    with pytest.raises(RequestError, match="The prompt is empty: the argument holds no text"):
        read_prompts("", [], None)
    with pytest.raises(RequestError, match=r"The prompt is empty: .*empty holds no text"):
        read_prompts(None, [str(tmp_path / "empty")], None)


def test_an_argument_that_is_not_utf8() -> None:
    with pytest.raises(RequestError, match="The prompt is not UTF-8 text: a stray byte at character 1"):
        read_prompts("a\udcff", [], None)


def test_prompt_files_in_their_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(f"text of {name}\n")
    assert read_prompts(None, [str(tmp_path / "b"), str(tmp_path / "a")], None) == ["text of b\n", "text of a\n"]


def test_a_list_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("one \r\n\n  \ntwo\u2028still two".encode())
    assert prompts_in(str(tmp_path / "p.txt")) == ["one ", "two\u2028still two"]


def test_a_json_list_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a\\nb", "more": 1}\n\n"c"\n')
    assert read_prompts(None, [], str(tmp_path / "p.jsonl")) == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"p\.jsonl, line 2 is not JSON: .*\.$"),
        ('{"text": "x"}', r"p\.jsonl, line 2 has no prompt: a string, or an object"),
        ('""', r"p\.jsonl, line 2 has no prompt"),
    ],
)
def test_a_bad_json_list(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('"good"\n' + line)
    with pytest.raises(DataError, match=message):
        prompts_in(str(tmp_path / "p.jsonl"))


def test_a_list_without_prompts(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("\n \n")
    with pytest.raises(DataError, match="holds no prompt; write one on each line"):
        prompts_in(str(tmp_path / "p"))


@pytest.mark.parametrize(("argument", "files", "many"), [("x", ["f"], None), ("x", [], "l"), (None, ["f"], "l")])
def test_prompts_come_in_one_way(argument: str | None, files: list[str], many: str | None) -> None:
    with pytest.raises(ConfigError, match="Give the prompt in one way"):
        read_prompts(argument, files, many)
