"""What a backend offers: the one seam between generation or scoring and whatever multiplies the matrices.

Ids are one-dimensional int32 arrays; logits are float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.params import SamplingParams
from gpt2lab.model.config import GPT2Config

Ids: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]

UNBOUNDED = 2**31 - 1
"""A budget that is never used up."""


class Cache(Protocol):
    """Keys and values of one sequence, owned by the caller."""

    @property
    def length(self) -> int:
        """Number of tokens it holds."""

    def crop(self, length: int) -> None:
        """Forget every token from `length` on."""

    def fork(self) -> Cache:
        """Return an independent copy; memory is shared until one of the two grows."""

    def pages(self) -> list[tuple[int, int]]:
        """Return (identity, bytes) of each piece of its memory; forks name the pieces they share alike."""


class TextSequence(Protocol):
    """One text being generated."""

    @property
    def running(self) -> bool:
        """Whether more tokens may come."""

    @property
    def finish(self) -> str:
        """ "" while running, then "length", "stop", "banned" (no token left) or "broken" (logits are not numbers)."""

    @property
    def generated(self) -> int:
        """Number of tokens generated so far, an end token included."""

    @property
    def prompt_length(self) -> int:
        """Number of tokens of the prompt."""

    @property
    def due(self) -> int:
        """Number of tokens the model has yet to read: of the prompt at first, 1 while it writes, more again where the
        window has moved."""

    @property
    def lookups(self) -> tuple[int, int]:
        """How many tokens were guessed ahead by prompt lookup, and how many of them became text."""

    def ids_from(self, first: int) -> list[int]:
        """Return the ids from index `first` on, prompt included in the count."""

    def logprobs_from(self, first: int) -> list[float]:
        """Return the model's own log-probability of each generated token from number `first` on."""

    def top_logprobs_from(self, first: int) -> list[list[tuple[int, float]]]:
        """Return the `top_logprobs` likeliest (id, log-probability) pairs for each of the same tokens, or []."""

    def snapshot(self) -> tuple[Ids, Cache]:
        """Return the ids that its cache holds, those of the window as far as they have been read, and a fork of it."""

    def fork(self, sample: int) -> TextSequence:
        """Return a sequence with the same past and the random stream number `sample`."""

    def stop(self) -> None:
        """End it."""


class Backend(Protocol):
    """A model that runs."""

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""

    @property
    def description(self) -> str:
        """One line for people: precision, instruction set or device, threads."""

    def fingerprint(self) -> str:
        """Return a digest of the shape and of every weight as it is computed with, as 32 hexadecimal digits."""

    def new_cache(self) -> Cache:
        """Return an empty cache."""

    def forward(self, caches: Sequence[Cache], ids: Sequence[Ids], *, all_positions: bool = False) -> Floats:
        """Append `ids[i]` to `caches[i]`; return logits (rows, vocab_size) of the last id of each, or of every id."""

    def feed(self, cache: Cache, ids: Ids) -> None:
        """Append ids to a cache without computing logits."""

    def hidden(self, ids: Ids, layer: int) -> Floats:
        """Return the hidden states (len(ids), n_embd) after `layer` blocks; the last block's are normalised by ln_f."""

    def score(self, cache: Cache, ids: Ids, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """Append ids to a cache and return what the model says of each next token `targets[i]`.

        (log-probability, rank, entropy in nats, the `top` likeliest ids (n, top), their log-probabilities (n, top)).
        """

    def trace(self, ids: Ids) -> tuple[Floats, Floats]:
        """Return what one pass over `ids` holds inside, of L layers and T ids.

        The residual stream in front of each block and behind the last one, before ln_f, (L + 1, T, n_embd); queries,
        keys and values of each layer, (L, T, 3 n_embd).
        """

    def score_states(self, states: Floats, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """Return what `score` does, of states (rows, n_embd) in the residual stream, as if no block came after them."""

    def sequence(self, prompt: Ids, params: SamplingParams, sample: int, cache: Cache | None = None) -> TextSequence:
        """Return a text to be generated from `prompt`.

        `cache` may hold the first tokens of what the model reads of the prompt (`Job.window`); it is left as it is.
        """

    def prefill(self, sequences: Sequence[TextSequence]) -> None:
        """Compute prompts but for their last token, so that forks made afterwards share the work."""

    def decode(
        self, sequences: Sequence[TextSequence], steps: int, *, budget: int = UNBOUNDED, seconds: float = math.inf
    ) -> int:
        """Take up to `steps` steps, and return how many; but for the first none begins after `seconds`.

        A backend may return when a sequence has ended, so that another can take its place.

        In each step every running sequence grows by a token, or more where prompt lookup guesses right. Sequences with
        more than one token `due` read them first, at most `budget` of them in a step (all sequences together, the
        first ones first), and grow in the step that reads the last one.
        """
