"""The chunked loss is the plain one, gradients included."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab.data.batches import IGNORE
from gpt2lab.train import loss as loss_module
from gpt2lab.train.loss import cross_entropy_sum, keep_buffers, smoothing_sum


@pytest.mark.parametrize("chunk", [1, 3, 7, 512])
@pytest.mark.parametrize("ignored", [[], [0, 4], list(range(11))])
def test_loss_and_gradients_equal_the_plain_ones(chunk: int, ignored: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 5, generator=generator).mul_(3).requires_grad_()
    weight = torch.randn(29, 5, generator=generator).mul_(3).requires_grad_()
    targets = torch.randint(29, (11,), generator=generator)
    targets[ignored] = IGNORE
    loss = cross_entropy_sum(hidden, weight, targets, chunk=chunk)
    ours = torch.autograd.grad(2.5 * loss, [hidden, weight])
    plain = torch.nn.functional.cross_entropy(hidden @ weight.t(), targets, ignore_index=IGNORE, reduction="sum")
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for own, expected in zip(ours, torch.autograd.grad(2.5 * plain, [hidden, weight]), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


def test_half_precision_is_near_the_plain_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (
        torch.randn(300, 16, generator=generator),
        torch.randn(50, 16, generator=generator).requires_grad_(),
    )
    targets = torch.randint(50, (300,), generator=generator)
    half = hidden.bfloat16().requires_grad_()
    loss = cross_entropy_sum(half, weight, targets)
    plain = torch.nn.functional.cross_entropy(half.float() @ weight.t(), targets, reduction="sum")
    assert loss.item() == pytest.approx(plain.item(), rel=2e-3)
    for own, expected in zip(
        torch.autograd.grad(loss, [half, weight]), torch.autograd.grad(plain, [half, weight]), strict=True
    ):
        assert own.dtype == expected.dtype
        assert (own.float() - expected.float()).norm() < 0.02 * expected.float().norm()


def test_huge_logits_do_not_overflow() -> None:
    hidden = torch.full((1, 1), 1e4, requires_grad=True)
    loss = cross_entropy_sum(hidden, torch.tensor([[1.0], [0.0]]), torch.tensor([1]))
    assert loss.item() == 1e4
    assert torch.autograd.grad(loss, hidden)[0].item() == 1.0


def test_without_gradients_only_the_loss_is_computed() -> None:
    hidden, weight = torch.ones(2, 3), torch.zeros(4, 3)
    loss = cross_entropy_sum(hidden, weight, torch.tensor([0, 1]))
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(2 * torch.log(torch.tensor(4.0)).item())


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_label_smoothing_equals_the_plain_one(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 5, generator=generator).requires_grad_()
    weight = torch.randn(29, 5, generator=generator).requires_grad_()
    targets = torch.randint(29, (11,), generator=generator)
    loss = cross_entropy_sum(hidden, weight, targets) + share * smoothing_sum(hidden, weight, targets)
    plain = torch.nn.functional.cross_entropy(
        hidden @ weight.t(), targets, label_smoothing=share, reduction="sum"
    )  # fmt: skip
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    expected = torch.autograd.grad(plain, [hidden, weight])
    for own, other in zip(torch.autograd.grad(loss, [hidden, weight]), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)


def test_kept_buffers_serve_every_number_of_rows_and_change_nothing() -> None:
    weight = torch.randn(97, 16, requires_grad=True)
    parts = [torch.randn(n, 16) for n in (5, 40, 7, 64, 3)]

    def losses() -> list[torch.Tensor]:
        return [cross_entropy_sum(part, weight, torch.arange(len(part)), chunk=32) for part in parts]

    plain = losses()
    with keep_buffers():
        kept = losses()
        held = list(loss_module._kept.get().values())  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(plain, kept, strict=True))
    assert [tuple(buffer.shape) for buffer in held] == [(32, 97)]
    assert loss_module._kept.get() is None


@pytest.mark.parametrize("rows", [1, 63, 65])
def test_rows_that_fill_up_add_nothing(rows: int) -> None:
    hidden, weight = torch.randn(rows, 5, requires_grad=True), torch.randn(29, 5, requires_grad=True)
    targets = torch.arange(rows) % 29
    targets[0] = IGNORE
    loss = cross_entropy_sum(hidden, weight, targets)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.t(), targets, ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(loss, plain, rtol=1e-5, atol=1e-5)
    for own, expected in zip(
        torch.autograd.grad(loss, [hidden, weight]), torch.autograd.grad(plain, [hidden, weight]), strict=True
    ):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)
