"""AUROC, TPR at a given FPR, accuracies of pairs and calibration: against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.metrics.ranking import (
    auroc,
    calibration_error,
    paired_accuracy,
    reliability,
    tpr_at_fpr,
    unpaired_accuracy,
)


def test_auroc_is_scikit_learns_ties_included() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(20):
        high, low = rng.integers(0, 9, rng.integers(1, 40)), rng.integers(0, 7, rng.integers(1, 40))
        labels = np.r_[np.ones(len(high)), np.zeros(len(low))]
        assert auroc(high, low) == pytest.approx(metrics.roc_auc_score(labels, np.r_[high, low]))


def test_auroc_of_nothing_is_not_a_number() -> None:
    assert np.isnan(auroc([], [1.0]))
    assert np.isnan(tpr_at_fpr([1.0], []))


def test_tpr_counts_what_lies_above_all_but_the_allowed_share() -> None:
    humans = np.arange(200.0)
    assert tpr_at_fpr([197.5, 198.5, 300.0, 0.0], humans, 0.01) == 0.75  # 198 and 199 may be accused
    assert tpr_at_fpr([197.5, 198.5, 300.0, 0.0], humans, 0.0) == 0.25
    assert tpr_at_fpr([50.0, 49.0], np.arange(50.0), 0.01) == 0.5  # with 50 humans none may be


def test_accuracies_of_pairs_follow_grover() -> None:
    machine, human = [0.9, 0.4, 0.7, 0.2], [0.1, 0.3, 0.7, 0.6]
    assert paired_accuracy(machine, human) == 0.5  # a tie is no success
    assert unpaired_accuracy(machine, human) == 0.5


def test_reliability_tells_what_probabilities_meant() -> None:
    bins = reliability([0.05, 0.15, 0.15, 1.0], [0, 1, 0, 1])
    assert (bins[0].size, bins[0].share) == (1, 0.0)
    assert (bins[1].size, bins[1].mean, bins[1].share) == (2, pytest.approx(0.15), 0.5)
    assert (bins[9].size, bins[9].share) == (1, 1.0)
    assert np.isnan(bins[5].share)
    assert calibration_error([0.05, 0.15, 0.15, 1.0], [0, 1, 0, 1]) == pytest.approx((0.05 + 2 * 0.35) / 4)
