"""Causal attention that also knows how far apart two positions are: learnt vectors of distances beside the keys.

Scores are q·(k + e) * scale, where e is the head's vector of the distance. Distances are Shaw et al.'s (2018, section
3.2), clipped: the last vector serves all that are farther. The products with the vectors of all distances are made as
one matrix and moved into place ("skewed": Huang et al. 2018, "Music Transformer", section 3.4.1), so that no vector is
held for every pair of positions. Long texts are computed some queries at a time, and the backward pass computes those
scores again (Chen et al. 2016): memory is O(T D), never O(T T) nor O(T T D).

Legend: B rows, H heads, T queries, S keys (the queries are the last T of the S positions), R distances, D head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BLOCK = 256
"""Queries whose scores exist at the same time."""


def attend_relatively(
    q: Tensor, k: Tensor, v: Tensor, relative_keys: Tensor, *, scale: float, dropout: float = 0.0, block: int = BLOCK
) -> Tensor:
    """Return the mixed values (B, H, T, D) of queries (B, H, T, D) over keys and values (B, H, S, D).

    `relative_keys` (H, R, D) holds the vectors of the distances 0 … R-1.
    """
    t, s = q.shape[2], k.shape[2]
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, relative_keys))
    again = needs_gradient and t > block
    parts = []
    for start in range(0, t, block):
        end = min(start + block, t)
        seen = s - t + end  # positions that the last query of the block sees
        given = (q[:, :, start:end], k[:, :, :seen], v[:, :, :seen], relative_keys, scale, dropout)
        parts.append(checkpoint(_attend, *given, use_reentrant=False) if again else _attend(*given))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _attend(q: Tensor, k: Tensor, v: Tensor, relative_keys: Tensor, scale: float, dropout: float) -> Tensor:
    """Do it for queries that are the last of the positions in k and v."""
    t, s = q.shape[2], k.shape[2]
    scores = (q * scale) @ k.transpose(2, 3) + skewed(q * scale, relative_keys, s)  # (B, H, T, S)
    future = torch.ones(t, s, dtype=torch.bool, device=q.device).triu(s - t + 1)
    weights = torch.softmax(scores.masked_fill(future, float("-inf")), dim=-1)  # sums are float32 inside, also of bf16
    if dropout:
        weights = F.dropout(weights, dropout)
    return weights @ v


def skewed(q: Tensor, relative_keys: Tensor, s: int) -> Tensor:
    """Return q·e of every query and each of `s` positions, (B, H, T, S); what lies in a query's future is undefined.

    Column c of the matrix that is moved holds distance S-1-c. Query i sees position j at distance S-T+i-j, so its row
    has to move to the left by T-1-i; reading the rows as if each were one longer does that.
    """
    b, h, t, _ = q.shape
    distances = torch.arange(s - 1, -1, -1, device=q.device).clamp(max=relative_keys.shape[1] - 1)
    vectors = relative_keys.to(q.dtype)[:, distances]  # (H, S, D), the farthest first
    products = q @ vectors.transpose(1, 2)  # (B, H, T, S)
    longer = F.pad(products, (0, 1)).flatten(2)  # (B, H, T (S + 1))
    return longer[..., t - 1 : t - 1 + t * s].view(b, h, t, s)
