"""The whole way from text to a model that writes: examples/story.sh, with less time to learn."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpt2lab.files import read_json

pytest.importorskip("torch", reason="training needs torch: pip install 'gpt2lab[train]'")

ROOT = Path(__file__).parents[2]
STEPS = (
    "1. Text",
    "2. A vocabulary",
    "3. Pretraining",
    "4. Fine-tuning",
    "5. Writing: two samples",
    "6. Writing with you",
)


def story(programs: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["sh", str(ROOT / "examples" / "story.sh"), *arguments],
        env={**programs, "MINUTES": "0.05", "TUNE": "2"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    import sys

    folder = tmp_path / "programs"
    folder.mkdir()
    for name, arguments in (("gpt2lab", " -m gpt2lab"), ("python3", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_the_story_is_told_to_its_end(tmp_path: Path, programs: dict[str, str]) -> None:
    folder = tmp_path / "story"
    printed = story(programs, str(folder))
    places = [printed.index(f"== {step}") for step in STEPS]
    assert places == sorted(places)
    assert read_json(folder / "run" / "model" / "config.json")["vocab_size"] == 1000
    assert (folder / "tuned" / "run1").is_dir()
    assert "SAMPLE 2" in printed
    assert "Model prompt >>> " in printed


def test_the_story_of_a_text_of_ones_own(tmp_path: Path, programs: dict[str, str]) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("The cat sat on the mat and looked at the moon.\n" * 3000, encoding="utf-8")
    printed = story(programs, str(tmp_path / "story"), str(text), str(text))
    assert str(text) in printed
    assert not (tmp_path / "story" / "text.txt").exists()
