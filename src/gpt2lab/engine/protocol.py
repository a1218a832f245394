"""What a backend offers: the one seam between generation or scoring and whatever multiplies the matrices.

Ids are one-dimensional int32 arrays; logits are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.params import SamplingParams
from gpt2lab.model.config import GPT2Config

Ids: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]


class Cache(Protocol):
    """Keys and values of one sequence, owned by the caller."""

    @property
    def length(self) -> int:
        """Number of tokens it holds."""

    def crop(self, length: int) -> None:
        """Forget every token from `length` on."""

    def fork(self) -> Cache:
        """Return an independent copy; memory is shared until one of the two grows."""


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
    def logprobs(self) -> list[float]:
        """The model's own log-probability of each generated token."""

    @property
    def top_logprobs(self) -> list[tuple[int, float]]:
        """`top_logprobs` pairs of id and log-probability for each generated token, one after another."""

    def ids_from(self, first: int) -> list[int]:
        """Return the ids from index `first` on, prompt included in the count."""

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

    def sequence(self, prompt: Ids, params: SamplingParams, sample: int) -> TextSequence:
        """Return a text to be generated from `prompt`."""

    def prefill(self, sequences: Sequence[TextSequence]) -> None:
        """Compute prompts but for their last token, so that forks made afterwards share the work."""

    def decode(self, sequences: Sequence[TextSequence], steps: int) -> None:
        """Generate up to `steps` more tokens for each running sequence."""
