"""GPT-2's shape: sizes, aliases, transformers' config.json, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2lab.errors import ConfigError
from gpt2lab.model.config import ALIASES, PRESETS, GPT2Config, canonical_name, preset


def test_the_four_sizes_have_the_published_parameter_counts() -> None:
    millions = {name: round(config.parameter_count() / 1e6) for name, config in PRESETS.items()}
    assert millions == {"gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558}
    assert preset("gpt2").parameter_count() == 124_439_808  # transformers' GPT2LMHeadModel.num_parameters()


@pytest.mark.parametrize(
    ("names", "hub"),
    [
        (("117M", "124M", "124m", "small", "gpt2"), "gpt2"),
        (("345M", "355M", "medium", "gpt2-medium"), "gpt2-medium"),
        (("762M", "774M", "large"), "gpt2-large"),
        (("1542M", "1558M", "1.5B", "1.5b", "xl", "XL"), "gpt2-xl"),
    ],
)
def test_aliases(names: tuple[str, ...], hub: str) -> None:
    for name in names:
        assert canonical_name(name) == hub
        assert preset(name) == PRESETS[hub]
    assert canonical_name("someone/model") == "someone/model"
    with pytest.raises(ConfigError, match=r"Unknown size '125M'. Did you mean '12?\w+M'\? Known sizes: gpt2, "):
        preset("125M")
    assert set(ALIASES.values()) == set(PRESETS)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n_layer": 0}, "n_layer = 0 must be at least 1"),
        ({"n_embd": 10, "n_head": 3}, "n_embd = 10 must be a multiple of n_head = 3"),
        ({"n_inner": 0}, "n_inner = 0 must be at least 1, or absent"),
        (
            {"activation_function": "gelu_neu"},
            r"activation_function = 'gelu_neu' is not one of .*Did you mean 'gelu_new'\?",
        ),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon = 0.0 must be positive"),
        ({"attn_pdrop": 1.0}, r"attn_pdrop = 1.0 must be in \[0, 1\)"),
    ],
)
def test_impossible_shapes_are_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        GPT2Config(**values)


def test_reading_transformers_config() -> None:
    config = GPT2Config(
        n_inner=5, activation_function="relu", scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False
    )
    assert GPT2Config.from_hf(config.to_hf()) == config
    assert GPT2Config.from_hf({"n_ctx": 77, "vocab_size": 5, "summary_type": "mean"}).n_positions == 77
    assert GPT2Config.from_hf({"eos_token_id": [7, 8]}).eos_token_id == 7
    with pytest.raises(ConfigError, match="model_type = 'llama'; only 'gpt2' models can be loaded"):
        GPT2Config.from_hf({"model_type": "llama"})
    with pytest.raises(ConfigError, match="sets add_cross_attention = True, which gpt2lab does not compute"):
        GPT2Config.from_hf({"add_cross_attention": True})
    with pytest.raises(ConfigError, match="n_layer = 'twelve' must be of type int"):
        GPT2Config.from_hf({"n_layer": "twelve"})


def test_attention_scales() -> None:
    plain = GPT2Config(n_embd=64, n_head=4)
    assert plain.attention_scale(3) == 0.25
    odd = GPT2Config(n_embd=64, n_head=4, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True)
    assert [odd.attention_scale(i) for i in range(3)] == [1.0, 1 / 2, 1 / 3]
