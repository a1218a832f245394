"""JSON that its own parser chokes on, and JSON as Windows writes it: one sentence, or the same as without the mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

HOSTILE = {
    "deep": ("[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
    "long": ('{"text": ' + "1" * 5000 + "}", "a number has too many digits"),
}
READERS = [
    ("article", "collect"),
    ("article", "losses"),
    ("detect",),
    ("detect", "build", "--out", "pairs.jsonl"),
    ("detect", "train", "--out", "detector.json"),
    ("features",),
    ("finetune",),
    ("generate", "--seed", "1", "--prompts-file"),
    ("prepare", "--out", "corpus"),
]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: " ".join(arguments[:2]))
def test_lines_that_cannot_be_parsed(
    arguments: tuple[str, ...], kind: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, reason = HOSTILE[kind]
    Path("lines.jsonl").write_text(text + "\n", encoding="utf-8")
    done = command(*arguments, "lines.jsonl")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("gpt2lab: lines.jsonl, line 1")
    assert f"is not JSON: {reason}." in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_whole_file_that_cannot_be_parsed(kind: str, command: Command, tmp_path: Path) -> None:
    text, reason = HOSTILE[kind]
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    for arguments in (("generate", "x", "--model", tmp_path), ("music", "encode", "--vocabulary", "chorales", path)):
        done = command(*arguments)
        assert (done.code, done.out) == (2, "")
        assert f"config.json is not valid JSON: {reason}." in done.err


@pytest.mark.parametrize("wrong", ["5", "[[[NaN]]]", "[[[Infinity]]]", "[[[1e400]]]", "[[[60.5]]]", "[[[true]]]"])
def test_chorales_of_odd_values(wrong: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "bach.json").write_text('{"train": ' + wrong + "}", encoding="utf-8")
    done = command("music", "encode", "--vocabulary", "chorales", tmp_path / "bach.json")
    assert (done.code, done.out) == (2, "")
    assert "is no list of" in done.err


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_text(end: str, command: Command, random_model: Path, tmp_path: Path) -> None:
    lines = end.join(json.dumps({"text": text, "prompt": text}) for text in ("the night train", "a grey cat")) + end
    for arguments in (("features",), ("detect", "--json"), ("generate", "--seed", "1", "-l", "3", "--prompts-file")):
        outs = []
        for mark in (b"", b"\xef\xbb\xbf"):
            (tmp_path / "lines.jsonl").write_bytes(mark + lines.encode())
            done = command(arguments[0], "--model", random_model, *arguments[1:], tmp_path / "lines.jsonl")
            assert (done.code, done.err) == (0, "")
            outs.append(done.out)
        assert outs[0] == outs[1]


def test_ids_of_thousands_of_digits(command: Command) -> None:
    done = command("tokenizer", "decode", "1" * 5000)
    assert (done.code, done.out) == (2, "")
    assert "is no token id" in done.err
