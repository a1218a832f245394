"""The detection benchmark measures the same on both sides, and ranks as a sort gives them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import detection
from gpt2lab.model.config import GPT2Config


def test_both_sides_measure_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    config = GPT2Config(vocab_size=211, n_positions=32, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0)
    tensors = detection.weights(config)
    ids = np.random.default_rng(0).integers(211, size=30).astype(np.int32)
    mine = detection.ours(config, tensors, "fp32", 1)(ids)
    for sort in (True, False):
        detection.check(mine, detection.theirs(config, tensors, 1, sort=sort)(ids))
    monkeypatch.setattr(detection, "ROUNDS", 1)
    found = detection.rates({"a": lambda ids: None, "b": lambda ids: None}, [ids])
    assert set(found) == {"a", "b"}
    assert all(rate > 0 for rate in found.values())
    assert min(detection.ranks(100, 5)) > 0
