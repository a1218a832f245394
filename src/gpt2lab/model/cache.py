"""Keys and values of the positions already read, owned by whoever decodes and only appended to by the model.

Knows shapes, not models or sampling. Legend: B rows, H heads, T new positions, S room, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config


class KVCache:
    """Room for the keys and values of `rows` sequences of up to `room` positions each (default: the window).

    Every row holds the same number of positions, `length`.
    """

    def __init__(
        self,
        config: GPT2Config,
        rows: int = 1,
        *,
        room: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.room = room if room is not None else config.n_positions
        shape = (config.n_layer, rows, config.n_head, self.room, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)  # (L, B, H, S, D)
        self.values = torch.zeros(shape, dtype=dtype, device=device)  # (L, B, H, S, D)
        self.length = 0

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return self.keys.shape[1]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, H, T, D) behind `length` in `layer`; return views of everything held there, (B, H, length + T, D).

        `length` itself moves once per step, by `advance`, when every layer has written. Raises `RequestError` when
        the new positions do not fit.
        """
        end = self.length + keys.shape[2]
        if end > self.room:
            raise RequestError(
                f"The cache has room for {self.room} positions, but {end} are needed; crop it or make a larger one."
            )
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, positions: int) -> None:
        """Count `positions` more as read."""
        self.length += positions

    def crop(self, length: int) -> None:
        """Forget every position from `length` on."""
        if not 0 <= length <= self.length:
            raise RequestError(f"A cache of {self.length} positions cannot be cropped to {length}.")
        self.length = length

    def reorder(self, rows: Sequence[int] | Tensor) -> None:
        """Make row i the former row rows[i], as beam search needs; the number of rows becomes len(rows)."""
        index = torch.as_tensor(rows, dtype=torch.long, device=self.keys.device)
        self.keys = self.keys.index_select(1, index)
        self.values = self.values.index_select(1, index)

    def fork(self, copies: int) -> KVCache:
        """Return a new cache with each row repeated `copies` times in a row; this one is left as it is."""
        twin = object.__new__(KVCache)
        twin.room, twin.length = self.room, self.length
        twin.keys = self.keys.repeat_interleave(copies, dim=1)
        twin.values = self.values.repeat_interleave(copies, dim=1)
        return twin
