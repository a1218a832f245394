"""A folder with small corpora, and a small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from small_corpora import write_corpora


@pytest.fixture(scope="session")
def corpora_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small file for every task."""
    return write_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="session")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)
