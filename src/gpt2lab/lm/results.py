"""What a language model returns: texts it wrote and measurements of texts it read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Generation:
    """One generated text.

    text: what was generated, without the prompt ("" if the model has no tokenizer).
    token_ids, logprobs: each generated token and the model's own log-probability of it; the end token is left out.
    finish_reason: "eos" (the end token came), "stop" (a stop string came) or "length" (a limit was reached).
    prompt, prompt_token_ids: what it continues. seed, sample: what reproduces it.
    top_logprobs: for each token the likeliest (id, log-probability) pairs, if `top_logprobs` asked for them.
    """

    text: str
    token_ids: list[int]
    logprobs: list[float]
    finish_reason: str
    prompt: str | None
    prompt_token_ids: list[int]
    seed: int
    sample: int
    top_logprobs: list[list[tuple[int, float]]]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What a model says of every token of a text of n tokens.

    token_ids, tokens: ids and the text of each. offsets: (start, end) in characters of the text.
    logprobs, entropies: float32 (n,), natural logarithms; ranks: int32 (n,), 0 for the likeliest token.
    top_ids, top_logprobs: (n, top), the likeliest tokens at each place.
    A first token that nothing precedes has NaN, -1 and NaN.
    """

    token_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    logprobs: npt.NDArray[np.float32]
    ranks: npt.NDArray[np.int32]
    entropies: npt.NDArray[np.float32]
    top_ids: npt.NDArray[np.int32]
    top_logprobs: npt.NDArray[np.float32]
    words: int
    bytes: int

    @property
    def log_likelihood(self) -> float:
        """Sum of the log-probabilities, in nats."""
        return float(np.nansum(self.logprobs, dtype=np.float64))

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability of the scored tokens."""
        return self._per(int(np.isfinite(self.logprobs).sum()))

    @property
    def word_perplexity(self) -> float:
        """exp of the negative log-likelihood over the number of words, which white space separates."""
        return self._per(self.words)

    @property
    def byte_perplexity(self) -> float:
        """exp of the negative log-likelihood over the number of UTF-8 bytes."""
        return self._per(self.bytes)

    @property
    def bits_per_byte(self) -> float:
        """Negative log-likelihood in bits over the number of UTF-8 bytes."""
        return -self.log_likelihood / math.log(2) / self.bytes if self.bytes else math.nan

    def _per(self, units: int) -> float:
        if not units:
            return math.nan
        try:
            return math.exp(-self.log_likelihood / units)
        except OverflowError:
            return math.inf


def as_list(texts: str | Sequence[str]) -> list[str]:
    """Return one text or many as a list."""
    return [texts] if isinstance(texts, str) else list(texts)
