"""Training against transformers: loss and gradients over twenty steps, of GPT-2's 124M shape and of a small one."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("transformers", reason="the reference implementation is not installed")

import torch
import transformers
from torch import nn

from gpt2lab.model.config import GPT2Config, preset
from gpt2lab.model.gpt import GPT
from gpt2lab.train.loss import cross_entropy_sum


def both(config: GPT2Config) -> tuple[GPT, nn.Module]:
    """Return our model and transformers' with the same random weights, both without dropout."""
    ours = GPT(config, torch.Generator().manual_seed(0))
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config.to_hf()))
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert not unexpected
    return ours.train(), theirs.train()


def still(config: GPT2Config) -> GPT2Config:
    values = {name: getattr(config, name) for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")}
    return GPT2Config(**values, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


def our_loss(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    targets = ids[:, 1:].flatten()
    return cross_entropy_sum(model.hidden(ids[:, :-1]).flatten(0, 1), model.head_weight, targets) / targets.numel()


def test_twenty_steps_of_the_124m_shape() -> None:
    ours, theirs = both(still(preset("gpt2")))
    reference = dict(theirs.named_parameters())
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01, fused=True) for model in (ours, theirs)]
    ids = torch.randint(50257, (2, 17), generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(20):
        own, expected = our_loss(ours, ids), theirs(ids, labels=ids).loss
        assert own.item() == pytest.approx(expected.item(), abs=1e-5)
        losses.append(own.item())
        own.backward()
        expected.backward()
        for name, parameter in ours.named_parameters():
            assert parameter.grad is not None
            scale = reference[name].grad.abs().max().item()
            torch.testing.assert_close(parameter.grad, reference[name].grad, rtol=1e-4, atol=1e-4 * scale, msg=name)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < losses[0] / 10  # these twenty steps learnt something


def test_twenty_steps_stay_together() -> None:
    ours, theirs = both(still(GPT2Config(vocab_size=211, n_positions=32, n_embd=48, n_layer=3, n_head=4)))
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True) for model in (ours, theirs)]
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        ids = torch.randint(211, (4, 33), generator=generator)
        # a window of 32 positions: transformers is given the last target as a label without a position of its own
        expected = torch.nn.functional.cross_entropy(theirs(ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten())
        own = our_loss(ours, ids)
        assert own.item() == pytest.approx(expected.item(), abs=1e-5)
        for loss, optimizer in zip((own, expected), optimizers, strict=True):
            loss.backward()
            optimizer.step()
        reference = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            assert parameter.grad is not None
            scale = reference[name].grad.abs().max().item()
            torch.testing.assert_close(parameter.grad, reference[name].grad, rtol=1e-4, atol=1e-4 * scale, msg=name)
        for optimizer in optimizers:
            optimizer.zero_grad()
