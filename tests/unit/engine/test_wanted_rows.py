"""Rows whose logits nobody wants are spared most of the last layer; those that are wanted keep every bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gpt2lab import _native
from gpt2lab.engine.native import NativeBackend
from gpt2lab.model.config import GPT2Config
from random_gpt2 import native

CONFIG = GPT2Config(vocab_size=300, n_positions=700, n_embd=96, n_layer=2, n_head=3)
LENGTHS = (1, 40, 2, 600, 17)  # the fourth and fifth share a chunk of 512 rows; of the third nothing is left for it
PATHS = list(itertools.product(_native.available_isas(), ("fp32", "bf16", "int8", "int4"), ("fp32", "bf16", "int8")))


@pytest.fixture(scope="module", params=PATHS, ids="-".join)
def backend(request: pytest.FixtureRequest) -> NativeBackend:
    isa, precision, cache_precision = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT2LAB_ISA", isa)
        return native(CONFIG, precision=precision, cache_precision=cache_precision, threads=2)


def texts() -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.integers(300, size=length).astype(np.int32) for length in LENGTHS]


def bits(rows: Any) -> Any:
    return np.asarray(rows).view(np.uint32)


def test_last_rows_are_those_of_all_rows(backend: NativeBackend) -> None:
    ids = texts()
    everything = backend.forward([backend.new_cache() for _ in ids], ids, all_positions=True)
    expected = everything[np.cumsum(LENGTHS) - 1]
    caches = [backend.new_cache() for _ in ids]
    assert np.array_equal(bits(backend.forward(caches, ids)), bits(expected))
    following = [np.array([7], np.int32)] * len(ids)  # which reads what was stored of all rows
    whole = [np.append(one, np.int32(7)) for one in ids]
    again = backend.forward([backend.new_cache() for _ in ids], whole, all_positions=True)
    assert np.array_equal(bits(backend.forward(caches, following)), bits(again[np.cumsum(np.array(LENGTHS) + 1) - 1]))


def test_a_text_that_is_only_stored_is_stored_whole(backend: NativeBackend) -> None:
    (ids,) = (one for one in texts() if len(one) == 600)
    cache = backend.new_cache()
    backend.feed(cache, ids[:-1])
    assert np.array_equal(
        bits(backend.forward([cache], [ids[-1:]])),
        bits(backend.forward([backend.new_cache()], [ids], all_positions=True)[-1:]),
    )
