"""Predictions against what is right: accuracy, F1, Matthews', Pearson's and Spearman's correlation.

GLUE's measures (Wang et al. 2018, section 3): Matthews for CoLA, accuracy and F1 for MRPC, correlations for STS-B.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from gpt2lab.errors import MissingExtraError


def require() -> None:
    """Raise `MissingExtraError` where scikit-learn or scipy are not installed."""
    try:
        import scipy.stats  # noqa: F401
        import sklearn.metrics  # noqa: F401
    except ImportError:
        raise MissingExtraError("Measuring predictions", "eval") from None


def accuracy(given: Sequence[Any], known: Sequence[Any]) -> float:
    """Return the share of predictions that are right."""
    return sum(bool(a == b) for a, b in zip(given, known, strict=True)) / len(known)


def of_classes(
    given: Sequence[Any], known: Sequence[Any], labels: Sequence[str], *, positive: str | None = None
) -> dict[str, float]:
    """Return "accuracy", "matthews", and "f1": of two classes that of `positive` (None: the last), of more their mean.

    Where nothing is predicted or right of a class its F1 is 0; where a side is all one class Matthews is 0.
    """
    require()
    from sklearn.metrics import f1_score, matthews_corrcoef

    if len(labels) == 2 and set(given) <= set(labels):
        one = labels[-1] if positive is None else positive
        f1 = f1_score(known, given, pos_label=one, average="binary", zero_division=0.0)
    else:
        f1 = f1_score(known, given, labels=list(labels), average="macro", zero_division=0.0)
    with warnings.catch_warnings():  # it warns of predictions that are all one class, and returns 0 as we want it
        warnings.simplefilter("ignore")
        matthews = matthews_corrcoef(known, given)
    return {"accuracy": accuracy(given, known), "f1": float(f1), "matthews": float(matthews)}


def correlations(given: Sequence[Any], known: Sequence[Any]) -> dict[str, float]:
    """Return "pearson" and "spearman"; 0 where a side is constant or there are fewer than two values."""
    require()
    from scipy.stats import pearsonr, spearmanr

    if len(known) < 2 or len(set(given)) < 2 or len(set(known)) < 2:
        return {"pearson": 0.0, "spearman": 0.0}
    found = {"pearson": float(pearsonr(given, known)[0]), "spearman": float(spearmanr(given, known)[0])}
    return {name: value if math.isfinite(value) else 0.0 for name, value in found.items()}
