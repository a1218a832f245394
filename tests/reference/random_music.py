"""Random models of music, small enough that nothing they do takes long."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpt2lab.apps.music.vocabulary import VOCABULARIES
from gpt2lab.checkpoint import save_hf
from gpt2lab.model.config import GPT2Config


def make_model(folder: Path, vocabulary: str, **shape: int) -> Path:
    """Write a random model of a vocabulary whose opinions are strong and senseless."""
    music = VOCABULARIES[vocabulary]
    shape = {"n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 2, **shape}
    config = GPT2Config(vocab_size=music.size, bos_token_id=music.end_id, eos_token_id=music.end_id, **shape)
    rng = np.random.default_rng(5)
    tensors = {name: rng.normal(0, 0.25, s).astype(np.float32) for name, s in config.tensor_shapes().items()}
    return save_hf(folder, config, tensors, music.tokenizer())
