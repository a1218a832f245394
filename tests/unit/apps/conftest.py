"""Shared by the tests of applications: tokenizers and a random model that know the fields of articles."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.training import knowing_fields
from gpt2lab.checkpoint import load, save_hf


@pytest.fixture(scope="session")
def article_model(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the random model and rows for the field tokens."""
    made = knowing_fields(load(random_model))
    return save_hf(tmp_path_factory.mktemp("articles") / "model", made.config, made.tensors, made.tokenizer)


@pytest.fixture(scope="session")
def codec(article_model: Path) -> Codec:
    tokenizer = load(article_model).tokenizer
    assert tokenizer is not None
    return Codec(tokenizer)
