"""Hidden states of every layer, per token and pooled, are transformers' to 1e-4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ("the night train waited for my sister.", "a grey cat", "Naïve plans — seven green apples!\n" * 3)


@pytest.mark.parametrize("name", ["random", "tiny"])
def test_every_layer(name: str, random_model: Path) -> None:
    import gpt2lab

    folder = random_model if name == "random" else Path(gpt2lab.__file__).parent / "pretrained" / "tiny"
    lm = LanguageModel.load(folder, threads=1)
    theirs = transformers.GPT2Model.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = [h[0].numpy() for h in theirs(ids, output_hidden_states=True).hidden_states]
        for layer in range(-1, len(states)):
            expected = states[layer]
            assert np.abs(lm.features(text, layer=layer, pooling="none") - expected).max() < 1e-4
            assert np.abs(lm.features(text, layer=layer) - expected.mean(0)).max() < 1e-4
            assert np.abs(lm.features(text, layer=layer, pooling="last") - expected[-1]).max() < 1e-4
