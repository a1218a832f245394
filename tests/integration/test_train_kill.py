"""Runs that are killed without warning, at any moment and inside a save: the last whole state loads and goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.train import run
from gpt2lab.train.export import trained_tensors
from gpt2lab.train.log import read_metrics
from gpt2lab.train.state import find_state, read_state

PROGRAM = """
import os, signal, sys
from gpt2lab import train
from gpt2lab.train import state
from gpt2lab.train.loop import Every

out, steps, moment = sys.argv[2], sys.argv[3], sys.argv[4]

def die_at(name, when, nth):
    original, calls = getattr(state, name), []
    def wrapped(*arguments, **named):
        calls.append(name)
        if len(calls) == nth:
            if when == "half":
                arguments[0].write(b"half of the header")
                arguments[0].flush()
            if when == "after":
                original(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    setattr(state, name, wrapped)

def tell(model, step):
    print(step, flush=True)
    return {}

if moment != "any":
    name, when, nth = moment.split(":")
    die_at(name, when, int(nth))
train.run(
    sys.argv[1],
    overrides=[f"out={out}", f"train.steps={steps}"],
    callbacks=[Every(1, tell)],
    resume=out if os.path.isdir(out + "/checkpoints") else None,
)
"""

RECIPE = """name = "small"
data = "{data}"
out = "runs/small"
[model]
n_positions = 8
n_embd = 12
n_layer = 2
n_head = 2
dropout = 0.1
[optimizer]
name = "muon"
[schedule]
warmup_steps = 2
[train]
steps = 1
batch_size = 4
accumulate = 2
validate_every = 4
validation_windows = 4
checkpoint_every = 2
max_checkpoints = {keep}
threads = 1
tensorboard = false
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    r = random.Random(0)
    words = ["the", "old", "sailor", "waited", "for", "a", "grey", "cat", "in", "the", "harbour", "all", "night"]
    (folder / "text.txt").write_text("".join(f"{' '.join(r.choices(words, k=9))}.\n" for _ in range(600)), "utf-8")
    prepare([folder / "text.txt"], folder / "corpus", CorpusRecipe(vocab_size=300, validation_share=0.1))
    return folder / "corpus"


def start(corpus: Path, folder: Path, steps: int, moment: str = "any", keep: int = 1) -> subprocess.Popen[bytes]:
    (folder / "recipe.toml").write_text(RECIPE.format(data=corpus, keep=keep), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(folder / "recipe.toml"), str(folder / "run"), str(steps), moment]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def equals_an_uninterrupted_run(corpus: Path, folder: Path, steps: int) -> bool:
    whole = run(folder / "recipe.toml", overrides=[f"out={folder / 'whole'}", f"train.steps={steps}"])
    own, expected = (trained_tensors(find_state(folder / name)) for name in ("run", "whole"))
    assert read_metrics(folder / "run")[-1]["train_loss"] == read_metrics(whole.folder)[-1]["train_loss"]
    return all(torch.equal(own[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("write_safetensors:half:3", 4),  # the third and the fifth file are those of steps 4 (best) and 6
        ("write_safetensors:after:4", 4),
        ("write_json:before:4", 4),
        ("_flush:before:4", 4),
        ("_flush:after:4", 4),
        ("_outdated:before:4", 6),  # the new state is in its place, the old one not yet removed
    ],
)
def test_killed_inside_a_save(corpus: Path, tmp_path: Path, moment: str, left: int) -> None:
    process = start(corpus, tmp_path, 10, moment)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    state = read_state(find_state(tmp_path / "run"))
    assert state.step <= left
    assert state.step >= 2
    assert start(corpus, tmp_path, 10).wait(timeout=120) == 0
    assert equals_an_uninterrupted_run(corpus, tmp_path, 10)
    names = {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"step-00000010"}, "leftovers of the killed save"


def test_killed_at_any_moment(corpus: Path, tmp_path: Path) -> None:
    """Kill the run again and again where it happens to be; each time it goes on from its last state, to the end."""
    seeded, reached = random.Random(1), 0
    for _ in range(4):
        process = start(corpus, tmp_path, 400, keep=2)
        assert process.stdout is not None
        until = reached + seeded.randrange(5, 60)
        for line in process.stdout:
            if int(line) >= until:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        step = read_state(find_state(tmp_path / "run")).step
        assert step >= max(reached, until - 2)
        reached = step
    final = reached + 6
    assert start(corpus, tmp_path, final, keep=2).wait(timeout=120) == 0
    assert read_state(find_state(tmp_path / "run")).step == final
