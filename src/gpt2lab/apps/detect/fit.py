"""Learning a detector from pairs: a logistic regression on the features of whole texts and of their beginnings.

What it says of its own quality is measured on documents it had not learnt from: the pairs are dealt into parts by
document, and each part is judged by a detector of the others. Needs scikit-learn (`gpt2lab[detect]`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.detector import Detector, Humans
from gpt2lab.apps.detect.features import features, names
from gpt2lab.apps.detect.pairs import Pair, summary
from gpt2lab.apps.detect.reading import Reading
from gpt2lab.apps.detect.store import Store
from gpt2lab.apps.detect.verdict import Kept
from gpt2lab.apps.detect.zero_shot import METHODS, measure
from gpt2lab.engine.moments import Moments
from gpt2lab.errors import DataError, MissingExtraError
from gpt2lab.metrics.ranking import auroc, reliability, tpr_at_fpr

LENGTHS = (25, 50, 100, 150)
"""Words at which texts are cut; the last stands for whole texts too."""

SQUARED = (
    "logprob", "log_rank", "lrr", "entropy", "curvature", "variance", "logprob_sd", "log_rank_sd", "entropy_sd", "z_sd",
    "rank_below_10", "rank_below_100", "rank_below_1000",
)  # fmt: skip
"""The features whose square counts too: both sides of the ordinary can speak for a machine."""

LEARNT = (*SQUARED, "repeats_1", "repeats_2", "repeats_3", "repeated_logprob", "new_logprob")
"""The features a detector learns from. More of them order the texts of a set better and put the texts of a corpus that
was not learnt from on the wrong side of one half; how a text is written tells, besides, how a collection was made:
where line breaks were taken out, headings have lost their stops."""

PARTS, FIFTHS, QUANTILES, FEWEST = 5, 5, 41, 20
STRANGE = 0.999  # of the training texts are not strange

Array = npt.NDArray[np.float64]
_Row = tuple[Array, list[float], str]


@dataclass(frozen=True, slots=True)
class Table:
    """A row for each text at each length: features (n, len(names())), zero-shot values (n, len(METHODS)), what it is.

    labels: 1 machine, 0 human. words: the length it was cut to, 0: not cut. A human text that stands beside several
    machine texts has a row beside each. texts: what was read, cut.
    """

    rows: Array
    values: Array
    labels: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    pairs: list[Pair]
    texts: list[str]

    def take(self, chosen: npt.NDArray[np.bool_]) -> Table:
        """Return the chosen rows."""
        kept = np.flatnonzero(chosen).tolist()
        return Table(
            self.rows[chosen], self.values[chosen], self.labels[chosen], self.words[chosen],
            [self.pairs[i] for i in kept], [self.texts[i] for i in kept],
        )  # fmt: skip


def tabulate(
    pairs: Sequence[Pair],
    store: Store,
    lengths: Sequence[int] = LENGTHS,
    progress: Callable[[int, int | None], None] | None = None,
) -> Table:
    """Measure pairs, whole and cut to each length that both texts have: the human texts, then their machines'."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.human, pair.machine)))
    made: dict[str, dict[int, _Row]] = {}
    for reading in store.read(texts, progress):
        made[reading.text] = {0: _row(reading, len(reading.ids))}
        for words in lengths:
            if len(reading.plain.split()) >= words:
                made[reading.text][words] = _row(reading, reading.tokens_of(words))
    rows: list[tuple[Array, list[float], str, int, int, Pair]] = []
    for words in (0, *lengths):
        both = [p for p in pairs if words in made[p.human] and words in made[p.machine]]
        rows += [(*made[p.human][words], 0, words, p) for p in both]
        rows += [(*made[p.machine][words], 1, words, p) for p in both]
    data, values, texts_read, labels, cut, of = zip(*rows, strict=True)
    return Table(np.stack(data), np.asarray(values), np.asarray(labels), np.asarray(cut), list(of), list(texts_read))


def _row(reading: Reading, tokens: int) -> _Row:
    values = measure(_first(reading.moments, tokens))
    return features(reading, tokens), [values[name] for name in METHODS], reading.plain[: reading.ends[tokens - 1]]


def _first(m: Moments, n: int) -> Moments:
    return Moments(
        m.logprobs[:n], m.ranks[:n], m.entropies[:n], m.highest[:n], m.means[:n], m.variances[:n], m.top_ids[:n],
        m.top_logprobs[:n],
    )  # fmt: skip


def fit(
    table: Table, *, name: str, store: Store, strength: float = 0.01, about: dict[str, Any] | None = None
) -> Detector:
    """Return the detector learnt from a table, with how it does on documents unknown to it at every length.

    strength: scikit-learn's C, the inverse of the penalty. Raises `DataError` for too few documents,
    `MissingExtraError` without scikit-learn.
    """
    documents = sorted({pair.document for pair in table.pairs})
    if len(documents) < 2 * PARTS:
        raise DataError(f"{len(documents)} documents are too few to learn from; {2 * PARTS} are needed at least.")
    place = {document: i % PARTS for i, document in enumerate(documents)}
    part = np.asarray([place[pair.document] for pair in table.pairs])
    scores = np.zeros(len(table.labels))
    for i in range(PARTS):
        learnt = _regression(table.take(part != i), strength, name, store)
        scores[part == i] = learnt.scores(table.rows[part == i])
    whole = _regression(table, strength, name, store)
    kept = [k for words in LENGTHS if (k := _kept(table, scores, words)) is not None]
    inputs = whole.inputs(table.rows)[:, : len(whole.features)]
    return replace(
        whole,
        kept=tuple(kept),
        humans=tuple(_humans(table, k.words) for k in kept),
        strange=float(np.quantile((inputs**2).mean(axis=1), STRANGE)) * 1.25,
        trained=summary(table.pairs) | (about or {}),
    )


def _regression(table: Table, strength: float, name: str, store: Store) -> Detector:
    linear_model = _sklearn()
    mean, scale = table.rows.mean(axis=0), table.rows.std(axis=0)
    varies = scale > 1e-9
    chosen = [n for n in LEARNT if varies[names().index(n)]]
    squared = tuple(n for n in SQUARED if n in chosen)
    places = [names().index(n) for n in chosen]
    blank = Detector(
        name=name, scorer=store.reader.name, probe=_round(store.reader.probe()), layout=store.reader.layout,
        features=tuple(chosen), squared=squared, mean=_short(mean[places]), scale=_short(scale[places]),
        weights=(0.0,) * (len(chosen) + len(squared)), intercept=0.0, trained={},
    )  # fmt: skip
    regression = linear_model.LogisticRegression(C=strength, max_iter=2000)
    regression.fit(blank.inputs(table.rows), table.labels, sample_weight=_weights(table))
    return replace(blank, weights=_short(regression.coef_[0]), intercept=_short(regression.intercept_)[0])


def _weights(table: Table) -> Array:
    """Return weights of the rows: a set counts as the root of its size, so that small ones are not lost."""
    keys = [(pair.set, words, label) for pair, words, label in zip(table.pairs, table.words, table.labels, strict=True)]
    counts: dict[tuple[str, int, int], int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    weights = np.asarray(
        [1 / math.sqrt(counts[key]) for key in keys]
    )  # a small set counts less than a large one, not so much less
    normed: Array = weights / weights.mean()
    return normed


def _kept(table: Table, scores: Array, words: int) -> Kept | None:
    """Return how held-out scores did at a length; None where there are too few texts so long."""
    here = table.words == (words if words != LENGTHS[-1] else 0)
    if words == LENGTHS[-1]:
        here &= np.asarray([len(p.human.split()) >= words * 0.8 for p in table.pairs])
    if here.sum() < 2 * FEWEST:
        return None
    score, label = scores[here], table.labels[here]
    regression = _sklearn().LogisticRegression(C=1e6).fit(score[:, None], label)
    slope, offset = float(regression.coef_[0, 0]), float(regression.intercept_[0])
    p = 1 / (1 + np.exp(-(slope * score + offset)))
    bins = reliability(p, label, FIFTHS)
    return Kept(
        words=words, slope=_round(slope), offset=_round(offset),
        auroc=_round(auroc(score[label == 1], score[label == 0])),
        tpr=_round(tpr_at_fpr(score[label == 1], score[label == 0])),
        shares=tuple(_round(b.share) if b.size >= FEWEST else None for b in bins), counts=tuple(b.size for b in bins),
    )  # fmt: skip


def _humans(table: Table, words: int) -> Humans:
    here = (table.words == (words if words != LENGTHS[-1] else 0)) & (table.labels == 0)
    at = np.linspace(0, 1, QUANTILES)
    known = {name: values[~np.isnan(values)] for name, values in zip(METHODS, table.values[here].T, strict=True)}
    return Humans(
        words=words,
        quantiles={name: list(_short(np.quantile(values, at))) for name, values in known.items() if len(values)},
    )


def _short(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(_round(v) for v in values.tolist())


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _sklearn() -> Any:
    try:
        from sklearn import linear_model
    except ImportError:
        raise MissingExtraError("Training a detector", "detect") from None
    return linear_model
