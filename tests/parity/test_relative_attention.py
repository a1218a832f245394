"""Relative attention: the engine, PyTorch and the NumPy twin agree, in every precision, however a text is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import numpy_gpt2
from gpt2lab.checkpoint import load_hf, save_hf
from gpt2lab.checkpoint.gguf import save_gguf
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.errors import CheckpointError, ConfigError
from gpt2lab.model.config import GPT2Config
from random_gpt2 import RELATIVE, native, weights_of

CONFIG = RELATIVE["33 distances, head width 8"]


def ids_of(config: GPT2Config, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.vocab_size, config.n_positions).astype(np.int32)


@pytest.mark.parametrize("name", RELATIVE)
def test_the_engine_computes_what_the_twin_does(name: str) -> None:
    config = RELATIVE[name]
    weights, ids = weights_of(config), ids_of(config)
    for tensor in weights:
        weights[tensor] *= 6 if tensor.endswith("relative_keys") else 1  # so that they matter in every shape
    want = numpy_gpt2.logits(config, weights, ids.tolist())
    backend = NativeBackend(config, weights, threads=1)
    np.testing.assert_allclose(backend.forward([backend.new_cache()], [ids], all_positions=True), want, atol=1e-4)
    flat = dict(weights, **{n: np.zeros_like(w) for n, w in weights.items() if n.endswith("relative_keys")})
    assert np.abs(numpy_gpt2.logits(config, flat, ids.tolist()) - want).max() > 2e-3


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_smaller_weights_stay_near(precision: str) -> None:
    config = RELATIVE["64 distances, head width 32"]
    weights, ids = weights_of(config), ids_of(config)
    want = numpy_gpt2.logits(config, weights, ids.tolist())
    backend = NativeBackend(config, weights, precision=precision, threads=1)
    got = backend.forward([backend.new_cache()], [ids], all_positions=True)
    allowed = {"bf16": 0.03, "int8": 0.05, "int4": 0.35}[precision]
    assert np.abs(got - want).max() <= allowed * np.abs(want).max()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_neither_pieces_nor_neighbours_nor_threads_change_a_bit(precision: str) -> None:
    weights, ids = weights_of(CONFIG), ids_of(CONFIG)
    one = NativeBackend(CONFIG, weights, precision=precision, threads=1)
    whole = one.forward([one.new_cache()], [ids], all_positions=True)
    cache = one.new_cache()
    parts = [one.forward([cache], [ids[a:b]], all_positions=True) for a, b in ((0, 1), (1, 34), (34, 35), (35, 70))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    two = NativeBackend(CONFIG, weights, precision=precision, threads=2)
    caches = [two.new_cache() for _ in range(3)]
    both = two.forward(caches, [ids[:9], ids, ids[:50]], all_positions=True)
    np.testing.assert_array_equal(both[9 : 9 + len(ids)], whole)


def test_greedy_text_is_the_twins() -> None:
    weights, prompt = weights_of(CONFIG), [3, 1, 4]
    want = numpy_gpt2.greedy(CONFIG, weights, prompt, 40)
    params = SamplingParams(temperature=0.0, max_new_tokens=40, stop_ids=())
    batch = Batch(native(CONFIG, threads=1), [Job(np.array(prompt, np.int32), params)])
    assert [token for part in batch for token in part.ids] == want


def test_torch_computes_the_same() -> None:
    torch = pytest.importorskip("torch")
    from gpt2lab.model.gpt import GPT

    for config in RELATIVE.values():
        weights, ids = weights_of(config), ids_of(config)
        model = GPT(config).eval()
        model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        with torch.no_grad():
            got = model(torch.from_numpy(ids.astype(np.int64))[None])[0].numpy()
        np.testing.assert_allclose(got, numpy_gpt2.logits(config, weights, ids.tolist()), atol=1e-4)


def test_a_checkpoint_carries_the_vectors_and_transformers_refuses_it(tmp_path: Path) -> None:
    weights = weights_of(CONFIG)
    save_hf(tmp_path / "model", CONFIG, weights)
    loaded = load_hf(tmp_path / "model")
    assert loaded.config == CONFIG
    for name, value in weights.items():
        np.testing.assert_array_equal(loaded.tensors[name], value)
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="gpt2-relative"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="A GGUF file cannot say max_relative_position = 33"):
        save_gguf(tmp_path / "model.gguf", loaded)


def test_an_impossible_number_of_distances() -> None:
    with pytest.raises(ConfigError, match=r"max_relative_position = -1 must not be negative"):
        GPT2Config(max_relative_position=-1)


def test_a_plain_model_is_described_as_before() -> None:
    assert "max_relative_position" not in GPT2Config().to_hf()
    assert not [name for name in GPT2Config().tensor_shapes() if "relative" in name]
