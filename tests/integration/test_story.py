"""The whole story, `make story`: every command is shown before it runs, and each leaves what the next one needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

ROOT = Path(__file__).parents[2]
SHELL = shutil.which("sh")

pytestmark = pytest.mark.skipif(SHELL is None, reason="there is no sh here")


def story(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the script in `folder` as a reader would whose terminal is a pipe; `gpt2lab` is this interpreter's."""
    assert SHELL is not None
    program = folder / "programs" / "gpt2lab"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpt2lab "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return subprocess.run(
        [SHELL, str(ROOT / "examples" / "story.sh"), *arguments],
        env=os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"} | settings, cwd=folder,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


def test_the_whole_story(tmp_path: Path) -> None:
    folder, own = tmp_path / "a story", tmp_path / "own words.txt"
    own.write_text("The sea is wide and the sky is high.\n" * 40, encoding="utf-8")
    done = story(tmp_path, "", str(own), str(folder), STORIES="64", MINUTES="0.01", STEPS="2")
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"^\$ gpt2lab (\w+)", done.stdout, re.MULTILINE)
    assert shown == ["generate", "prepare", "train", "finetune", "generate", "generate", "interactive"]
    assert re.findall(r"^== (\d)\.", done.stdout, re.MULTILINE) == ["1", "2", "3", "4", "5", "6"]
    assert done.stdout.count("= SAMPLE 1 =") == 2  # two prompts, two answers
    vocabularies = [
        json.loads((folder / part / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        for part in ("pretrained/model", "finetuned/run1/model")
    ]
    assert vocabularies == [1000, 1000]
    weights = [
        (folder / part / "model.safetensors").read_bytes() for part in ("pretrained/model", "finetuned/run1/model")
    ]
    assert weights[0] != weights[1]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    done = story(tmp_path, "", "", str(there))
    assert done.returncode == 2
    assert done.stderr == (
        f"{there} is there already: remove it, or name another folder (sh examples/story.sh TEXT OWN FOLDER).\n"
    )
    assert not list(there.iterdir())


def test_what_fails_ends_the_story(tmp_path: Path) -> None:
    done = story(tmp_path, "no such book.txt")
    assert done.returncode == 2
    assert "no such book.txt" in done.stderr
    assert "== 3." not in done.stdout
