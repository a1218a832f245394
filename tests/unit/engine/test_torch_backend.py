"""The torch backend against the native one: same protocol, same tokens, numbers within rounding."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine.beam import beam_search
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import Backend
from gpt2lab.engine.score import score_ids
from gpt2lab.errors import ConfigError
from random_gpt2 import CONFIGS, MODEL, native, weights_of

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from gpt2lab.engine.torch_backend import TorchBackend  # noqa: E402

PARAMS = SamplingParams(max_new_tokens=90, temperature=0.9, top_k=20, seed=3, stop_ids=(0,), top_logprobs=2)


def run(backend: Backend, jobs: list[Job]) -> list[Output]:
    batch = Batch(backend, jobs)
    for _ in batch:
        pass
    return [batch.output(i) for i in range(len(jobs))]


@pytest.fixture(scope="module")
def backends() -> tuple[Backend, Backend]:
    return native(MODEL), TorchBackend(MODEL, weights_of(MODEL), device="cpu")


def test_samples_are_the_same_tokens_past_the_window_too(backends: tuple[Backend, Backend]) -> None:
    prompt = np.arange(1, 9, dtype=np.int32)
    jobs = [Job(prompt, PARAMS, s) for s in range(3)] + [Job(np.asarray([7], np.int32), PARAMS)]
    own, other = run(backends[0], jobs), run(backends[1], jobs)
    assert [o.ids for o in own] == [o.ids for o in other]
    for a, b in zip(own, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)


def test_beams_are_the_same(backends: tuple[Backend, Backend]) -> None:
    params = PARAMS.replaced({"num_beams": 3, "max_new_tokens": 20})
    prompt = np.arange(1, 9, dtype=np.int32)
    assert [o.ids for o in beam_search(backends[0], prompt, params)] == [
        o.ids for o in beam_search(backends[1], prompt, params)
    ]


def test_scores_and_hidden_states_agree(backends: tuple[Backend, Backend]) -> None:
    ids = np.random.default_rng(0).integers(MODEL.vocab_size, size=300).astype(np.int32)
    a, b = (score_ids(backend, ids, context=0, top=3) for backend in backends)
    np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    np.testing.assert_allclose(a.entropies, b.entropies, atol=1e-4)
    np.testing.assert_array_equal(a.top_ids, b.top_ids)
    np.testing.assert_array_equal(a.ranks, b.ranks)
    for layer in range(MODEL.n_layer + 1):
        np.testing.assert_allclose(backends[0].hidden(ids[:40], layer), backends[1].hidden(ids[:40], layer), atol=1e-4)


@pytest.mark.parametrize("name", ["one of everything", "three heads, window 7", "random 5", "random 10"])
def test_other_shapes_agree(name: str) -> None:
    config = CONFIGS[name]
    ids = np.random.default_rng(0).integers(config.vocab_size, size=config.n_positions).astype(np.int32)
    rows = [
        backend.forward([backend.new_cache()], [ids], all_positions=True)
        for backend in (native(config), TorchBackend(config, weights_of(config), device="cpu"))
    ]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-4)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"device = 'gpu5' cannot be used .*; use 'cpu'"):
        TorchBackend(MODEL, weights_of(MODEL), device="gpu5")
    assert "torch fp32, cpu" in TorchBackend(MODEL, weights_of(MODEL), device="cpu").description


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_gives_the_same_greedy_tokens() -> None:
    params = SamplingParams(temperature=0.0, max_new_tokens=50, stop_ids=())
    job = [Job(np.asarray([5, 6], np.int32), params)]
    gpu = TorchBackend(MODEL, weights_of(MODEL), device="cuda")
    assert run(gpu, job)[0].ids == run(native(MODEL), job)[0].ids
