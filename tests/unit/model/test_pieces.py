"""Texts of packed rows, taken apart and put together: nothing lost, nothing mixed, gradients where they belong."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("torch", reason="the PyTorch model needs torch")

import torch
from torch import Tensor

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.model.pieces import Pieces


def positions_of(*rows: list[int]) -> Tensor:
    """Return the positions of rows of texts of these lengths."""
    return torch.stack([torch.cat([torch.arange(n) for n in lengths]) for lengths in rows])


ROWS = positions_of([1, 30, 9, 10, 50], [100], [8, 8, 17, 67], [33, 35, 31, 1])


def test_each_text_is_a_row_of_its_own_and_comes_back() -> None:
    pieces = Pieces(ROWS)
    x = torch.randn(*ROWS.shape, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    parts = pieces.parted(x)
    assert torch.equal(pieces.joined(parts), x)
    wanted = {tuple(text.flatten().tolist()) for row, places in zip(x, ROWS, strict=True)
              for text in torch.tensor_split(row, (places == 0).nonzero().flatten()[1:])}  # fmt: skip
    given = [tuple(text.flatten().tolist()) for part in parts for text in part]
    assert len(given) == len(wanted) == int((ROWS == 0).sum())
    assert all(any(text[: len(short)] == short for short in wanted) for text in given)
    assert sum(part.shape[0] * part.shape[1] for part in parts) < 1.35 * ROWS.numel()


def test_gradients_come_back_to_their_places() -> None:
    pieces = Pieces(ROWS)
    x = torch.randn(*ROWS.shape, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.randn(*ROWS.shape, 3, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((pieces.joined([part * part for part in pieces.parted(x)]) * weights).sum(), x)
    torch.testing.assert_close(gradient, 2 * weights * x)


@pytest.mark.parametrize("distances", [0, 12])
def test_texts_of_a_row_are_read_as_if_alone(distances: int) -> None:
    config = GPT2Config(
        vocab_size=50, n_positions=100, n_embd=12, n_layer=2, n_head=3, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, initializer_range=0.3, max_relative_position=distances,
    )  # fmt: skip
    model = GPT(config, torch.Generator().manual_seed(0)).eval()
    ids = torch.randint(50, ROWS.shape, generator=torch.Generator().manual_seed(1))
    packed = model.hidden(ids, pieces=Pieces(ROWS))
    for row in range(len(ROWS)):
        begins = [*(ROWS[row] == 0).nonzero().flatten().tolist(), ROWS.shape[1]]
        for begin, end in itertools.pairwise(begins):
            alone = model.hidden(ids[row : row + 1, begin:end])
            torch.testing.assert_close(packed[row : row + 1, begin:end], alone, rtol=1e-5, atol=1e-5)
