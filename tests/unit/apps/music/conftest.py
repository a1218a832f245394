"""Random models of music, loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.lm.model import LanguageModel


@pytest.fixture(scope="session")
def performer(performer_folder: Path) -> LanguageModel:
    """A random model of performances."""
    return LanguageModel.load(performer_folder, threads=1)


@pytest.fixture(scope="session")
def chorister(chorister_folder: Path) -> LanguageModel:
    """A random model of chorales."""
    return LanguageModel.load(chorister_folder, threads=1)
