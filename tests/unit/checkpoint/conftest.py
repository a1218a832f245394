"""A random model without torch and the small HTTP server, shared by the tests of checkpoints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.model.config import GPT2Config
from small_server import Served, serving

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Model:
    config: GPT2Config
    tensors: dict[str, np.ndarray]


@pytest.fixture
def model() -> Model:
    return random_model(GPT2Config(vocab_size=19, n_positions=7, n_embd=12, n_layer=2, n_head=3, n_inner=20))


@pytest.fixture
def untied() -> Model:
    shape = GPT2Config(vocab_size=19, n_positions=7, n_embd=12, n_layer=1, n_head=3, tie_word_embeddings=False)
    return random_model(dataclasses.replace(shape, bos_token_id=0, eos_token_id=1))


def random_model(config: GPT2Config) -> Model:
    rng = np.random.default_rng(0)
    return Model(config, {n: rng.normal(size=s).astype(np.float32) for n, s in config.tensor_shapes().items()})


@pytest.fixture(scope="session")
def tf_folder() -> Path:
    return ROOT / "tests" / "fixtures" / "tf_checkpoint"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of data that the project does not ship."""
    folder = Path(os.environ.get("GPT2LAB_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the data folder {folder} is not here (set GPT2LAB_DATA)")
    return folder


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running
