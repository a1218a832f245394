"""A detector in a JSON file: a logistic regression on a text's features, with what it was trained on and how it did.

Numbers and names only, never code: a file from anywhere can be read. It belongs to the model that measured the texts
it was trained on, and needs nothing but NumPy to decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.features import features, names
from gpt2lab.apps.detect.reading import Reader, Reading
from gpt2lab.apps.detect.verdict import Kept, Verdict, call_of, nearest_length, usable
from gpt2lab.apps.detect.zero_shot import METHODS, REFERRED, measure, two_sided
from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import ConfigError, DataError, TokenizerError
from gpt2lab.files import read_json, write_json

FORMAT = 1
DEFAULT = Path(__file__).with_name("default.json")
"""The detector that comes with gpt2lab, for the embedded model."""

_SAME = 0.05  # nats by which precisions differ at most on the probe

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Humans:
    """Quantiles at even steps, ascending, of every zero-shot method over human texts of `words` words."""

    words: int
    quantiles: dict[str, Any]

    def __post_init__(self) -> None:
        for name, values in self.quantiles.items():
            listed = isinstance(values, list | tuple) and all(isinstance(v, int | float) for v in values)
            if (
                not listed
                or name not in METHODS
                or len(values) < 2
                or not usable(values)
                or sorted(values) != [*values]
            ):
                raise ConfigError(f"What it says of {name!r} on human texts is damaged; train it again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """See the module. Raises `ConfigError` when its parts do not fit together.

    scorer: the model that measures; probe: what it made of a known sentence (`Reader.probe`), so that it is known again
    in any precision. squared: features whose square counts too,
    so that both sides of the ordinary can speak for a machine. A feature's value is (x - mean) / scale, at most
    `limit` on either side. strange: the mean square of these above which a text is unlike the training texts.
    trained: what it was trained on, in words, by name.
    """

    format: int = FORMAT
    name: str
    scorer: str
    probe: float | None = None
    layout: bool = False
    features: tuple[str, ...]
    squared: tuple[str, ...] = ()
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    limit: float = 4.0
    weights: tuple[float, ...]
    intercept: float
    strange: float = 1e9
    kept: tuple[Kept, ...] = ()
    humans: tuple[Humans, ...] = ()
    trained: dict[str, Any]

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.format != FORMAT:
            raise ConfigError(f"This detector has format {self.format}; this version of gpt2lab reads {FORMAT}.")
        if not len(self.mean) == len(self.scale) == n or len(self.weights) != n + len(self.squared):
            raise ConfigError("This detector's lists do not have the same length; train it again.")
        if not n or not usable((*self.mean, *self.scale, *self.weights, self.intercept)) or min(self.scale) <= 0:
            raise ConfigError("This detector's numbers are damaged; train it again.")
        if [k.words for k in self.kept] != sorted({k.words for k in self.kept}):
            raise ConfigError("What this detector says of held-out texts is not in the order of their lengths.")
        known = set(names())
        for name in (*self.features, *self.squared):
            if name not in known or name not in self.features:
                raise ConfigError(f"This detector wants a feature {name!r} that this version of gpt2lab does not know.")

    def fits(self, reader: Reader) -> bool:
        """Return whether it was trained on what this reader's model makes of texts."""
        if self.probe is None:
            return True
        try:
            return abs(reader.probe() - self.probe) < _SAME
        except TokenizerError:  # a vocabulary in which the known sentence cannot be said
            return False

    def inputs(self, rows: Array) -> Array:
        """Return (n, features) rows of `names()` as (n, weights) of what the weights are for."""
        order = {name: i for i, name in enumerate(names())}
        chosen = rows[:, [order[name] for name in self.features]]
        values = np.clip((chosen - np.asarray(self.mean)) / np.asarray(self.scale), -self.limit, self.limit)
        again = {name: i for i, name in enumerate(self.features)}
        return np.concatenate([values, values[:, [again[name] for name in self.squared]] ** 2], axis=1)

    def scores(self, rows: Array) -> Array:
        """Return the uncalibrated score of each row of features; higher is more machine-like."""
        scores: Array = self.inputs(rows) @ np.asarray(self.weights) + self.intercept
        return scores

    def probability(self, score: float, words: int) -> float:
        """Return the calibrated probability that a text of so many words is a machine's.

        Slopes and offsets between two lengths are interpolated in the logarithm of the length.
        """
        if not self.kept:
            return _sigmoid(score)
        at = [math.log(k.words) for k in self.kept]
        slope = float(np.interp(math.log(max(words, 1)), at, [k.slope for k in self.kept]))
        offset = float(np.interp(math.log(max(words, 1)), at, [k.offset for k in self.kept]))
        return _sigmoid(slope * score + offset)

    def judge(self, reading: Reading, length: int | None = None) -> Verdict:
        """Return what this detector says of a reading, or of its first `length` tokens."""
        n = len(reading.ids) if length is None else min(length, len(reading.ids))
        words = len(reading.plain[: reading.ends[n - 1]].split())
        held_out = nearest_length(self.kept, words)
        if (self.kept and held_out is None) or reading.moments.scored[:n].sum() < 2:
            return Verdict("too short", words, None, None)
        row = features(reading, n)[None]
        inputs = self.inputs(row)[0, : len(self.features)]
        if float((inputs**2).mean()) > self.strange:
            return Verdict("unlike", words, None, held_out)
        p = self.probability(float(self.scores(row)[0]), words)
        if held_out is None:
            return Verdict(call_of(p), words, p, None)
        fifth = min(int(p * len(held_out.counts)), len(held_out.counts) - 1)
        return Verdict(call_of(p), words, p, held_out, held_out.shares[fifth], held_out.counts[fifth])

    def beside_humans(self, reading: Reading) -> dict[str, tuple[float, float, float]]:
        """Return for every zero-shot method its value, its place among human texts of this length (0 to 1), and the
        two-sided probability of one so far out. Without human texts so short: {}; without what a second model changes,
        which the human texts were not measured with."""
        reached = [h for h in self.humans if h.words <= reading.words]
        if not reached:
            return {}
        quantiles = max(reached, key=lambda h: h.words).quantiles
        values, hidden = measure(reading.moments), REFERRED if reading.referred else ()
        return {
            name: (values[name], *two_sided(values[name], quantiles[name])) for name in quantiles if name not in hidden
        }

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        write_json(Path(path), to_dict(self))


def load_detector(path: str | Path = DEFAULT) -> Detector:
    """Read a detector. Raises `DataError` for a file that is none."""
    values = read_json(Path(path).expanduser())
    if not isinstance(values, Mapping):
        raise DataError(f"{path} holds no detector; write one with gpt2lab detect train.")
    try:
        return from_dict(Detector, values)
    except ConfigError as error:
        raise DataError(f"{path} holds no detector that can be used: {error}") from None


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
