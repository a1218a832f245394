"""What can be asked of a language model in an evaluation, and what it answers.

After EleutherAI's lm-eval, whose three kinds of requests these are; knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Rule = Literal["sliding", "filled", "of_tokens"]
"""How a long text is cut into windows; the functions of gpt2lab.engine.windows."""


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """How likely is `continuation` behind `context`?

    Both are read as one text and parted where the context's tokens end; blanks at the end of the context belong to the
    continuation. An empty context is <|endoftext|>; `bos` puts one before any context. `without`: texts of tokens that
    are not allowed as the likeliest (see `Likely.allowed`).
    """

    context: str
    continuation: str
    bos: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rolling:
    """How likely is every token of a text of any length?

    With `bos` it is read after <|endoftext|>, so that its first token counts too. `stride` (tokens, "half" a window, or
    None: a whole one) and `rule` say how windows move over it. Bytes that are not UTF-8 stand as surrogates
    (errors="surrogateescape").
    """

    text: str
    bos: bool = True
    stride: int | Literal["half"] | None = None
    rule: Rule = "filled"


@dataclass(frozen=True, slots=True)
class NextWord:
    """Which whole word is the likeliest behind `context`, but for the words `without`?

    A word begins with a blank and ends where the next token begins with something that is no part of a word; what it
    is asked for is thus p(word) times the probability that it ends there. At most `width` beginnings are followed.
    """

    context: str
    without: tuple[str, ...] = ()
    width: int = 64


@dataclass(frozen=True, slots=True)
class Generate:
    """What does the model write behind `prompt`, until one of the strings `until` or `max_new_tokens`?

    `options` are those of `LanguageModel.generate`; without any the likeliest token is taken every time. A prompt that
    leaves no room for the answer in the model's window loses its beginning.
    """

    prompt: str
    until: tuple[str, ...] = ()
    max_new_tokens: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)


Request: TypeAlias = LogLikelihood | Rolling | NextWord | Generate


@dataclass(frozen=True, slots=True)
class Likely:
    """The answer to `LogLikelihood`: the sum over the continuation in nats, summed in double precision; whether every
    token of it was the likeliest; and token by token its ids, log-probabilities, the likeliest ids and the likeliest
    allowed ones."""

    logprob: float
    greedy: bool
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    likeliest: tuple[int, ...]
    allowed: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rolled:
    """The answer to `Rolling`: the tokens of the text with the log-probability of each, float32, NaN where none was
    counted; the end of each in the text's bytes; and for every window the tokens that it counted, (first, end)."""

    token_ids: npt.NDArray[np.int32]
    logprobs: npt.NDArray[np.float32]
    ends: npt.NDArray[np.int64]
    windows: tuple[tuple[int, int], ...]

    @property
    def logprob(self) -> float:
        """Their sum in nats, in double precision."""
        return float(np.nansum(self.logprobs, dtype=np.float64))

    @property
    def counted(self) -> int:
        """How many tokens were counted."""
        return int(np.isfinite(self.logprobs).sum())


@dataclass(frozen=True, slots=True)
class Word:
    """The answer to `NextWord`: the word without its blank, and its log-probability; "" where none was found."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to `Generate`: the text up to the first of `until`, its tokens and the log-probability of each."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


Answer: TypeAlias = Likely | Rolled | Word | Written
