"""`gpt2lab train` writes texts on the way, shows them and keeps them; they change nothing of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab import train
from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.errors import ConfigError
from gpt2lab.train.export import trained_tensors
from gpt2lab.train.state import find_state


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("the night train waited for my sister. " * 200, encoding="utf-8")
    prepare([tmp_path / "text.txt"], tmp_path / "corpus", CorpusRecipe(vocab_size=270, validation_share=0.1))
    (tmp_path / "recipe.toml").write_text(
        f"""name = "small"
data = {json.dumps(str(tmp_path / "corpus"))}
out = {json.dumps(str(tmp_path / "run"))}
[model]
n_positions = 16
n_embd = 12
n_layer = 1
n_head = 2
dropout = 0.1
[train]
steps = 4
batch_size = 2
validation_windows = 2
threads = 1
""",
        encoding="utf-8",
    )
    return tmp_path / "recipe.toml"


def test_texts_are_shown_and_kept(recipe: Path, tmp_path: Path, command: Any) -> None:
    values = ["train.sample_every=2", "train.sample_num=2", "train.sample_length=7", "train.sample_prompt=the night"]
    done = command("train", recipe, *(part for value in values for part in ("--set", value)))
    assert done.code == 0, done.err
    assert done.out == f"{tmp_path / 'run' / 'model'}\n"
    files = sorted((tmp_path / "run" / "samples").iterdir())
    assert [file.name for file in files] == ["samples-2", "samples-4"]
    for file in files:
        text = file.read_bytes().decode()
        assert text.startswith("======== SAMPLE 1 ========\nthe night")
        assert text.count("SAMPLE") == text.count("\nthe night") == 2
        assert text in done.err
    assert files[0].read_bytes() != files[1].read_bytes()
    without = train.run(recipe, overrides=[f"out={tmp_path / 'without'}"])
    for name, tensor in trained_tensors(find_state(tmp_path / "run")).items():
        assert torch.equal(tensor, without.model.state_dict()[name]), name


def test_who_does_not_write_texts_says_so(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.run(recipe, overrides=["train.sample_every=2"])
    assert "No samples are written here: train.sample_every is for `gpt2lab train`" in capsys.readouterr().err


def test_mistakes(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.sample_every = 0 must be at least 1"):
        train.run(recipe, overrides=["train.sample_every=0"])
