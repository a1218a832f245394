"""What each field of articles costs a model in nats: alone, and behind the other fields of its article.

The same tokens are measured both ways, a field's end token among them, so that the difference is what the other fields
tell of it. This is how Grover's authors measure what metadata is worth (Zellers et al. 2019, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.fields import FIELDS, Field
from gpt2lab.apps.articles.records import Article
from gpt2lab.engine.likelihood import Pair, likelihoods
from gpt2lab.errors import CheckpointError, DataError
from gpt2lab.lm.model import LanguageModel

Nats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FieldLoss:
    """Nats a token of a field over so many articles and tokens; `difference` has the standard error `error`.

    `alone`: behind nothing but its own begin token. `given`: behind all other fields of the article as well.
    """

    field: Field
    articles: int
    tokens: int
    alone: float
    given: float
    error: float

    @property
    def difference(self) -> float:
        """How much less a token costs behind the other fields."""
        return self.alone - self.given


def field_losses(
    lm: LanguageModel, articles: Sequence[Article], *, progress: Callable[[int, int], None] | None = None
) -> list[FieldLoss]:
    """Return the losses of every field that some article has beside another field, in canonical order.

    Of a field longer than half the model's window that half is measured. The error is that of a ratio of sums over
    articles (delta method). Raises `CheckpointError` when the model knows no fields, `DataError` when nothing can be
    measured.
    """
    if lm.tokenizer is None:
        raise CheckpointError(f"{lm.source} has no tokenizer, so it knows no fields.")
    codec, window = Codec(lm.tokenizer), lm.config.n_positions
    pairs: list[Pair] = []
    owners: list[Field] = []
    for article in articles:
        texts = article.texts()
        for field, text in texts.items():
            if len(texts) == 1:
                continue
            target = codec.piece(field, text)[1:][: window // 2]
            contexts = (
                [*codec.start, codec.begin[field]],
                codec.context(texts, field, window + 1 - len(target)).ids,
            )
            pairs += [Pair(np.array(c, np.int32), np.array(target, np.int32)) for c in contexts]
            owners.append(field)
    if not pairs:
        raise DataError("No article has two fields, so nothing can be said of what one tells of another.")
    nats = np.zeros(len(pairs))
    for done, (number, found) in enumerate(likelihoods(lm.backend, pairs), start=1):
        nats[number] = -found.logprobs.sum(dtype=np.float64)
        if progress is not None:
            progress(done, len(pairs))
    counts = np.array([len(pair.continuation) for pair in pairs[::2]])
    return [
        _loss(field, nats[0::2][mine], nats[1::2][mine], counts[mine])
        for field in FIELDS
        if (mine := np.array([owner == field for owner in owners])).any()
    ]


def _loss(field: Field, alone: Nats, given: Nats, counts: npt.NDArray[np.int64]) -> FieldLoss:
    total, n = counts.sum(), len(counts)
    difference = (alone - given).sum() / total
    spread = (alone - given) - difference * counts
    error = float(np.sqrt((spread**2).sum() * n / max(n - 1, 1)) / total) if n > 1 else float("nan")
    return FieldLoss(field, n, int(total), float(alone.sum() / total), float(given.sum() / total), error)
