"""Shared by the tests of applications: tokenizers and a random model that know the fields of articles."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.checkpoint import load


@pytest.fixture(scope="session")
def codec(article_model: Path) -> Codec:
    tokenizer = load(article_model).tokenizer
    assert tokenizer is not None
    return Codec(tokenizer)
