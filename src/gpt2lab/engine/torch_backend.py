"""The PyTorch backend: the same protocol on a GPU (or any torch device).

The model runs in torch; the choice of tokens is the native sampler's, so the same parameters mean the same thing.
Float sums on a GPU have no fixed order across batch sizes: the bit-for-bit contract is the native backend's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2lab.config import to_dict
from gpt2lab.engine.native import choose_isa
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import UNBOUNDED, Cache, Floats, Ids, TextSequence
from gpt2lab.engine.stepped import SteppedSequence
from gpt2lab.errors import ConfigError, MissingExtraError
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    import torch

    from gpt2lab.model.cache import KVCache

_SCORED_ROWS = 128  # rows of logits held at once while scoring


class _TorchCache:
    """A `KVCache` of one row with the protocol's verbs."""

    def __init__(self, kv: KVCache) -> None:
        self.kv = kv

    @property
    def length(self) -> int:
        return self.kv.length

    def crop(self, length: int) -> None:
        self.kv.crop(min(length, self.kv.length))

    def fork(self) -> _TorchCache:
        return _TorchCache(self.kv.fork(1))

    def pages(self) -> list[tuple[int, int]]:
        return [(id(t), t.element_size() * t.nelement()) for t in self.kv.tensors()]


class TorchBackend:
    """A GPT-2 in PyTorch on `device`, in float32."""

    def __init__(
        self, config: GPT2Config, tensors: Mapping[str, np.ndarray[Any, Any]], *, device: str = "cuda"
    ) -> None:
        try:
            import torch

            from gpt2lab.model.cache import KVCache
            from gpt2lab.model.gpt import GPT
        except ImportError:
            raise MissingExtraError(f"device = {device!r}", "train") from None
        self.config = config
        self._torch, self._kv = torch, KVCache
        self._device = _checked_device(torch, device)
        with torch.device("meta"):
            self._model = GPT(config)
        self._model.to_empty(device=self._device)
        state = {name: torch.from_numpy(np.array(tensors[name], np.float32)) for name in config.tensor_shapes()}
        self._model.load_state_dict(state, strict=True)
        self._model.eval()
        self._isa = choose_isa()

    @property
    def description(self) -> str:
        """Precision and device."""
        return f"torch fp32, {self._device}"

    def fingerprint(self) -> str:
        """See `Backend.fingerprint`."""
        from hashlib import blake2b

        digest = blake2b(repr(("torch", sorted(to_dict(self.config).items()))).encode(), digest_size=16)
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def new_cache(self) -> Cache:
        """Return an empty cache."""
        return _TorchCache(self._kv(self.config, device=self._device))

    def _logits(self, cache: Cache, ids: Ids, *, all_positions: bool) -> torch.Tensor:
        assert isinstance(cache, _TorchCache)
        with self._torch.inference_mode():
            given = self._torch.from_numpy(ids.astype(np.int64))[None].to(self._device)
            states = self._model.hidden(given, cache.kv)[0]  # (T, C)
            return (states if all_positions else states[-1:]) @ self._model.head_weight.T  # (T or 1, V)

    def forward(self, caches: Sequence[Cache], ids: Sequence[Ids], *, all_positions: bool = False) -> Floats:
        """See `Backend.forward`."""
        rows = [
            self._logits(c, i, all_positions=all_positions).float().cpu().numpy()
            for c, i in zip(caches, ids, strict=True)
        ]
        logits: Floats = np.concatenate(rows)
        return logits

    def feed(self, cache: Cache, ids: Ids) -> None:
        """See `Backend.feed`."""
        self._logits(cache, ids, all_positions=False)

    def hidden(self, ids: Ids, layer: int) -> Floats:
        """See `Backend.hidden`."""
        with self._torch.inference_mode():
            h = self._model.transformer
            given = self._torch.from_numpy(ids.astype(np.int64))[None].to(self._device)
            x = h.wte(given) + h.wpe(self._torch.arange(len(ids), device=self._device))
            for block in list(h.h)[:layer]:
                x = block(x, None)
            if layer == self.config.n_layer:
                x = h.ln_f(x)
            states: Floats = x[0].float().cpu().numpy()
            return states

    def score(self, cache: Cache, ids: Ids, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """See `Backend.score`."""
        parts = [
            self._score(cache, ids[i : i + _SCORED_ROWS], targets[i : i + _SCORED_ROWS], top)
            for i in range(0, len(ids), _SCORED_ROWS)
        ]
        logprob, rank, entropy, top_ids, top_logprobs = (np.concatenate(column) for column in zip(*parts, strict=True))
        return logprob, rank, entropy, top_ids, top_logprobs

    def trace(self, ids: Ids) -> tuple[Floats, Floats]:
        """See `Backend.trace`."""
        with self._torch.inference_mode():
            h = self._model.transformer
            given = self._torch.from_numpy(ids.astype(np.int64)).to(self._device)
            x = (h.wte(given) + h.wpe(self._torch.arange(len(ids), device=self._device)))[None]
            stream, qkv = [x], []
            blocks: Any = h.h
            for block in blocks:
                qkv.append(block.attn.c_attn(block.ln_1(x)))
                x = block(x, None)
                stream.append(x)
            return self._torch.cat(stream).float().cpu().numpy(), self._torch.cat(qkv).float().cpu().numpy()

    def score_states(self, states: Floats, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """See `Backend.score_states`."""
        with self._torch.inference_mode():
            x = self._model.transformer.ln_f(self._torch.from_numpy(states).to(self._device))
            columns: tuple[Floats, Ids, Floats, Ids, Floats] = self._measured(
                x @ self._model.head_weight.T, targets, top
            )
            return columns

    def _score(self, cache: Cache, ids: Ids, targets: Ids, top: int) -> tuple[Any, ...]:
        columns: tuple[Any, ...] = self._measured(self._logits(cache, ids, all_positions=True).float(), targets, top)
        return columns

    def _measured(self, logits: torch.Tensor, targets: Ids, top: int) -> Any:
        torch = self._torch
        with torch.inference_mode():
            logp, p = torch.log_softmax(logits, dim=-1), torch.softmax(logits, dim=-1)
            want = torch.from_numpy(targets.astype(np.int64)).to(self._device)[:, None]
            chosen = logits.gather(1, want)
            place = torch.arange(logits.shape[1], device=self._device)[None]
            rank = ((logits > chosen) | ((logits == chosen) & (place < want))).sum(1)
            best, best_ids = torch.sort(logp, dim=-1, descending=True, stable=True)
            columns = (
                logp.gather(1, want)[:, 0],
                rank.int(),
                -(p * logp).sum(1),
                best_ids[:, :top].int(),
                best[:, :top],
            )
            return tuple(c.cpu().numpy() for c in columns)

    def sequence(self, prompt: Ids, params: SamplingParams, sample: int, cache: Cache | None = None) -> TextSequence:
        """See `Backend.sequence`."""
        n = self.config.n_positions
        own = self.new_cache() if cache is None else cache.fork()
        sequence = SteppedSequence.begin(prompt, params, sample, own, n)
        own.crop(len(prompt) - sequence.window_start - 1)  # the logits after the last token are wanted: it must be fed
        return sequence

    def prefill(self, sequences: Sequence[TextSequence]) -> None:
        """See `Backend.prefill`."""
        for sequence in sequences:
            assert isinstance(sequence, SteppedSequence)
            pending = sequence.pending()
            if len(pending) > 1:
                self.feed(sequence.cache, pending[:-1])

    def decode(
        self, sequences: Sequence[TextSequence], steps: int, *, budget: int = UNBOUNDED, seconds: float = math.inf
    ) -> int:
        """See `Backend.decode`; prompt lookup, which changes no token, is not used."""
        started = time.monotonic()
        for taken in range(steps):
            running = [s for s in sequences if s.running]
            if not running or (taken > 0 and time.monotonic() - started >= seconds):
                return taken
            left = max(budget, 1)
            for sequence in running:
                assert isinstance(sequence, SteppedSequence)
                left -= self._advance(sequence, left)
        return steps

    def _advance(self, sequence: SteppedSequence, budget: int) -> int:
        """Read what is due, or as much as `budget` allows, and choose a token; return what that took of the budget."""
        pending = sequence.pending()
        taken = min(len(pending), budget) if len(pending) > 1 else 0
        if len(pending) > 1 and taken < len(pending):
            if taken > 0:
                self.feed(sequence.cache, pending[:taken])
        else:
            logits = self.forward([sequence.cache], [pending])[0]
            sequence.accept(logits, self._isa)
        return taken


def _checked_device(torch: Any, device: str) -> Any:
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device = {device!r} cannot be used ({reason}); use 'cpu', or a device that torch lists."
        ) from None
    return chosen
