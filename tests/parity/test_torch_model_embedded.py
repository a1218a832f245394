"""The embedded model: a plain GPT-2 folder that transformers, the PyTorch model and the NumPy twin read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gpt2lab
import numpy_gpt2
from gpt2lab.checkpoint import load_hf
from gpt2lab.tokenizer import Tokenizer

FOLDER = Path(gpt2lab.__file__).parent / "pretrained" / "tiny"
TEXT = "The old man looked at the sea, and said nothing for a long time."


def test_the_folder_is_small_and_whole() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 16_000_000


def test_the_card_says_what_it_is_made_of() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for said in ("bits per byte", "held out", "recipes/tiny.toml", "Limits", "Samples", "public domain"):
        assert said in card


def test_the_tokenizer_is_the_models_own_and_lossless() -> None:
    config, tokenizer = load_hf(FOLDER).config, Tokenizer.from_folder(FOLDER)
    assert tokenizer.vocab_size == config.vocab_size
    assert tokenizer.eos_id == config.eos_token_id
    text = TEXT + " “Où est-il?” 你好 \U0001f642\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_logits_of_all_implementations_agree() -> None:
    pytest.importorskip("torch", reason="the PyTorch model needs torch")
    pytest.importorskip("transformers", reason="the reference implementation is not installed")
    import torch
    import transformers

    from gpt2lab.model.gpt import GPT

    checkpoint = load_hf(FOLDER)
    weights = {
        name: np.asarray(checkpoint.tensors[name], dtype=np.float32) for name in checkpoint.config.tensor_shapes()
    }
    model = GPT(checkpoint.config).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    reference = transformers.GPT2LMHeadModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    ids = Tokenizer.from_folder(FOLDER).encode(TEXT)
    with torch.no_grad():
        own = model(torch.tensor([ids]))[0].numpy()
        theirs = reference(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(own, numpy_gpt2.logits(checkpoint.config, weights, ids), rtol=0, atol=1e-4)


def test_it_has_learnt_english() -> None:
    checkpoint, tokenizer = load_hf(FOLDER), Tokenizer.from_folder(FOLDER)
    weights = {name: checkpoint.tensors[name] for name in checkpoint.config.tensor_shapes()}

    def bits_per_byte(text: str) -> float:
        ids = [checkpoint.config.eos_token_id or 0, *tokenizer.encode(text)]
        logits = numpy_gpt2.logits(checkpoint.config, weights, ids[:-1])
        chosen = logits[np.arange(len(ids) - 1), ids[1:]]
        return float((np.logaddexp.reduce(logits, axis=1) - chosen).sum() / np.log(2) / len(text.encode()))

    assert bits_per_byte(TEXT) < 2.0
    assert bits_per_byte(" ".join(reversed(TEXT.split(" ")))) > bits_per_byte(TEXT) + 0.5
