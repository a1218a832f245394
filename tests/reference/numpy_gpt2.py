"""GPT-2 once more, in NumPy and float64, written from the paper: the oracle that shares no line with the package.

Radford et al. (2019), section 2.3, on Radford et al. (2018): learned positions, pre-norm blocks, a last layer norm, the
token embeddings as the head. Weights are a dict of arrays in the names of GPT-2's checkpoints, linear ones (in, out).

Legend: T positions, C width, H heads, D head width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.model.config import GPT2Config

Array = npt.NDArray[np.float64]
Weights = Mapping[str, npt.NDArray[Any]]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _gelu(x: Array) -> Array:
    """x times the probability that a standard normal is below x."""
    return np.asarray(0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))))


def _gelu_tanh(x: Array) -> Array:
    """Hendrycks and Gimpel (2016): the approximation that GPT-2 was trained with."""
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATION: dict[str, Callable[[Array], Array]] = {
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu": _gelu,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
}


def logits(config: GPT2Config, weights: Weights, ids: list[int]) -> Array:
    """Return the logits (T, V) of the token after each of `ids`."""
    w = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]  # (T, C)
    for layer in range(config.n_layer):
        prefix = f"transformer.h.{layer}."
        block = {name[len(prefix) :]: value for name, value in w.items() if name.startswith(prefix)}
        x = x + _attention(config, layer, block, _norm(config, x, block["ln_1.weight"], block["ln_1.bias"]))
        x = x + _feed_forward(config, block, _norm(config, x, block["ln_2.weight"], block["ln_2.bias"]))
    x = _norm(config, x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])
    head = w["transformer.wte.weight"] if config.tie_word_embeddings else w["lm_head.weight"]
    return x @ head.T  # (T, C) @ (C, V)


def greedy(config: GPT2Config, weights: Weights, ids: list[int], steps: int) -> list[int]:
    """Return `steps` tokens, each the likeliest after all before it."""
    out: list[int] = []
    for _ in range(steps):
        out.append(int(logits(config, weights, [*ids, *out])[-1].argmax()))
    return out


def random_weights(config: GPT2Config, seed: int, scale: float = 0.3) -> dict[str, npt.NDArray[np.float32]]:
    """Draw every tensor of a checkpoint, wide enough that a mistake anywhere shows in the logits."""
    draw = np.random.default_rng(seed).standard_normal
    return {name: (draw(shape) * scale).astype(np.float32) for name, shape in config.tensor_shapes().items()}


def _norm(config: GPT2Config, x: Array, gain: Array, bias: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + config.layer_norm_epsilon) * gain + bias)


def _attention(config: GPT2Config, layer: int, block: Mapping[str, Array], x: Array) -> Array:
    t, c = x.shape
    d = c // config.n_head
    qkv = x @ block["attn.c_attn.weight"] + block["attn.c_attn.bias"]  # (T, 3C)
    mixed = np.empty((t, c))
    for head in range(config.n_head):
        q, k, v = (qkv[:, part * c + head * d : part * c + (head + 1) * d] for part in range(3))  # (T, D) each
        if config.attention_of(layer) == "compressed":
            mixed[:, head * d : (head + 1) * d] = _compressed(config, layer, block, head, q, k, v)
            continue
        scores = q @ k.T  # (T, T)
        if config.max_relative_position:
            back = np.clip(np.arange(t)[:, None] - np.arange(t), 0, config.max_relative_position - 1)  # (T, T)
            scores = scores + np.einsum("td,tsd->ts", q, block["attn.relative_keys"][head][back])
        scores[np.triu_indices(t, 1)] = -np.inf  # no position sees a later one
        if config.attention_of(layer) == "local":
            blocks = np.arange(t) // config.attention_block
            scores[blocks[:, None] != blocks] = -np.inf
        mixed[:, head * d : (head + 1) * d] = _softmax(_scaled(config, layer, scores)) @ v
    return mixed @ block["attn.c_proj.weight"] + block["attn.c_proj.bias"]


def _compressed(
    config: GPT2Config, layer: int, block: Mapping[str, Array], head: int, q: Array, k: Array, v: Array
) -> Array:
    """Attend from each position, one after the other, to the groups that are complete and to what is left over."""
    c, d = config.attention_compression, q.shape[1]

    def joined(part: str, x: Array) -> Array:
        """Return one vector (D,) for the positions (c, D) of a group, by the kernel's c matrices."""
        kernel = block[f"attn.compress_{part}.weight"][head].reshape(c, d, d)
        return block[f"attn.compress_{part}.bias"][head * d : (head + 1) * d] + sum(x[i] @ kernel[i] for i in range(c))

    mixed = np.empty_like(q)
    for i in range(len(q)):
        groups = (i + 1) // c
        keys = [joined("keys", k[g * c : (g + 1) * c]) for g in range(groups)] + list(k[groups * c : i + 1])
        values = [joined("values", v[g * c : (g + 1) * c]) for g in range(groups)] + list(v[groups * c : i + 1])
        mixed[i] = _softmax(_scaled(config, layer, np.array(keys) @ q[i])) @ np.array(values)
    return mixed


def _scaled(config: GPT2Config, layer: int, scores: Array) -> Array:
    if config.scale_attn_weights:
        scores = scores / math.sqrt(config.n_embd // config.n_head)
    return scores / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scores


def _softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=-1, keepdims=True))


def _feed_forward(config: GPT2Config, block: Mapping[str, Array], x: Array) -> Array:
    hidden = ACTIVATION[config.activation_function](x @ block["mlp.c_fc.weight"] + block["mlp.c_fc.bias"])
    return hidden @ block["mlp.c_proj.weight"] + block["mlp.c_proj.bias"]
