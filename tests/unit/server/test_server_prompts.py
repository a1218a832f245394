"""Prompts of a request, before the engine sees them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gpt2lab import checkpoint
from gpt2lab.errors import RequestError
from gpt2lab.server.prompts import read_prompts


def test_an_id_to_spare_is_no_prompt() -> None:
    """Of a model whose embedding is padded beyond its vocabulary."""
    tokenizer = checkpoint.load("tiny").tokenizer
    assert tokenizer is not None
    lm = SimpleNamespace(config=SimpleNamespace(vocab_size=tokenizer.vocab_size + 8))
    model: Any = SimpleNamespace(lm=lm, tokenizer=tokenizer)
    last = tokenizer.vocab_size - 1
    (prompt,) = asyncio.run(read_prompts(model, [0, last], 10))
    assert prompt.ids.tolist() == [0, last]
    assert prompt.text(tokenizer) == tokenizer.decode([0, last])
    with pytest.raises(RequestError, match=f"Token id {last + 1} is not one of the model's: 0 to {last}"):
        asyncio.run(read_prompts(model, [0, last + 1], 10))
