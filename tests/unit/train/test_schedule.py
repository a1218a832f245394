"""The learning rate over a run."""

from __future__ import annotations

import pytest

from gpt2lab.train.recipe import LoopRecipe, ScheduleRecipe
from gpt2lab.train.schedule import rate_share, run_share


@pytest.mark.parametrize("name", ["wsd", "cosine", "linear", "constant"])
def test_warm_up_rises_to_the_peak(name: str) -> None:
    recipe = ScheduleRecipe(name=name, warmup_steps=4)  # type: ignore[arg-type]
    assert [rate_share(recipe, step, 0.0) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wsd", [1, 1, 1, 0.5, 0]),
        ("cosine", [1, 0.853553, 0.5, 0.146447, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("constant", [1, 1, 1, 1, 1]),
    ],
)
def test_the_shapes(name: str, expected: list[float]) -> None:
    recipe = ScheduleRecipe(name=name, warmup_steps=0, decay_share=0.5)  # type: ignore[arg-type]
    shares = [0, 0.25, 0.5, 0.75, 1]
    assert [rate_share(recipe, 10, share) for share in shares] == pytest.approx(expected, abs=1e-6)


def test_the_fall_ends_at_the_final_share() -> None:
    recipe = ScheduleRecipe(name="cosine", warmup_steps=0, final_share=0.1)
    assert rate_share(recipe, 10, 1.0) == pytest.approx(0.1)
    assert rate_share(recipe, 10, 0.5) == pytest.approx(0.55)


def test_a_run_is_as_far_as_the_nearer_of_its_ends() -> None:
    assert run_share(LoopRecipe(steps=100), 25, seconds=1e9) == 0.25
    assert run_share(LoopRecipe(max_minutes=2), 10**9, seconds=30) == 0.25
    both = LoopRecipe(steps=100, max_minutes=2)
    assert run_share(both, 50, seconds=30) == 0.5
    assert run_share(both, 10, seconds=90) == 0.75
    assert run_share(both, 10, seconds=900) == 1.0
