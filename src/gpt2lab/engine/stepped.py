"""A text being generated where the model is run by somebody else: the native sampler beside a cache of any backend.

Keeps what the window is and what the model has yet to see; whoever runs the model feeds that and gives back the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gpt2lab._native as _native
from gpt2lab.engine.native import native_params
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import Cache, Floats, Ids


class SteppedSequence:
    """A native sequence, which chooses and stops, beside a cache that holds part of its window or nothing."""

    def __init__(self, native: Any, cache: Cache, params: SamplingParams, n_positions: int) -> None:
        self.native, self.cache, self.params, self.n_positions = native, cache, params, n_positions
        self.window_start = self._start()

    @classmethod
    def begin(cls, prompt: Ids, params: SamplingParams, sample: int, cache: Cache, n_positions: int) -> SteppedSequence:
        """Return a text to be generated from `prompt`; `cache` becomes its own."""
        stride = params.stride(n_positions)
        native = _native.Sequence(
            prompt, params.max_new_tokens, native_params(params, sample), n_positions, stride, None
        )
        return cls(native, cache, params, n_positions)

    @property
    def running(self) -> bool:
        """Whether more tokens may come."""
        return bool(self.native.running)

    @property
    def finish(self) -> str:
        """See `TextSequence.finish`."""
        return str(self.native.finish)

    @property
    def generated(self) -> int:
        """Number of tokens generated so far."""
        return int(self.native.generated)

    @property
    def prompt_length(self) -> int:
        """Number of tokens of the prompt."""
        return int(self.native.prompt_length)

    @property
    def due(self) -> int:
        """Number of tokens the model has yet to read."""
        return self.prompt_length + self.generated - self._start() - self._cached()

    @property
    def lookups(self) -> tuple[int, int]:
        """Nothing is guessed here."""
        return 0, 0

    def ids_from(self, first: int) -> list[int]:
        """See `TextSequence.ids_from`."""
        return list(self.native.ids_from(first))

    def logprobs_from(self, first: int) -> list[float]:
        """See `TextSequence.logprobs_from`."""
        return list(self.native.logprobs_from(first))

    def top_logprobs_from(self, first: int) -> list[list[tuple[int, float]]]:
        """See `TextSequence.top_logprobs_from`."""
        return list(self.native.top_logprobs_from(first))

    def snapshot(self) -> tuple[Ids, Cache]:
        """See `TextSequence.snapshot`."""
        cache = self.cache.fork()
        cache.crop(self._cached())
        return np.asarray(self.native.ids_from(self._start()), np.int32)[: cache.length], cache

    def stop(self) -> None:
        """End it."""
        self.native.stop()

    def fork(self, sample: int) -> SteppedSequence:
        """Return a sequence with the same past and the random stream number `sample`."""
        twin = SteppedSequence(self.native.fork(sample), self.cache.fork(), self.params, self.n_positions)
        twin.window_start = self.window_start
        return twin

    def pending(self) -> Ids:
        """Return the ids the model has yet to see, after moving the window if it must."""
        self.cache.crop(self._cached())
        self.window_start = self._start()
        return np.asarray(self.native.ids_from(self.window_start + self.cache.length), np.int32)

    def _start(self) -> int:
        """Return where the window of the ids so far begins."""
        length = self.prompt_length + self.generated
        return int(_native.window_start(length, self.n_positions, self.params.stride(self.n_positions)))

    def _cached(self) -> int:
        """Return how many ids from there on the cache holds."""
        return self.cache.length if self._start() == self.window_start else 0

    def accept(self, logits: Floats, isa: str) -> None:
        """Choose the next token from a row of logits."""
        self.native.accept(np.ascontiguousarray(logits), isa)
