"""What finds no room on the disk: one sentence, nothing half, and what was there before is whole. By a real limit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("resource", reason="this system limits no files")

import resource

from gpt2lab import LanguageModel


@contextlib.contextmanager
def room(largest: int) -> Iterator[None]:
    """Within it, no file may become larger than so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("the night train waited for my sister. " * 900, encoding="utf-8")
    return tmp_path


def test_preparing(place: Path, random_model: Path, command: Any) -> None:
    arguments = ("prepare", "text.txt", "--out", "corpus", "--tokenizer", random_model, "--workers", "1")
    with room(9000):
        done = command(*arguments)
    assert done.code == 2 and "Traceback" not in done.err
    assert "File too large" in done.err and done.err.count("\n") == 1
    assert not (place / "corpus").exists()
    assert command(*arguments).code == 0


def test_a_vocabulary(place: Path, command: Any) -> None:
    (place / "other").mkdir()
    arguments = ("tokenizer", "train", "text.txt", "--out", "other", "--vocab-size", "300", "--format")
    assert command(*arguments, "vocab").code == 0
    before = contents(place / "other")
    with room(max(map(len, before.values())) - 1):
        done = command(*arguments, "vocab", "--overwrite")
    assert (done.code, done.out) == (2, "")
    assert "File too large" in done.err
    assert contents(place / "other") == before
    with room(2000):
        assert command("tokenizer", "train", "text.txt", "--out", "new", "--vocab-size", "300").code == 2
    assert contents(place / "new") == {}


def test_vectors(place: Path, random_model: Path, command: Any) -> None:
    with room(1000):
        done = command("features", "text.txt", "--model", random_model, "--whole", "--pooling", "none", "-o", "v.npy")
    assert (done.code, done.out) == (2, "")
    assert done.err == "gpt2lab: v.npy cannot be used: File too large.\n"
    assert not (place / "v.npy").exists()


def test_training_and_what_it_exports(place: Path, random_model: Path, command: Any) -> None:
    assert command("prepare", "text.txt", "--out", "corpus", "--tokenizer", random_model).code == 0
    (place / "recipe.toml").write_text(
        """name = "small"
data = "corpus"
out = "run"
[model]
n_positions = 16
n_embd = 12
n_layer = 1
n_head = 2
[train]
steps = 2
batch_size = 2
threads = 1
validation_windows = 1
""",
        encoding="utf-8",
    )
    assert command("train", "recipe.toml").code == 0
    before, model = contents(place / "run" / "checkpoints"), contents(place / "run" / "model")
    size = (place / "run" / "model" / "model.safetensors").stat().st_size
    with room(size - 1):  # nothing is left to train: only the export writes
        done = command("train", "--resume", "run")
    assert done.code == 2 and "run/model cannot be used: File too large" in done.err
    assert contents(place / "run" / "model") == model
    with room(size - 1):
        done = command("train", "--resume", "run", "--set", "train.steps=4")
    assert done.code == 2 and "could not be saved in run/checkpoints: File too large" in done.err
    assert "What was saved there before is whole" in done.err
    assert contents(place / "run" / "checkpoints") == before
    assert [path.name for path in (place / "run").glob(".*")] == []
    assert command("train", "--resume", "run", "--set", "train.steps=4").code == 0
    assert LanguageModel.load(place / "run").generate("the", max_new_tokens=1)[0].token_ids


def test_fine_tuning(place: Path, random_model: Path, command: Any) -> None:
    arguments = (
        "finetune",
        "text.txt",
        "--model",
        random_model,
        "--steps",
        "1",
        "--sample-every",
        "0",
        "--window",
        "8",
        "--no-bias",
    )
    assert command(*arguments).code == 0
    before = contents(place / "checkpoint" / "run1" / "checkpoints") | contents(place / "checkpoint" / "run1" / "model")
    with room(50_000):
        done = command(*arguments)
    assert done.code == 2 and "could not be saved in checkpoint/run1/checkpoints: File too large" in done.err
    after = contents(place / "checkpoint" / "run1" / "checkpoints") | contents(place / "checkpoint" / "run1" / "model")
    assert after == before
    assert command(*arguments).code == 0
