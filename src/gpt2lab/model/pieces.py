"""Rows that hold several texts, between which attention has borders: each text attends to itself alone.

No mask of all pairs of positions is made. What attention mixes is taken apart into its texts, those of about one length
beside each other as rows of their own, and put together again behind it: any kind of attention keeps the borders, and
computes what the texts need and not what the rows are long. (Krell et al. 2021, "Efficient Sequence Packing without
Cross-contamination", section 3.2, keeps the borders by masks.)

Legend: B rows, T positions, G texts of about one length, n positions that each of them gets, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_LEAST = 8
"""Lengths are rounded up to multiples of this, long ones to a fourth or less of their highest power of two."""


class Pieces:
    """The texts of rows (B, T): one begins wherever `positions` (B, T) says 0, as every row does at its beginning."""

    def __init__(self, positions: Tensor) -> None:
        assert not positions[:, 0].any(), "a row begins in the middle of a text"
        self.positions = positions
        count = positions.numel()
        first = (positions.flatten() == 0).nonzero().squeeze(1).cpu()  # of each text, in the flattened rows
        lengths = torch.diff(first, append=torch.tensor([count]))
        room = _rounded(lengths)
        order = torch.argsort(room, stable=True)
        lengths, first, room = lengths[order], first[order], room[order]
        begins = room.cumsum(0) - room  # where each text begins once they are taken apart
        within = torch.arange(int(room.sum())) - begins.repeat_interleave(room)
        sources = first.repeat_interleave(room) + torch.minimum(within, (lengths - 1).repeat_interleave(room))
        back = torch.empty(count, dtype=torch.long)
        real = within < lengths.repeat_interleave(room)
        back[sources[real]] = real.nonzero().squeeze(1)
        self._sources, self._back = sources.to(positions.device), back.to(positions.device)
        sizes, counts = torch.unique_consecutive(room, return_counts=True)
        self._shapes = list(zip(counts.tolist(), sizes.tolist(), strict=True))

    def parted(self, x: Tensor) -> list[Tensor]:
        """Return the texts of (B, T, W) as tensors (G, n, W), in which each is filled up behind its end.

        What comes of the filling must not reach a text: causal attention sees to that.
        """
        parts: Tensor = _Parted.apply(x.flatten(0, 1), self._sources, self._back)  # type: ignore[no-untyped-call]
        pieces: Sequence[Tensor] = torch.split(parts, [g * n for g, n in self._shapes])
        return [piece.view(g, n, -1) for piece, (g, n) in zip(pieces, self._shapes, strict=True)]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return as rows (B, T, W) what lies as `parted` returns it."""
        rows: Tensor = _Joined.apply(torch.cat([part.flatten(0, 1) for part in parts]), self._back)  # type: ignore[no-untyped-call]
        return rows.view(*self.positions.shape, -1)


def _rounded(lengths: Tensor) -> Tensor:
    """Return lengths rounded up, so that there are few different ones."""
    octave = lengths.double().log2().floor().long()
    steps = torch.bitwise_left_shift(torch.ones_like(octave), (octave - 2).clamp(min=0)).clamp(min=_LEAST)
    return (lengths + steps - 1) // steps * steps


class _Parted(torch.autograd.Function):
    """Rows (N, W) at `sources` (M,); the gradients of copies that fill up are zero, so those at `back` (N,) are all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sources: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return x.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        gradient: Tensor = upstream[0].index_select(0, back)
        return gradient, None, None


class _Joined(torch.autograd.Function):
    """Rows (M, W) at `back` (N,), of which no two are equal: the gradient only has to be put there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        ctx.count = x.shape[0]
        return x.index_select(0, back)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None]:
        (back,) = ctx.saved_tensors
        gradient: Tensor = upstream[0].new_zeros(ctx.count, upstream[0].shape[1])
        return gradient.index_copy_(0, back, upstream[0]), None
