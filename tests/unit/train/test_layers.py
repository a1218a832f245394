"""What learns: frozen layers stay, rows of new tokens learn above them, and merge into the embedding."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.layers import NewRows, freeze, with_new_rows

CONFIG = GPT2Config(vocab_size=17, n_positions=5, n_embd=8, n_layer=3, n_head=2)


def model() -> GPT:
    return GPT(CONFIG, torch.Generator().manual_seed(1)).eval()


def test_frozen_are_the_embeddings_and_the_first_blocks() -> None:
    made = model()
    freeze(made, 2)
    learning = {name.split(".")[2] if ".h." in name else name for name, p in made.named_parameters() if p.requires_grad}
    assert learning == {"2", "transformer.ln_f.weight", "transformer.ln_f.bias"}
    whole = model()
    freeze(whole, 0)
    assert all(p.requires_grad for p in whole.parameters())
    with pytest.raises(ConfigError, match="freeze_layers = 4, but the model has 3 layers"):
        freeze(model(), 4)


def test_rows_of_new_tokens_learn_alone() -> None:
    plain, made = model(), model()
    freeze(made, 1)
    NewRows.add(made, 3)
    ids = torch.tensor([[1, 13, 14, 16]])  # 15 is new too, but not there
    assert torch.equal(made(ids), plain(ids))
    made(ids).square().sum().backward()
    rows = made.transformer.wte.new_rows
    assert rows.grad is not None
    assert rows.grad.any(1).tolist() == [True, False, True]
    assert made.transformer.wte.weight.grad is None


def test_they_merge_into_the_embedding() -> None:
    made = model()
    NewRows.add(made, 2)
    with torch.no_grad():
        made.transformer.wte.new_rows += 1
    merged = with_new_rows(made.state_dict())
    assert set(merged) == set(CONFIG.tensor_shapes())
    before = model().state_dict()["transformer.wte.weight"]
    torch.testing.assert_close(merged["transformer.wte.weight"][15:], before[15:] + 1)
    assert torch.equal(merged["transformer.wte.weight"][:15], before[:15])
