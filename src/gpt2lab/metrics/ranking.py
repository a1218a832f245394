"""How well scores tell two kinds of things apart, whatever the threshold, and whether probabilities mean what they say.

Labels are 1 for what is looked for and 0 for the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def auroc(positive: npt.ArrayLike, negative: npt.ArrayLike) -> float:
    """Return the probability that a positive's score is above a negative's, ties counted half (Mann and Whitney 1947);
    NaN where there are none of either."""
    high, low = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64))
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, side="left")
    up_to = np.searchsorted(low, high, side="right")
    return float((below + up_to).mean() / 2 / len(low))


def tpr_at_fpr(positive: npt.ArrayLike, negative: npt.ArrayLike, fpr: float = 0.01) -> float:
    """Return the share of positives above the lowest threshold at which at most `fpr` of the negatives are.

    With n negatives the threshold lies above all but floor(n * fpr) of them: below 1/fpr of them, above them all.
    """
    high, low = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64))
    if not len(high) or not len(low):
        return float("nan")
    threshold = low[len(low) - 1 - int(len(low) * fpr)]
    return float((high > threshold).mean())


def paired_accuracy(machine: npt.ArrayLike, human: npt.ArrayLike) -> float:
    """Return how often the machine's text of a pair has the higher score: paired accuracy (Zellers et al. 2019, section
    4). A tie is no success, as in Grover's code."""
    return float((np.asarray(machine, np.float64) > np.asarray(human, np.float64)).mean())


def unpaired_accuracy(machine: npt.ArrayLike, human: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Return the share of texts on the right side of `threshold`, each judged alone; at it is machine."""
    scores = np.concatenate([np.asarray(machine, np.float64) >= threshold, np.asarray(human, np.float64) < threshold])
    return float(scores.mean())


class Bin(NamedTuple):
    """Predictions between two bounds: how many, their mean, and the share of positives among them (NaN: none)."""

    low: float
    high: float
    size: int
    mean: float
    share: float


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> list[Bin]:
    """Return the reliability diagram (Niculescu-Mizil and Caruana 2005): predictions in bins of even width."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.float64)
    at = np.minimum((p * bins).astype(np.int64), bins - 1)
    found = []
    for i in range(bins):
        inside = at == i
        some = bool(inside.any())
        found.append(
            Bin(
                i / bins, (i + 1) / bins, int(inside.sum()),
                float(p[inside].mean()) if some else float("nan"), float(y[inside].mean()) if some else float("nan"),
            )
        )  # fmt: skip
    return found


def calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance of share and prediction over the bins, by counts."""
    found = [b for b in reliability(probabilities, labels, bins) if b.size]
    return sum(b.size * abs(b.share - b.mean) for b in found) / sum(b.size for b in found)
