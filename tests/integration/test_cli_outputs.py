"""A file that cannot be written is told before a model is loaded: nothing is computed that is then lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

UNKNOWN = ("--model", "nobody's model")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("The sea was calm.\n", encoding="utf-8")
    pair = {"human": "The sea was calm.", "machine": "The sea was the sea.", "title": "At sea", "text": "Calm. " * 50}
    (tmp_path / "records.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("folder", "folder is a folder; a file is needed."),
        ("none/out", "none does not exist."),
        ("text.txt/out", "text.txt is not a folder, or lies below something that is none."),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("article", "generate", "--title", "At sea", *UNKNOWN, "--output"),
        ("article", "collect", "records.jsonl", "--output"),
        ("bias", *UNKNOWN, "--html"),
        ("detect", "text.txt", *UNKNOWN, "--html"),
        ("detect", "report", "records.jsonl", *UNKNOWN, "--svg"),
        ("features", "text.txt", *UNKNOWN, "--output"),
        ("inspect", "At sea", *UNKNOWN, "--html"),
        ("transfer", "predict", "records.jsonl", *UNKNOWN, "--output"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_it_is_told_at_once(
    arguments: tuple[str, ...], output: str, message: str, place: Path, command: Command
) -> None:
    done = command(*arguments, output)
    assert (done.code, done.out, done.err) == (2, "", f"gpt2lab: {message}\n")
    assert sorted(path.name for path in place.rglob("*")) == ["folder", "records.jsonl", "text.txt"]
