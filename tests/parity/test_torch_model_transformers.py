"""The PyTorch model against transformers' GPT2LMHeadModel and against the NumPy twin, over models of many shapes."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
import numpy_gpt2

pytest.importorskip("torch", reason="the PyTorch model needs torch")
pytest.importorskip("transformers", reason="the reference implementation is not installed")

import torch
import transformers

from gpt2lab.model.config import ACTIVATIONS, GPT2Config
from gpt2lab.model.gpt import GPT

TOLERANCE = 1e-4


def random_config(seed: int) -> GPT2Config:
    """Draw a shape; the seeds together cover every activation and every switch."""
    r = random.Random(seed)
    heads, head_dim = r.choice([1, 2, 3, 5]), r.choice([1, 3, 4, 8])
    return GPT2Config(
        vocab_size=r.choice([11, 97, 257, 1000]),
        n_positions=r.choice([7, 16, 33]),
        n_embd=heads * head_dim,
        n_head=heads,
        n_layer=r.choice([1, 2, 3]),
        n_inner=r.choice([None, 1, 10, 37]),
        activation_function=ACTIVATIONS[seed % len(ACTIVATIONS)],
        layer_norm_epsilon=r.choice([1e-5, 1e-6, 1e-2]),
        scale_attn_weights=r.random() < 0.7,
        scale_attn_by_inverse_layer_idx=r.random() < 0.5,
        tie_word_embeddings=r.random() < 0.6,
        bos_token_id=0,
        eos_token_id=0,
    )


EXTREMES: dict[str, dict[str, Any]] = {
    "one of everything": {"vocab_size": 5, "n_positions": 1, "n_embd": 1, "n_layer": 1, "n_head": 1, "n_inner": 1},
    "three heads, window 7": {"vocab_size": 101, "n_positions": 7, "n_embd": 48, "n_layer": 2, "n_head": 3},
    "prime vocabulary": {"vocab_size": 1009, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4},
}
CONFIGS = {f"random {seed}": random_config(seed) for seed in range(32)} | {
    name: GPT2Config(bos_token_id=0, eos_token_id=0, **values) for name, values in EXTREMES.items()
}


def ours(config: GPT2Config, weights: dict[str, Any]) -> GPT:
    model = GPT(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model.eval()


def theirs(config: GPT2Config, weights: dict[str, Any]) -> Any:
    settings: Any = transformers.GPT2Config(**config.to_hf())
    settings._attn_implementation = "eager"
    model: Any = transformers.GPT2LMHeadModel(settings)
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    tensors.setdefault("lm_head.weight", tensors["transformer.wte.weight"])
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert not [name for name in missing if not name.endswith((".attn.bias", ".attn.masked_bias"))]
    return model.eval()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_equal_transformers_and_the_numpy_twin(config: GPT2Config) -> None:
    weights = numpy_gpt2.random_weights(config, seed=7)
    ids = np.random.default_rng(3).integers(config.vocab_size, size=(2, config.n_positions))
    with torch.no_grad():
        logits = ours(config, weights)(torch.from_numpy(ids)).numpy()
        reference = theirs(config, weights)(torch.from_numpy(ids)).logits.numpy()
    twin = np.stack([numpy_gpt2.logits(config, weights, row.tolist()) for row in ids])
    assert logits.shape == (2, config.n_positions, config.vocab_size)
    np.testing.assert_allclose(logits, reference, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(logits, twin, rtol=0, atol=TOLERANCE)


def test_the_configurations_cover_every_setting_that_changes_the_forward_pass() -> None:
    assert len(CONFIGS) >= 30
    assert {c.activation_function for c in CONFIGS.values()} == set(ACTIVATIONS)
    for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings"):
        assert {getattr(c, name) for c in CONFIGS.values()} == {False, True}


@pytest.mark.parametrize("tied", [True, False])
def test_state_dict_has_the_names_and_shapes_of_transformers(tied: bool) -> None:
    config = GPT2Config(vocab_size=13, n_positions=5, n_embd=6, n_layer=2, n_head=3, tie_word_embeddings=tied)
    own = {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}
    reference = theirs(config, numpy_gpt2.random_weights(config, seed=0)).state_dict()
    assert own == config.tensor_shapes()
    known = {
        name: tuple(tensor.shape)
        for name, tensor in reference.items()
        if not name.endswith((".attn.bias", ".masked_bias"))
    }
    if tied:
        known.pop("lm_head.weight", None)
    assert own == known


def test_loss_and_gradients_equal_transformers() -> None:
    config = CONFIGS["prime vocabulary"]
    weights = numpy_gpt2.random_weights(config, seed=1, scale=0.1)
    ids = torch.from_numpy(np.random.default_rng(5).integers(config.vocab_size, size=(3, 16)))
    model, reference = ours(config, weights), theirs(config, weights)
    logits = model(ids)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    expected = reference(ids, labels=ids).loss
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    own, other = (dict(m.named_parameters()) for m in (model, reference))
    gradients = dict(zip(other, torch.autograd.grad(expected, list(other.values())), strict=True))
    for name, gradient in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
        torch.testing.assert_close(gradient, gradients[name], rtol=0, atol=1e-4)
