"""Detectors of every kind behind one face: a file or folder in, verdicts or a score for each text of a table out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.detector import DEFAULT, Detector, load_detector
from gpt2lab.apps.detect.fit import Table
from gpt2lab.apps.detect.reading import Reader, Reading
from gpt2lab.apps.detect.report import Scorer
from gpt2lab.apps.detect.tfidf import KIND, load_tfidf
from gpt2lab.apps.detect.verdict import Verdict, call_of
from gpt2lab.errors import DataError
from gpt2lab.files import read_json

Array = npt.NDArray[np.float64]


class Judge(Protocol):
    """What gives a verdict on a reading."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def layout(self) -> bool:
        """Whether line breaks count."""

    @property
    def trained(self) -> dict[str, Any]:
        """What it was trained on, by name."""

    def fits(self, reader: Reader) -> bool:
        """Return whether it can judge what this reader reads."""

    def judge(self, reading: Reading) -> Verdict:
        """Return what it says of a text."""

    def beside_humans(self, reading: Reading) -> dict[str, tuple[float, float, float]]:
        """Return each method's value, its place among human texts and the two-sided probability; {} if unknown."""


@dataclass(frozen=True, slots=True)
class Uncalibrated:
    """A detector that says log-odds of a text alone and does not know how far they hold at which length."""

    name: str
    layout: bool
    trained: dict[str, Any]
    scores: Callable[[Sequence[str]], Array]

    def fits(self, reader: Reader) -> bool:
        """Return True: it reads texts by itself."""
        return True

    def judge(self, reading: Reading) -> Verdict:
        """Return what it says; nothing of a text below `LEAST_WORDS`."""
        if reading.words < LEAST_WORDS:
            return Verdict("too short", reading.words, None, None)
        p = float(sigmoid(self.scores([reading.plain]))[0])
        return Verdict(call_of(p), reading.words, p, None)

    def beside_humans(self, reading: Reading) -> dict[str, tuple[float, float, float]]:
        """Return {}."""
        return {}


LEAST_WORDS = 25
"""Words below which an `Uncalibrated` detector says nothing."""


def open_detector(path: str | Path, **options: Any) -> Judge:
    """Open a detector of any kind: a JSON file, or a discriminator's folder, whose model is loaded with `options`
    (`LanguageModel.load`'s). Raises `DataError` where there is none."""
    place = Path(path).expanduser()
    if place.is_dir():
        from gpt2lab.apps.detect.discriminator import Discriminator

        head = Discriminator.load(place, **options)
        return Uncalibrated(head.name, head.about.layout, head.about.trained, head.scores)
    values = read_json(place)
    if isinstance(values, Mapping) and values.get("kind") == KIND:
        words = load_tfidf(place)
        return Uncalibrated(words.name, False, words.trained, words.scores)
    return load_detector(place)


def default_for(reader: Reader) -> Judge | None:
    """Return the detector that comes with gpt2lab, None where it is another model's than the reader's."""
    if not DEFAULT.is_file():
        return None
    found = open_detector(DEFAULT)
    return found if found.fits(reader) else None


def check_fits(judge: Judge, path: str | Path, reader: Reader) -> None:
    """Raise `DataError` for a detector of another model than the reader's."""
    if not judge.fits(reader):
        assert isinstance(judge, Detector)
        raise DataError(
            f"{path} was trained on what the model {judge.scorer} makes of texts, not {reader.name}; give --model "
            f"{judge.scorer}, or train a detector for {reader.name} with gpt2lab detect train."
        )


def judged(paths: Sequence[str | Path], reader: Reader, **options: Any) -> tuple[dict[str, Scorer], dict[str, Scorer]]:
    """Return (scorers, probabilities) of detectors by name; without paths, of the one that comes with gpt2lab.
    `options` are `open_detector`'s.

    Raises `DataError` for a file that is none, for one of another model than the reader's, and for two of one name.
    """
    scorers: dict[str, Scorer] = {}
    probabilities: dict[str, Scorer] = {}
    for path in paths or [DEFAULT]:
        found = open_detector(path, **options)
        check_fits(found, path, reader)
        if found.name in scorers:
            raise DataError(f"Two of the detectors are called {found.name!r}; give one of them another name.")
        scorers[found.name], probabilities[found.name] = _scorers(found)
    return scorers, probabilities


def _scorers(judge: Judge) -> tuple[Scorer, Scorer]:
    if isinstance(judge, Detector):
        return lambda t: judge.scores(t.rows), lambda t: calibrated(judge, t)
    assert isinstance(judge, Uncalibrated)
    scores = _Once(judge)
    return scores, lambda t: sigmoid(scores(t))


class _Once:
    """The scores of a table's texts, which a model may need long for: those of the table asked for last are kept."""

    def __init__(self, judge: Uncalibrated) -> None:
        self._judge = judge
        self._known: tuple[Table, Array] | None = None

    def __call__(self, table: Table) -> Array:
        if self._known is None or self._known[0] is not table:
            self._known = table, self._judge.scores(table.texts)
        return self._known[1]


def calibrated(detector: Detector, table: Table) -> Array:
    """Return the calibrated probability of each row of a table."""
    scores = detector.scores(table.rows)
    words = [len(text.split()) for text in table.texts]
    return np.asarray([detector.probability(s, n) for s, n in zip(scores.tolist(), words, strict=True)])


def sigmoid(scores: Array) -> Array:
    """Return the probabilities of log-odds."""
    odds: Array = np.exp(-np.logaddexp(0.0, -scores))
    return odds
