"""What a model expects next, as the next-word explorers show it: as it says, and as sampling settings leave it.

After the GPT-2 Explorer (allenai/lm-explorer): the likeliest tokens with their probabilities, one of which is chosen
and appended. A long text is read through the window that generation has, so that one choice costs one step.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from gpt2lab.engine.jobs import Job
from gpt2lab.engine.native import expected
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, Floats, Ids
from gpt2lab.engine.score import logits_pieces


@dataclass(frozen=True, slots=True)
class Expectation:
    """The next token of a text of n tokens, of which the model has read those from number `start` on.

    raw, filtered: the k likeliest (id, probability), highest first; the filtered ones are renormalised. kept: how many
    tokens the settings leave. entropy: of the raw distribution, in nats.
    """

    start: int
    raw: list[tuple[int, float]]
    filtered: list[tuple[int, float]]
    kept: int
    entropy: float

    @property
    def raw_mass(self) -> float:
        """Sum of the raw probabilities that are listed."""
        return sum(p for _, p in self.raw)

    @property
    def filtered_mass(self) -> float:
        """Sum of the filtered probabilities that are listed."""
        return sum(p for _, p in self.filtered)


def expectation_pieces(
    backend: Backend,
    ids: Ids,
    params: SamplingParams,
    k: int,
    prefixes: PrefixCache | None,
    *,
    piece: int | None = None,
) -> Generator[int, None, Expectation]:
    """Return what comes after `ids`, reading `piece` tokens (default: all) between two yields; `drained` does all.

    With `prefixes`, a text that begins like an earlier one costs only what is new. Raises `RequestError`.
    """
    window = Job(ids, params).window(backend.config.n_positions)
    logits = yield from logits_pieces(backend, window, prefixes, piece=piece)
    return _expectation(logits, ids, len(ids) - len(window), params, k)


def _expectation(logits: Floats, ids: Ids, start: int, params: SamplingParams, k: int) -> Expectation:
    raw, left, kept, entropy = expected(logits, params, ids, k)
    return Expectation(start, raw, left, kept, entropy)
