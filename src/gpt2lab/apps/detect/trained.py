"""Detectors of every kind behind one function: a file or folder in, a score for each text of a table out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.detector import DEFAULT, Detector, load_detector
from gpt2lab.apps.detect.fit import Table
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.report import Scorer
from gpt2lab.apps.detect.tfidf import KIND, TfIdf, load_tfidf
from gpt2lab.errors import DataError
from gpt2lab.files import read_json

Array = npt.NDArray[np.float64]


def judged(paths: Sequence[str | Path], reader: Reader) -> tuple[dict[str, Scorer], dict[str, Scorer]]:
    """Return (scorers, probabilities) of detectors by name; without paths, of the one that comes with gpt2lab.

    Raises `DataError` for a file that is none, for one of another model than the reader's, and for two of one name.
    """
    scorers: dict[str, Scorer] = {}
    probabilities: dict[str, Scorer] = {}
    for path in paths or [DEFAULT]:
        name, scorer, probability = _open(Path(path).expanduser(), reader)
        if name in scorers:
            raise DataError(f"Two of the detectors are called {name!r}; give one of them another name.")
        scorers[name], probabilities[name] = scorer, probability
    return scorers, probabilities


def _open(path: Path, reader: Reader) -> tuple[str, Scorer, Scorer]:
    if path.is_dir():
        from gpt2lab.apps.detect.discriminator import Discriminator

        head = Discriminator.load(path)
        return head.name, lambda t: head.scores(t.texts), lambda t: sigmoid(head.scores(t.texts))
    values = read_json(path)
    if isinstance(values, Mapping) and values.get("kind") == KIND:
        tfidf: TfIdf = load_tfidf(path)
        return tfidf.name, lambda t: tfidf.scores(t.texts), lambda t: sigmoid(tfidf.scores(t.texts))
    found = load_detector(path)
    if not found.fits(reader):
        raise DataError(
            f"{path} was trained on what the model {found.scorer} makes of texts, not {reader.name}; give --model "
            f"{found.scorer}."
        )
    return found.name, lambda t: found.scores(t.rows), lambda t: calibrated(found, t)


def calibrated(detector: Detector, table: Table) -> Array:
    """Return the calibrated probability of each row of a table."""
    scores = detector.scores(table.rows)
    words = [len(text.split()) for text in table.texts]
    return np.asarray([detector.probability(s, n) for s, n in zip(scores.tolist(), words, strict=True)])


def sigmoid(scores: Array) -> Array:
    """Return the probabilities of log-odds."""
    odds: Array = np.exp(-np.logaddexp(0.0, -scores))
    return odds
