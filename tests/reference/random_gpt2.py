"""Random GPT-2s of many shapes, and transformers' model with the same weights."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy_gpt2
from gpt2lab.engine.native import NativeBackend
from gpt2lab.model.config import ACTIVATIONS, GPT2Config


def random_config(seed: int) -> GPT2Config:
    """Draw a shape; the seeds together cover every activation and every switch."""
    r = random.Random(seed)
    heads, head_dim = r.choice([1, 2, 3, 5]), r.choice([1, 3, 4, 8, 17])
    return GPT2Config(
        vocab_size=r.choice([11, 97, 257, 1000]),
        n_positions=r.choice([7, 16, 33, 70]),
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


CONFIGS = {f"random {seed}": random_config(seed) for seed in range(32)} | {
    name: GPT2Config(bos_token_id=0, eos_token_id=0, **values)
    for name, values in {
        "one of everything": {"vocab_size": 5, "n_positions": 1, "n_embd": 1, "n_layer": 1, "n_head": 1, "n_inner": 1},
        "three heads, window 7": {"vocab_size": 101, "n_positions": 7, "n_embd": 48, "n_layer": 1, "n_head": 3},
        "prime vocabulary": {"vocab_size": 1009, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4},
        "GPT-2's own head width": {"vocab_size": 300, "n_positions": 40, "n_embd": 128, "n_layer": 2, "n_head": 2},
    }.items()
}

MODEL = GPT2Config(vocab_size=211, n_positions=64, n_embd=48, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
"""The shape used where one is enough."""


RELATIVE = {
    f"{distances} distances, head width {width}": GPT2Config(
        vocab_size=97, n_positions=70, n_embd=2 * width, n_layer=2, n_head=2, max_relative_position=distances,
        scale_attn_by_inverse_layer_idx=distances == 40, bos_token_id=0, eos_token_id=0,
    )
    for distances, width in ((2, 4), (7, 17), (33, 8), (64, 32), (70, 3), (200, 32), (40, 64))
}  # fmt: skip
"""Shapes with relative attention: fewer distances than positions, as many, and more."""


def weights_of(config: GPT2Config, seed: int = 7) -> dict[str, Any]:
    """Return float32 tensors by name, wide enough that the model has opinions, narrow enough for float32."""
    return numpy_gpt2.random_weights(config, seed=seed, scale=min(0.3, 1.5 * config.n_embd**-0.5))


def native(config: GPT2Config = MODEL, *, seed: int = 7, **options: Any) -> NativeBackend:
    """Return the native backend with random weights."""
    return NativeBackend(config, weights_of(config, seed), **options)


def transformers_model(config: GPT2Config, weights: Mapping[str, Any]) -> Any:
    """Return transformers' GPT2LMHeadModel in evaluation mode with these weights."""
    import torch
    import transformers

    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config.to_hf(), attn_implementation="eager"))
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    tensors.setdefault("lm_head.weight", tensors["transformer.wte.weight"])
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert not [name for name in missing if not name.endswith((".attn.bias", ".attn.masked_bias"))]
    return model.eval()
