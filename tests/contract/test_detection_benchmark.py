"""The detection benchmark measures the same on both sides, in files too, and ranks as a sort gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import detection
from benchmarks.rounds import Turns
from gpt2lab.model.config import GPT2Config


def test_both_sides_measure_the_same() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    config = GPT2Config(vocab_size=211, n_positions=32, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0)
    tensors = detection.weights(config)
    ids = np.random.default_rng(0).integers(211, size=30).astype(np.int32)
    mine = detection.ours(config, tensors, "fp32", 1)(ids)
    for sort in (True, False):
        detection.check(mine, detection.theirs(config, tensors, 1, sort=sort)(ids))


def test_files_are_cut_into_the_same_tokens(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    work = detection.embedded_work(tmp_path, 2, 60, 1)
    detection.check(work.sides["gpt2lab fp32"](work.texts[0]), work.sides[detection.BASE](work.texts[0]))
    assert work.tokens == sum(len(work.sides["gpt2lab int8"](text)["ranks"]) for text in work.texts)


def test_rates_ratios_and_ranks() -> None:
    work = detection.Work({"a": lambda text: {}, detection.BASE: lambda text: {}}, ["text"], 10)
    found = detection.rates(work, Turns(rounds=1, steady=0.0, patience=0.0))
    assert set(found) == set(work.sides)
    assert all(rate > 0 for by_round in found.values() for rate in by_round.values())
    assert detection.ratio({"a": {1: 6.0, 2: 10.0}, "b": {1: 3.0, 2: 1.0}, "c": {1: 1.0, 2: 2.0}}, "a", "bc") == 3.5
    assert min(detection.ranks(100, 5, 1)) > 0
