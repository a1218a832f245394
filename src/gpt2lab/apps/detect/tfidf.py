"""The published baseline (OpenAI, gpt-2-output-dataset, detection.md): words and pairs of words, TF-IDF, a regression.

Learnt with scikit-learn, kept as a JSON file, applied with NumPy alone: the same tokens, counts and norm as
scikit-learn's TfidfVectorizer with ngram_range=(1, 2). It reads no model and knows only the subjects and words that it
was trained on.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.verdict import usable
from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import ConfigError, DataError, MissingExtraError
from gpt2lab.files import read_json, write_json

KIND = "tfidf"
_TOKEN = re.compile(r"(?u)\b\w\w+\b")
STRENGTHS = tuple(2.0**k for k in range(-6, 7, 2))
"""The values of C that the published script tries (every other of them)."""

MOST_TERMS, LEAST_TEXTS = 2**21, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TfIdf:
    """Terms with their inverse document frequency and weight. Raises `ConfigError` when these do not fit together."""

    kind: str = KIND
    name: str
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    trained: dict[str, Any]

    def __post_init__(self) -> None:
        if self.kind != KIND or not len(self.terms) == len(self.idf) == len(self.weights):
            raise ConfigError("This is no TF-IDF detector, or its lists do not have the same length; train it again.")
        if len(set(self.terms)) < len(self.terms) or not usable((*self.idf, *self.weights, self.intercept)):
            raise ConfigError("This TF-IDF detector's terms or numbers are damaged; train it again.")

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the log-odds that each text is a machine's."""
        place = {term: i for i, term in enumerate(self.terms)}
        idf, weights = np.asarray(self.idf), np.asarray(self.weights)
        return np.asarray([self._score(text, place, idf, weights) for text in texts])

    def _score(self, text: str, place: Mapping[str, int], idf: Any, weights: Any) -> float:
        counts = Counter(place[term] for term in terms_of(text) if term in place)
        at = np.fromiter(counts, np.int64, len(counts))
        values = np.fromiter(counts.values(), np.float64, len(counts)) * idf[at]
        norm = np.sqrt((values**2).sum())
        return float(values @ weights[at] / norm + self.intercept) if norm else self.intercept

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        write_json(Path(path), to_dict(self))


def terms_of(text: str) -> list[str]:
    """Return the words of two letters and more, in lower case, and each pair of neighbours."""
    words = _TOKEN.findall(text.lower())
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def fit_tfidf(
    texts: Sequence[str], labels: Sequence[int], groups: Sequence[str], *, name: str, trained: dict[str, Any],
    least: int = LEAST_TEXTS,
) -> TfIdf:  # fmt: skip
    """Learn from texts and labels (1: machine); the penalty is chosen on texts of other `groups` than learnt from.

    Raises `MissingExtraError` without scikit-learn, `DataError` where no term is in `least` texts.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, GroupKFold
    except ImportError:
        raise MissingExtraError("Training a detector", "detect") from None
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), max_features=MOST_TERMS, min_df=least)
    try:
        rows = vectorizer.fit_transform(texts)
    except ValueError:
        raise DataError(f"No word is in {least} of the texts; give more of them.") from None
    search = GridSearchCV(
        LogisticRegression(solver="liblinear"), {"C": list(STRENGTHS)}, cv=GroupKFold(4), scoring="roc_auc"
    )
    best = search.fit(rows, labels, groups=groups).best_estimator_
    return TfIdf(
        name=name,
        terms=tuple(vectorizer.get_feature_names_out().tolist()),
        idf=tuple(vectorizer.idf_.tolist()),
        weights=tuple(best.coef_[0].tolist()),
        intercept=float(best.intercept_[0]),
        trained=trained,
    )


def load_tfidf(path: str | Path) -> TfIdf:
    """Read a detector that `TfIdf.save` wrote. Raises `DataError` for a file that is none."""
    values = read_json(Path(path))
    try:
        return from_dict(TfIdf, values if isinstance(values, Mapping) else {})
    except ConfigError as error:
        raise DataError(f"{path} holds no detector that can be used: {error}") from None
