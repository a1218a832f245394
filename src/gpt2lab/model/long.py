"""Attention for long texts: local, within blocks, and memory-compressed, over every few positions made one.

Both are of Liu et al. 2018, "Generating Wikipedia by Summarizing Long Sequences", section 4.2.3 (T-DMCA), whose layers
take turns: local, compressed, local, compressed, local. A block of T positions costs T², so local attention costs
T times the block; compressed attention costs T T / c, with c positions made one. No matrix of all pairs is ever held:
compressed attention takes some queries at a time, and with dropout, for which PyTorch keeps their scores, computes them
again in the backward pass.

The paper leaves open what a query may see of a group of c positions that it stands in the middle of. Here a query sees
the compressed form of every group that is complete with its own position, and of an unfinished group the positions up
to itself as they are. So none sees what comes behind it, the first c - 1 have something to see, the nearest past is
never missing, and with c = 1 and an identity for the convolution this is full attention.

Legend: B rows, H heads, T queries, S keys (the queries are the last T of the S positions), c positions that become one,
G groups of c positions, D head width, C n_embd, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpt2lab.model.relative import BLOCK


def in_blocks(mix: Callable[[Tensor], Tensor], x: Tensor, block: int) -> Tensor:
    """Return what `mix`, from (B, T, W) to (B, T, C), makes of each `block` positions of (B, T, W) on their own."""
    b, t, width = x.shape
    count = t // block
    if t <= block:
        return mix(x)
    y = mix(x[:, : count * block].reshape(b * count, block, width)).view(b, count * block, -1)  # (B, count block, C)
    return y if t == count * block else torch.cat([y, mix(x[:, count * block :])], dim=1)


def attend_in_blocks(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], q: Tensor, k: Tensor, v: Tensor, block: int
) -> Tensor:
    """Return the mixed values (B, H, T, D) of queries (B, H, T, D) over those of (B, H, S, D) in their own blocks.

    `attend` does it for queries that are the last of the positions in k and v.
    """
    end = k.shape[2]
    start, past = end - q.shape[2], end - q.shape[2]
    parts = []
    while start < end:
        begin = start // block * block
        stop = min(begin + block, end)
        parts.append(attend(q[:, :, start - past : stop - past], k[:, :, begin:stop], v[:, :, begin:stop]))
        start = stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


class Compression(nn.Module):
    """A convolution over positions whose kernel is as long as its stride, a head at a time: c keys or values to one.

    It begins as the mean of the c (model/init.py): with small random weights compressed attention would first have to
    learn that it can see at all.
    """

    def __init__(self, heads: int, factor: int, width: int) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.empty(heads, factor * width, width))
        self.bias = nn.Parameter(torch.empty(heads * width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, S, D) to (B, H, S // c, D); positions behind the last whole group are left out."""
        b, h, s, d = x.shape
        groups = s // self.factor
        whole = x[:, :, : groups * self.factor].reshape(b, h, groups, self.factor * d)
        y = whole @ self.weight
        return y + self.bias.view(h, 1, d).to(y.dtype)


def attend_compressed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    slots: tuple[Tensor, Tensor],
    *,
    factor: int,
    scale: float,
    dropout: float = 0.0,
    block: int = BLOCK,
) -> Tensor:
    """Return the mixed values (B, H, T, D) of queries (B, H, T, D) over the S positions of k and v (B, H, S, D).

    `slots` are their compressed keys and values, (B, H, S // c, D) each, c being `factor`.
    """
    t, s = q.shape[2], k.shape[2]
    first = (s - t) // factor * factor  # where the group of the first query begins
    lead, behind = s - t - first, -s % factor
    q = F.pad(q, (0, 0, lead, behind))  # whole groups; what comes of the filling is dropped
    k, v = (F.pad(x[:, :, first:], (0, 0, 0, behind)) for x in (k, v))
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, *slots))
    step = max(block // factor, 1) * factor
    again = needs_gradient and dropout > 0 and q.shape[2] > step
    parts = []
    for place, own in enumerate(zip(*(torch.split(x, step, dim=2) for x in (q, k, v)), strict=True)):
        begin = first + place * step
        seen = min((begin + own[0].shape[2]) // factor, s // factor)
        given = (*own, slots[0][:, :, :seen], slots[1][:, :, :seen], begin // factor, factor, scale, dropout)
        parts.append(checkpoint(_attend, *given, use_reentrant=False) if again else _attend(*given))
    y = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return y[:, :, lead : lead + t]


def _attend(
    q: Tensor, k: Tensor, v: Tensor, k_slots: Tensor, v_slots: Tensor, group: int, c: int, scale: float, dropout: float
) -> Tensor:
    """Do it for whole groups, of which the first is number `group`: q, k and v (B, H, T, D) are theirs."""
    t, n = q.shape[2], k_slots.shape[2]
    places = torch.arange(t, device=q.device)
    complete = group + (places + 1) // c  # groups that are complete with each query
    far = torch.arange(n, device=q.device) < complete[:, None]  # (T, n)
    near = (places // c == places[:, None] // c) & (places <= places[:, None])  # (T, T), of its own group
    as_slot = (complete == group + places // c + 1) & (complete <= n)  # then it sees nothing of that as it is
    return F.scaled_dot_product_attention(
        q,
        torch.cat([k_slots, k], dim=2),
        torch.cat([v_slots, v], dim=2),
        attn_mask=torch.cat([far, near & ~as_slot[:, None]], dim=1),
        dropout_p=dropout,
        scale=scale,
    )
