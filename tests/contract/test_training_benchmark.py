"""The benchmark of training: every contestant does its steps, and the table compares what they took."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from benchmarks import training

TINY = training.Shape(n_layer=1, n_embd=64, n_head=2, window=8, vocabulary=70, batch=4, rows=2, steps=2, dropout=0.1)


@pytest.mark.parametrize("name", training.NAMES)
def test_every_contestant_runs(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("Trainer"):
        pytest.importorskip("accelerate", reason="transformers' Trainer needs it")
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)  # the tests' own stay
    training.contestant(name, TINY, 1)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["seconds"]) == 2 and all(seconds > 0 for seconds in result["seconds"])
    assert result["peak"] > 0


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"gpt2lab bf16": [1.0, 9.0], "Trainer bf16": [4.0, 12.0], "plain fp32": [2.0, 36.0]}
    peaks = {"gpt2lab bf16": 1_000_000_000, "Trainer bf16": 4_000_000_000, "plain fp32": 2_000_000_000}
    calls = dict.fromkeys(seconds, 0)

    def measured(name: str, shape: str, threads: int) -> dict[str, Any]:
        calls[name] += 1
        return {"seconds": [seconds[name][calls[name] - 1]], "peak": peaks[name]}

    monkeypatch.setattr(training, "measured", measured)
    monkeypatch.setitem(training.SHAPES, "tiny", TINY)
    rows = training.compare("tiny", 1, 2, list(seconds))
    assert rows[0] == "| tiny | gpt2lab bf16 | 18 | 2.67 x | 1.67 x | 1.00 GB | 0.50 x |"
    assert [row.split(" | ")[1] for row in rows] == list(seconds)
