"""What a smaller precision costs on a book by an author the embedded model has not seen (decisions 4 and 15)."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import checkpoint
from gpt2lab.checkpoint import Checkpoint
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.protocol import Ids

AUTHOR, WINDOWS = "Sarah Orne Jewett", 24  # one of those held out by recipes/tiny.toml


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return checkpoint.load("tiny")


@pytest.fixture(scope="module")
def windows(model: Checkpoint, shared_data: Path) -> list[Ids]:
    with lzma.open(shared_data / "books.jsonl.xz", "rt", encoding="utf-8") as lines:
        text = next(book["text"] for book in map(json.loads, lines) if AUTHOR in str(book["author"]))
    assert model.tokenizer is not None
    ids = np.array(model.tokenizer.encode(text[20_000:80_000]), np.int32)
    size = model.config.n_positions + 1
    return [ids[i * size : (i + 1) * size] for i in range(WINDOWS)]


def perplexity(model: Checkpoint, windows: list[Ids], precision: str, cache: str = "auto") -> float:
    backend = NativeBackend(model.config, model.tensors, precision=precision, cache_precision=cache)
    logprobs = [backend.score(backend.new_cache(), w[:-1], w[1:], 0)[0] for w in windows]
    return float(np.exp(-np.concatenate(logprobs).astype(np.float64).mean()))


def test_smaller_precisions_keep_the_quality(model: Checkpoint, windows: list[Ids]) -> None:
    fp32 = perplexity(model, windows, "fp32")
    assert 20 < fp32 < 80
    for precision, most in (("bf16", 0.001), ("int8", 0.005), ("int4", 0.05)):
        assert perplexity(model, windows, precision) / fp32 - 1 < most, precision
    assert perplexity(model, windows, "fp32", "int8") / fp32 - 1 < 0.001
