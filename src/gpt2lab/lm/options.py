"""What `LanguageModel` makes of the options it is given: a checkpoint's defaults, lengths, remarks on prompts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from gpt2lab.engine.params import SamplingParams
from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer

_FROM_FILE = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "no_repeat_ngram_size")
"""Sampling settings that a checkpoint's generation_config.json may set when it says do_sample."""


def with_length(
    params: SamplingParams, max_length: int | None, options: Mapping[str, Any], prompt_length: int
) -> SamplingParams:
    """Return `params` with max_length, which counts the prompt too, turned into max_new_tokens."""
    if max_length is None:
        return params
    if "max_new_tokens" in options:
        raise RequestError("Give max_length (prompt and new tokens) or max_new_tokens, not both.")
    if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length <= prompt_length:
        raise RequestError(
            f"max_length = {max_length!r} must be a whole number above the prompt's {prompt_length} tokens."
        )
    return params.replaced({"max_new_tokens": max_length - prompt_length})


def warn_of_trailing_space(prompts: Iterable[str | None]) -> None:
    """GPT-2's tokens carry the space in front of a word, so a prompt that ends in one asks for an unusual token."""
    if any(text is not None and text.endswith(" ") for text in prompts):
        warnings.warn(
            "The prompt ends with a space, which GPT-2 rarely sees before a word; it usually writes better without.",
            stacklevel=3,
        )


def default_params(generation: Mapping[str, Any], config: GPT2Config, tokenizer: Tokenizer | None) -> SamplingParams:
    """Return the parameters for a checkpoint: its own generation_config.json where it samples, its own end token."""
    values: dict[str, Any] = {}
    if generation.get("do_sample"):
        values = {k: generation[k] for k in _FROM_FILE if generation.get(k) is not None}
    ends = generation.get("eos_token_id")
    if ends is None:
        ends = config.eos_token_id if config.eos_token_id is not None else tokenizer.eos_id if tokenizer else None
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    values["stop_ids"] = tuple(i for i in listed if 0 <= i < config.vocab_size)
    return SamplingParams(**values)
