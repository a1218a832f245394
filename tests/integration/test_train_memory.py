"""The estimate of a run's memory against what the system measured at its peak."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

PROGRAM = """
import json, resource, sys
import numpy as np
import torch
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.learner import Learner
from gpt2lab.train.memory import estimate, steady_memory
from gpt2lab.train.parallel import Processes
from gpt2lab.train.recipe import load_recipe
from gpt2lab.train.task import LanguageModelling

values, vocabulary, frozen = json.loads(sys.argv[1])
recipe = load_recipe({"name": "x", "data": "x", "out": "x", **values})
config = recipe.model.config(vocab_size=vocabulary, end_of_text_id=0)
torch.set_num_threads(2)

class Noise(LanguageModelling):
    def __init__(self):
        self._config = config
    def __next__(self):
        return tuple(np.random.randint(vocabulary, size=(recipe.train.batch_size, config.n_positions)) for _ in "xy")
    stream = property(lambda self: self)

model = GPT(config)
for name, parameter in model.named_parameters():
    if frozen and not name.startswith(tuple(frozen)):
        parameter.requires_grad_(False)
need = estimate(model, config, recipe, half=False)
with steady_memory():
    learner = Learner(Noise(), model, recipe, Processes("cpu", "ddp"))
    for step in range(3):
        learner.update(learner.gradients(step), 1.0)
print(need.total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""

WIDE = {"n_positions": 128, "n_embd": 512, "n_layer": 4, "n_head": 8}
LONG = {"n_positions": 512, "n_embd": 256, "n_layer": 6, "n_head": 4}


@pytest.mark.parametrize(
    ("model", "vocabulary", "train", "optimizer", "frozen"),
    [
        (LONG, 4096, {"batch_size": 8}, "adamw", []),
        (LONG, 4096, {"batch_size": 8}, "muon", []),
        (LONG, 4096, {"batch_size": 8, "checkpoint_activations": True}, "adamw", []),
        (LONG, 4096, {"batch_size": 4, "accumulate": 2}, "adamw", []),
        (WIDE, 50257, {"batch_size": 4}, "adamw", []),
        (WIDE, 50257, {"batch_size": 4}, "sgd", []),
        (LONG, 4096, {"batch_size": 12}, "adamw", ["transformer.h.5", "transformer.h.4", "transformer.ln_f"]),
        ({**LONG, "dropout": 0.1}, 4096, {"batch_size": 4}, "adamw", []),
    ],
)
def test_the_estimate_is_within_15_percent(
    model: dict[str, Any], vocabulary: int, train: dict[str, Any], optimizer: str, frozen: list[str]
) -> None:
    import json

    values = {"model": model, "train": {"steps": 3, "precision": "fp32", **train}, "optimizer": {"name": optimizer}}
    arguments = json.dumps([values, vocabulary, frozen])
    done = subprocess.run([sys.executable, "-c", PROGRAM, arguments], capture_output=True, text=True, check=True)
    estimated, measured = map(int, done.stdout.split())
    assert estimated == pytest.approx(measured, rel=0.15)
