"""A model learns tokens: the mistakes; what it gets is shown in tests/integration/test_article.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.checkpoint import load
from gpt2lab.checkpoint.extend import with_tokenizer
from gpt2lab.errors import CheckpointError, TokenizerError
from gpt2lab.tokenizer import Tokenizer, train_tokenizer


def test_nothing_new_changes_nothing(random_model: Path) -> None:
    base = load(random_model)
    assert base.tokenizer is not None
    same = with_tokenizer(base, base.tokenizer)
    assert same.config == base.config
    assert all(np.array_equal(same.tensors[n], base.tensors[n]) for n in base.tensors)


def test_the_noise_is_the_seeds(random_model: Path) -> None:
    base = load(random_model)
    assert base.tokenizer is not None
    more = Tokenizer(base.tokenizer.vocabulary.with_special(["<|a|>", "<|b|>"]))
    rows = [with_tokenizer(base, more, seed=s).tensors["transformer.wte.weight"][-2:] for s in (0, 0, 1)]
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])


def test_another_vocabulary_is_refused(random_model: Path) -> None:
    base = load(random_model)
    other = train_tokenizer(iter(["quite other words, quite another text"]), vocab_size=300)
    with pytest.raises(CheckpointError, match=r"has not all tokens of .* under the same ids"):
        with_tokenizer(base, other)
    with pytest.raises(CheckpointError, match="has no tokenizer, so nothing is known of its ids"):
        with_tokenizer(dataclasses.replace(base, tokenizer=None), other)


def test_special_tokens_are_added_once_and_in_order(random_model: Path) -> None:
    tokenizer = load(random_model).tokenizer
    assert tokenizer is not None
    table = tokenizer.vocabulary.with_special(["<|a|>", "<|endoftext|>", "<|b|>", "<|a|>"], roles={"pad": "<|b|>"})
    n = tokenizer.vocab_size
    assert (table.special_tokens["<|a|>"], table.special_tokens["<|b|>"], len(table.token_ids())) == (n, n + 1, n + 2)
    assert table.roles["pad"] == "<|b|>" and table.roles["eos"] == "<|endoftext|>"
    assert table.with_special(["<|b|>"], roles={"pad": "<|a|>"}).roles["pad"] == "<|b|>"
    ordinary = next(token for token in table.vocab if token not in table.special_tokens)
    with pytest.raises(TokenizerError, match="is an ordinary token of this vocabulary already"):
        table.with_special([ordinary])
