"""GPT-2 in PyTorch: token ids in, logits out. For training, GPUs and looking inside.

Knows nothing of tokenizers, data, files or sampling. Follows Radford et al. (2019), section 2.3, with the parameter
names and (in, out) weight layout of its checkpoints.

Legend: B rows, T new positions, P cached positions, C n_embd, H heads, D head width, F inner width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpt2lab.errors import RequestError
from gpt2lab.model.cache import KVCache
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.init import initialise
from gpt2lab.model.long import Compression, attend_compressed, attend_in_blocks, in_blocks
from gpt2lab.model.pieces import Pieces
from gpt2lab.model.relative import attend_relatively
from gpt2lab.model.vector_math import settle

_tanh_gelu = partial(F.gelu, approximate="tanh")

ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}
"""The function behind each of the configuration's activation names."""


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x (…, in) @ weight (in, out) + bias."""
    return F.linear(x, weight.t(), bias)


def one_after_another(first: nn.Module | Callable[[Tensor], Tensor], second: nn.Module, x: Tensor) -> Tensor:
    """Return second(first(x))."""
    out: Tensor = second(first(x))
    return out


class Conv1D(nn.Module):
    """y = x @ weight + bias with weight (in, out), the layout of GPT-2's checkpoints.

    `product` computes it: training may put another way in its place.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.product: Callable[[Tensor, Tensor, Tensor], Tensor] = linear

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return self.product(x, self.weight, self.bias)


class Norm(nn.LayerNorm):
    """Layer norm. `normalise` may compute it: training may put a way there, which returns None where it does not."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config.n_embd, eps=config.layer_norm_epsilon)
        self.normalise: Callable[[Tensor], Tensor | None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, C) to (…, C)."""
        y = self.normalise(x) if self.normalise is not None else None
        return super().forward(x) if y is None else y


class Dropout(nn.Dropout):
    """Dropout. `drop` may do it in training: training may put a way there, which returns None where it does not."""

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.drop: Callable[[Tensor], Tensor | None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        y = self.drop(x) if self.drop is not None and self.training and self.p else None
        return super().forward(x) if y is None else y


class Attention(nn.Module):
    """Causal multi-head self-attention.

    Its queries, keys and values come from `c_attn`, which the block applies. `attend` may mix them for whole texts,
    from (B, T, 3 C) to (B, T, C): training may put another way there, which returns None for what it does not do.
    """

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.layer, self.n_head, self.dropout = layer, config.n_head, config.attn_pdrop
        self.head_dim = config.n_embd // config.n_head
        self.attend: Callable[[Tensor], Tensor | None] | None = None
        self.scale = config.attention_scale(layer)
        self.resid_dropout = Dropout(config.resid_pdrop)
        self.relative_keys: nn.Parameter | None = None
        if config.max_relative_position:
            shape = (config.n_head, config.max_relative_position, self.head_dim)
            self.relative_keys = nn.Parameter(torch.empty(shape))
        kind = config.attention_of(layer)
        self.block = config.attention_block if kind == "local" else None
        self.compress_keys: Compression | None = None
        self.compress_values: Compression | None = None
        if kind == "compressed":
            self.compress_keys, self.compress_values = (
                Compression(config.n_head, config.attention_compression, self.head_dim) for _ in "kv"
            )

    def forward(self, qkv: Tensor, cache: KVCache | None, pieces: Pieces | None = None) -> Tensor:
        """Mix (B, T, 3 C) into (B, T, C), over the positions up to each one; with a cache, over the cached ones too.

        With `pieces`, over those of its own text alone.
        """
        if pieces is None:
            y = self._attended(qkv, cache)
        else:
            y = pieces.joined([self._attended(part, None) for part in pieces.parted(qkv)])
        out: Tensor = self.resid_dropout(self.c_proj(y))
        return out

    def _attended(self, qkv: Tensor, cache: KVCache | None) -> Tensor:
        if cache is not None:
            return self._mix(qkv, cache)
        return self._whole(qkv) if self.block is None else in_blocks(self._whole, qkv, self.block)

    def _whole(self, qkv: Tensor) -> Tensor:
        y = self.attend(qkv) if self.attend is not None else None
        return self._mix(qkv, None) if y is None else y

    def _mix(self, qkv: Tensor, cache: KVCache | None) -> Tensor:
        b, t, c = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        q, k, v = (
            part.view(b, t, self.n_head, -1).transpose(1, 2)  # (B, T, C) -> (B, H, T, D)
            for part in torch.split(qkv, c, dim=2)
        )
        if cache is not None:
            k, v = cache.append(self.layer, k, v)  # (B, H, P + T, D)
        dropout = self.dropout if self.training else 0.0
        if self.compress_keys is not None:
            slots, factor = self._slots(k, v, cache), self.compress_keys.factor
            y = attend_compressed(q, k, v, slots, factor=factor, scale=self.scale, dropout=dropout)
        elif self.relative_keys is not None:
            y = attend_relatively(q, k, v, self.relative_keys, scale=self.scale, dropout=dropout)
        elif self.block is not None and cache is not None:
            y = attend_in_blocks(self._causal, q, k, v, self.block)
        else:
            y = self._causal(q, k, v)
        return y.transpose(1, 2).reshape(b, t, c)  # (B, H, T, D) -> (B, T, C)

    def _causal(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix for queries that are the last of the positions in k and v."""
        t, past = q.shape[2], k.shape[2] - q.shape[2]
        mask = None
        if past and t > 1:  # row i sees the P cached positions and the new ones up to i
            mask = torch.ones(t, past + t, dtype=torch.bool, device=q.device).tril(past)
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=not past and t > 1,
            scale=self.scale,
        )

    def _slots(self, k: Tensor, v: Tensor, cache: KVCache | None) -> tuple[Tensor, Tensor]:
        """Return the compressed keys and values of (B, H, S, D); with a cache, only the new ones are computed."""
        assert self.compress_keys is not None and self.compress_values is not None
        if cache is None:
            return self.compress_keys(k), self.compress_values(v)
        held = cache.length // self.compress_keys.factor
        new = slice(held * self.compress_keys.factor, None)
        return cache.append_slots(
            self.layer, held, self.compress_keys(k[:, :, new]), self.compress_values(v[:, :, new])
        )  # fmt: skip


class MLP(nn.Module):
    """The position-wise feed-forward layer behind `c_fc`, which the block applies."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, config.inner)
        self.c_proj = Conv1D(config.inner, config.n_embd)
        self.activation = config.activation_function
        self.act = ACTIVATION[config.activation_function]
        self.dropout = Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, then: Callable[..., Tensor] = one_after_another) -> Tensor:
        """Map (B, T, F) to (B, T, C)."""
        out: Tensor = self.dropout(then(self.act, self.c_proj, x))
        return out


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind its layer norm and added to the residual stream.

    `then` applies a norm or GELU and the product behind it, `join` adds to the residual stream: training may put ways
    there that keep less or are faster.
    """

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = Norm(config)
        self.attn = Attention(config, layer)
        self.ln_2 = Norm(config)
        self.mlp = MLP(config)
        self.then: Callable[..., Tensor] = one_after_another
        self.join: Callable[[Tensor, Tensor], Tensor] = torch.add

    def forward(self, x: Tensor, cache: KVCache | None, pieces: Pieces | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        x = self.join(x, self.attn(self.then(self.ln_1, self.attn.c_attn, x), cache, pieces))
        return self.join(x, self.mlp(self.then(self.ln_2, self.mlp.c_fc, x), self.then))


class Transformer(nn.Module):
    """Embeddings, blocks and the last layer norm: everything in front of the head."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.checkpoint_activations = False
        """Whether training holds only what goes into each block and computes its inside again (Chen et al., 2016)."""

    def forward(self, ids: Tensor, positions: Tensor, cache: KVCache | None, pieces: Pieces | None = None) -> Tensor:
        """Map ids (B, T) at positions (T or B x T) to hidden states (B, T, C)."""
        x = self.drop(self.wte(ids) + self.wpe(positions))  # (B, T, C)
        again = self.checkpoint_activations and cache is None and torch.is_grad_enabled()
        for block in self.h:
            x = checkpoint(block, x, None, pieces, use_reentrant=False) if again else block(x, cache, pieces)
        out: Tensor = self.ln_f(x)
        return out


class GPT(nn.Module):
    """A GPT-2 of any shape, drawn anew from `generator`; `load_state_dict` takes a checkpoint's tensors by name.

    A tied head has no tensor of its own, so the state dict is exactly `config.tensor_shapes()`.
    """

    def __init__(self, config: GPT2Config, generator: torch.Generator | None = None) -> None:
        super().__init__()
        settle()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = None if config.tie_word_embeddings else nn.Linear(config.n_embd, config.vocab_size, bias=False)
        initialise(self, config, generator)

    @property
    def head_weight(self) -> Tensor:
        """The matrix from hidden states to logits, (V, C): the token embeddings themselves when tied."""
        return self.transformer.wte.weight if self.lm_head is None else self.lm_head.weight

    def forward(self, ids: Tensor, cache: KVCache | None = None, *, positions: Tensor | None = None) -> Tensor:
        """Return the logits (B, T, V) of the token after each of `ids` (B, T); see `hidden` for the rest."""
        return F.linear(self.hidden(ids, cache, positions=positions), self.head_weight)

    def hidden(
        self,
        ids: Tensor,
        cache: KVCache | None = None,
        *,
        positions: Tensor | None = None,
        pieces: Pieces | None = None,
    ) -> Tensor:
        """Return the final hidden states (B, T, C), behind the last layer norm.

        With a `cache`, `ids` continue what it holds, and it is moved on by T. `positions` (T or B x T) replace the
        running position numbers. `pieces`, without a cache, are the texts that the rows hold, each of which has
        positions of its own and sees no other. Raises `RequestError` when the window is too short for them.
        """
        t, past = ids.shape[1], cache.length if cache is not None else 0
        if pieces is not None:
            assert cache is None and positions is None
            positions = pieces.positions
        if positions is None:
            if past + t > self.config.n_positions:
                raise RequestError(
                    f"{past + t} positions do not fit the window of {self.config.n_positions}; shorten the text."
                )
            positions = torch.arange(past, past + t, device=ids.device)
        x: Tensor = self.transformer(ids, positions, cache, pieces)
        if cache is not None:
            cache.advance(t)
        return x
