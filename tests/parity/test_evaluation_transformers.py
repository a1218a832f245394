"""The sliding-window recipe of transformers' documentation, run with transformers, against our hf preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2lab import LanguageModel
from gpt2lab.checkpoint import load
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.run import evaluate
from random_gpt2 import transformers_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

LINES = 40


def recipe(model: Any, ids: list[int], stride: int) -> float:
    """Return the perplexity as the page "Perplexity of fixed-length models" computes it: mean losses of windows, each
    weighed by the number of labels left in it less one."""
    size, total, weight, scored = model.config.n_positions, 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + size, len(ids))
        new = end - scored
        window = torch.tensor([ids[begin:end]])
        labels = window.clone()
        labels[:, :-new] = -100
        with torch.no_grad():
            loss = model(window, labels=labels).loss.double()
        count = int((labels != -100).sum()) - 1
        if count:
            total += float(loss) * count
            weight += count
        scored = end
        if end == len(ids):
            break
    return float(torch.tensor(total / weight, dtype=torch.float64).exp())


@pytest.mark.parametrize("source", ["tiny", "random"])
def test_the_recipe_over_strides(source: str, random_model: Path, shared_data: Path) -> None:
    found = load("tiny" if source == "tiny" else random_model)
    assert found.tokenizer is not None
    model = transformers_model(found.config, found.tensors)
    lm = LanguageModel.load("tiny" if source == "tiny" else random_model, threads=1)
    folder = shared_data / "eval" / "wikitext2_raw"
    lines = (folder / "wiki.test.raw").read_text(encoding="utf-8").split("\n")[:LINES]
    rows = [line + "\n" if line.strip() else "" for line in lines]  # as the hub's dataset has them
    ids = found.tokenizer.encode("\n\n".join(rows))
    size = found.config.n_positions
    for stride in (size, size // 2, size // 5, size - 1):
        task = load_task("wikitext2", preset="hf", place=Place(folder), settings={"stride": stride})
        (ours,) = evaluate(lm, [task], limit=LINES)
        theirs = recipe(model, ids, stride)
        assert abs(ours.value - theirs) <= 1e-4 * theirs, (stride, ours.value, theirs)
