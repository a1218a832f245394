"""When a run is said to diverge."""

from __future__ import annotations

import pytest

from gpt2lab.train.guard import WINDOW, DivergenceGuard

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("loss", "norm", "said"),
    [
        (NAN, 1.0, "The loss became nan"),
        (INFINITE, 1.0, "The loss became inf"),
        (2.0, INFINITE, "The gradients became inf"),
        (2.0, 1.0, ""),
    ],
)
def test_what_is_no_number(loss: float, norm: float, said: str) -> None:
    assert DivergenceGuard(0.0).verdict(loss, norm) == said


def steady(guard: DivergenceGuard) -> None:
    for i in range(WINDOW):
        assert guard.verdict(3.0 + 0.01 * (i % 5), 1.0) == ""


def test_a_jump_far_above_the_last_losses() -> None:
    guard = DivergenceGuard(8.0)
    steady(guard)
    assert guard.verdict(3.1, 1.0) == "", "many deviations, but within a tenth"
    assert guard.verdict(6.0, 1.0) == "The loss jumped from about 3.021 to 6.000"
    assert 6.0 not in guard.losses
    again = DivergenceGuard(8.0, guard.losses)
    assert again.verdict(6.0, 1.0)
    assert len(again.losses) == WINDOW


def test_no_jumps_are_looked_for_at_the_start_or_when_switched_off() -> None:
    guard = DivergenceGuard(8.0)
    assert guard.verdict(3.0, 1.0) == guard.verdict(30.0, 1.0) == ""
    off = DivergenceGuard(0.0)
    steady(off)
    assert off.verdict(30.0, 1.0) == ""
