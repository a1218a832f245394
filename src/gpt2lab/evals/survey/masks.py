"""What a position may see while a model learns: one attention mask for each objective, over the words of a sentence.

Knows no drawing and no model. A mask is boolean, (rows, columns): True where the position of the row reads the column.
Sources: GPT (Radford et al. 2018), BERT (Devlin et al. 2018, section 3.1), UniLM (Dong et al. 2019, figure 1), MASS
(Song et al. 2019, figure 1), SpanBERT (Joshi et al. 2019, section 3), XLNet (Yang et al. 2019, figure 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.errors import ConfigError, nearest

Mask = npt.NDArray[np.bool_]

HIDDEN = "[MASK]"
START = "[START]"
SHARE = 0.15
"""Part of the tokens that masked objectives hide (BERT, section 3.1); of a short sentence at least one."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one objective does to one sentence.

    rows, columns: what the network reads at each position. targets: what each row must predict, None for nothing.
    mask: bool (rows, columns). The columns are the same positions as the rows, but for a stream of queries.
    """

    objective: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    targets: tuple[str | None, ...]
    mask: Mask


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective: one sentence about it, and the function that applies it to tokens."""

    about: str
    build: Callable[
        [Sequence[str], np.random.Generator], tuple[Sequence[str], Sequence[str], Sequence[str | None], Mask]
    ]


def pattern(objective: str, tokens: Sequence[str], *, seed: int = 0) -> Pattern:
    """Apply an objective of `OBJECTIVES` to a sentence of at least two tokens.

    A token that begins with "##" belongs to the word before it, as in BERT's vocabulary. `seed` decides what is hidden
    or in which order tokens are predicted. Raises `ConfigError`.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(
            f"{objective!r} is not an objective.{nearest(objective, OBJECTIVES)} There are {', '.join(OBJECTIVES)}."
        )
    if len(tokens) < 2:
        raise ConfigError(f"A sentence of {len(tokens)} tokens is too short to draw; give at least two words.")
    rows, columns, targets, mask = OBJECTIVES[objective].build(list(tokens), np.random.default_rng(seed))
    return Pattern(objective, tuple(rows), tuple(columns), tuple(targets), mask)


Parts = tuple[Sequence[str], Sequence[str], Sequence[str | None], Mask]


def _causal(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    return tokens, tokens, [*tokens[1:], None], np.tri(len(tokens), dtype=bool)


def _backward(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    return tokens, tokens, [None, *tokens[:-1]], np.tri(len(tokens), dtype=bool).T


def _hidden(tokens: Sequence[str], places: set[int]) -> Parts:
    """Hide tokens at `places`; every position sees every other."""
    shown = [HIDDEN if i in places else token for i, token in enumerate(tokens)]
    targets = [token if i in places else None for i, token in enumerate(tokens)]
    return shown, shown, targets, np.ones((len(tokens), len(tokens)), dtype=bool)


def _budget(tokens: Sequence[str]) -> int:
    return max(1, round(SHARE * len(tokens)))


def _masked(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    return _hidden(tokens, {int(i) for i in rng.choice(len(tokens), _budget(tokens), replace=False)})


def _words(tokens: Sequence[str]) -> list[list[int]]:
    """Return the places of each word's tokens."""
    words: list[list[int]] = []
    for i, token in enumerate(tokens):
        if token.startswith("##") and words:
            words[-1].append(i)
        else:
            words.append([i])
    return words


def _whole_word(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    words, places = _words(tokens), set[int]()
    for i in rng.permutation(len(words)):
        if len(places) >= _budget(tokens):
            break
        places |= set(words[i])
    return _hidden(tokens, places)


def _span(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    words = _words(tokens)
    length = min(int(rng.geometric(0.2)), 10, max(1, len(words) // 2))  # SpanBERT, section 3.1; half leaves a context
    first = int(rng.integers(len(words) - length + 1))
    return _hidden(tokens, {i for word in words[first : first + length] for i in word})


def _prefix(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    n, given = len(tokens), (len(tokens) + 1) // 2
    mask = np.tri(n, dtype=bool)
    mask[:given, :given] = True
    targets = [tokens[i + 1] if given - 1 <= i < n - 1 else None for i in range(n)]
    return tokens, tokens, targets, mask


def _seq2seq(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    n, length = len(tokens), max(1, len(tokens) // 2)  # MASS hides half of a sentence (section 3.1)
    first = int(rng.integers(n - length + 1))
    span = tokens[first : first + length]
    read = [HIDDEN if first <= i < first + length else token for i, token in enumerate(tokens)]
    decoder = [START, *span[:-1]]
    mask = np.zeros((n + length, n + length), dtype=bool)
    mask[:n, :n] = True
    mask[n:, :n] = True
    mask[n:, n:] = np.tri(length, dtype=bool)
    # the decoder does not attend to the holes: enc_mask in the trainer that MASS's authors published
    mask[n:, first : first + length] = False
    both = [*read, *decoder]
    return both, both, [*([None] * n), *span], mask


def _order(tokens: Sequence[str], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return for each position when it is predicted in a random order."""
    times = np.empty(len(tokens), dtype=np.int64)
    times[rng.permutation(len(tokens))] = np.arange(len(tokens))
    return times


def _permutation(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    times = _order(tokens, rng)
    rows = [f"? {time + 1}." for time in times]
    return rows, tokens, tokens, times[None, :] < times[:, None]


def _permutation_content(tokens: Sequence[str], rng: np.random.Generator) -> Parts:
    times = _order(tokens, rng)
    return tokens, tokens, [None] * len(tokens), times[None, :] <= times[:, None]


OBJECTIVES: Mapping[str, Objective] = {
    "causal": Objective("Each position sees itself and what is before it, and predicts the next token.", _causal),
    "backward": Objective("Each position sees itself and what is behind it, and predicts the token before.", _backward),
    "masked": Objective("Every position sees all; tokens that are hidden must be found again.", _masked),
    "whole-word": Objective("As masked, but all tokens of a word are hidden together.", _whole_word),
    "span": Objective("As masked, but neighbouring words are hidden together.", _span),
    "prefix": Objective("The first half sees itself whole; the second is written from left to right.", _prefix),
    "seq2seq": Objective(
        "An encoder reads the sentence with a hole; a decoder sees it and writes what is missing, from left to right.",
        _seq2seq,
    ),
    "permutation": Objective(
        "Tokens are predicted in a random order, whose numbers are the rows; each query knows its place and sees the "
        "tokens before it in that order, not itself.",
        _permutation,
    ),
    "permutation-content": Objective(
        "The stream that the queries read: each token sees itself and those before it in the random order.",
        _permutation_content,
    ),
}
"""Name of each objective -> what it is."""
