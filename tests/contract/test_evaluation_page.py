"""The commands of docs/evaluation.md run, on small corpora; what it says of tasks and presets is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.evals.registry import TASKS, presets_of
from small_corpora import write_corpora

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
BLOCKS = runpy.run_path(str(ROOT / "docs" / "refresh.py"), run_name="refresh")["blocks"](PAGE)
COMMANDS = [line for block in BLOCKS for line in block.code.splitlines()]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_corpora(tmp_path_factory.mktemp("here") / "corpora")
    (folder / "enwik5").mkdir()
    (folder / "enwik5" / "enwik5").write_bytes((folder / "enwik8" / "enwik8").read_bytes())
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs(line: str, command: Any, corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpora.parent)
    program, *arguments = line.split()
    assert program == "gpt2lab"
    done = command(*arguments, "--any-data", "--no-cache", "--limit", "2")
    assert done.code == 0, done.err


def test_every_block_shows_what_it_printed() -> None:
    assert BLOCKS
    for block in BLOCKS:
        assert block.output is not None and block.output.strip()
        for line in block.code.splitlines():
            task = re.search(r"--tasks (\w+)", line)
            shown = f"\n{task[1]}, preset " if task else "\ncolumn "
            assert shown in "\n" + block.output


def test_tasks_and_presets_exist() -> None:
    for name in re.findall(r"^\| `([\w-]+)`(?:, `([\w-]+)`)?", PAGE, re.MULTILINE):
        assert all(part in {*TASKS, *presets_of("wikitext2"), "accuracy_word", "accuracy_stop", "accuracy_last_token",
                            "accuracy_masked"} for part in name if part)  # fmt: skip
