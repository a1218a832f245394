"""Keys and values of the positions already read, owned by whoever decodes and only appended to by the model.

Layers of compressed attention (model/long.py) also keep what they have made of whole groups of positions. Knows shapes,
not models or sampling.

Legend: B rows, H heads, T new positions, S room, D head width, L layers, M those of compressed attention, c positions
that such a layer makes one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config


class KVCache:
    """Room for the keys and values of `rows` sequences of up to `room` positions each (default: the window).

    Every row holds the same number of positions, `length`. Layers of local attention read the last block alone, but all
    is kept of them too: `crop` may go back into any block, as taking up the shared beginning of two texts does.
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
        compressed = [i for i in range(config.n_layer) if config.attention_of(i) == "compressed"]
        self._slot_layers = {layer: place for place, layer in enumerate(compressed)}
        shape = (len(compressed), rows, config.n_head, self.room // config.attention_compression, config.head_dim)
        self.slot_keys = torch.zeros(shape, dtype=dtype, device=device)  # (M, B, H, S // c, D)
        self.slot_values = torch.zeros(shape, dtype=dtype, device=device)  # (M, B, H, S // c, D)
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

    def append_slots(self, layer: int, held: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write what (B, H, n, D) groups have become behind the first `held`; return views of all, (B, H, held + n, D).

        Nothing counts them: those of groups that are whole within `length` are right, also after `crop`.
        """
        place, end = self._slot_layers[layer], held + keys.shape[2]
        self.slot_keys[place, :, :, held:end] = keys
        self.slot_values[place, :, :, held:end] = values
        return self.slot_keys[place, :, :, :end], self.slot_values[place, :, :, :end]

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
        self._replace(lambda held: held.index_select(1, index))

    def fork(self, copies: int) -> KVCache:
        """Return a new cache with each row repeated `copies` times in a row; this one is left as it is."""
        twin = copy.copy(self)
        twin._replace(lambda held: held.repeat_interleave(copies, dim=1))
        return twin

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all that is held."""
        return self.keys, self.values, self.slot_keys, self.slot_values

    def _replace(self, made: Callable[[Tensor], Tensor]) -> None:
        """Hold of each tensor what is made of it; the second axis is the rows."""
        self.keys, self.values, self.slot_keys, self.slot_values = map(made, self.tensors())
