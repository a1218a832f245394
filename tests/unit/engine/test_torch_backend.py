"""The torch backend against the native one: same protocol, same tokens, numbers within rounding."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine.beam import beam_search
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output
from gpt2lab.engine.likelihood import Pair, likelihoods
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend
from gpt2lab.engine.running import Limits
from gpt2lab.engine.scheduler import Scheduler
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


def test_continuations_are_as_likely_and_weights_have_names(backends: tuple[Backend, Backend]) -> None:
    pairs = [Pair(np.arange(1, 9, dtype=np.int32), np.arange(3, 3 + n, dtype=np.int32)) for n in (1, 4)]
    own, other = (dict(likelihoods(backend, pairs)) for backend in backends)
    for i in range(len(pairs)):
        np.testing.assert_allclose(own[i].logprobs, other[i].logprobs, atol=1e-4)
        np.testing.assert_array_equal(own[i].likeliest, other[i].likeliest)
    again, different = (TorchBackend(MODEL, weights_of(MODEL, seed), device="cpu") for seed in (7, 8))
    assert backends[1].fingerprint() == again.fingerprint() != different.fingerprint()


def test_texts_that_come_and_go_are_the_same_tokens(backends: tuple[Backend, Backend]) -> None:
    """Prompts in pieces, beginnings shared, prompt lookup asked for (and ignored, which changes no token)."""
    whole = np.random.default_rng(1).integers(MODEL.vocab_size, size=100).astype(np.int32)
    params = PARAMS.replaced({"prompt_lookup_num_tokens": 4, "stop_ids": ()})
    jobs = [Job(whole[:n], params, n) for n in (40, 40, 41, 50, 63, 64, 70, 100)]
    expected = run(backends[0], jobs)
    for backend in backends:
        prefixes = PrefixCache()
        with Scheduler(backend, limits=Limits(max_running=3, step_tokens=11), prefixes=prefixes) as scheduler:
            outputs = [t.result() for t in scheduler.submit_all(jobs)]
        for own, other in zip(expected, outputs, strict=True):
            assert own.ids == other.ids
            np.testing.assert_allclose(own.logprobs, other.logprobs, atol=1e-4)
        assert scheduler.statistics().known_tokens >= 39 + 40 + 40
        caches = prefixes.statistics()
        assert 0 < caches.bytes <= prefixes.max_bytes


def test_snapshots_and_what_is_due_agree(backends: tuple[Backend, Backend]) -> None:
    prompt = np.arange(1, 61, dtype=np.int32)
    own, other = (backend.sequence(prompt, PARAMS.replaced({"stop_ids": ()}), 0) for backend in backends)
    for steps, budget in ((0, 1), (1, 20), (1, 20), (1, 20), (6, 1), (1, 30), (30, 40), (200, 1)):
        for backend, sequence in zip(backends, (own, other), strict=True):
            backend.decode([sequence], steps, budget=budget)
        assert own.due == other.due
        assert own.generated == other.generated
        (held, cache), (other_held, other_cache) = own.snapshot(), other.snapshot()
        np.testing.assert_array_equal(held, other_held)
        assert cache.length == other_cache.length == len(held)


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
