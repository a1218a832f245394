"""The published table: the nearest size, and the distance to it."""

from __future__ import annotations

import pytest

from gpt2lab.evals.published import COLUMNS, ROWS, nearest_row, table
from gpt2lab.evals.registry import TASKS, load_task
from gpt2lab.evals.results import Measured, Result
from gpt2lab.model.config import PRESETS


def test_the_sizes_are_those_of_the_models() -> None:
    published = {row.parameters for row in ROWS}
    assert published == {config.parameter_count() for name, config in PRESETS.items() if name.startswith("gpt2")}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [(1, "GPT-2 124M"), (200_000_000, "GPT-2 124M"), (220_000_000, "GPT-2 355M"), (10**11, "GPT-2 1558M")],
)
def test_the_nearest_size(parameters: int, name: str) -> None:
    assert nearest_row(parameters).name == name


def test_every_column_is_a_figure_of_its_task() -> None:
    for column in COLUMNS:
        assert column.task in TASKS
        assert column.figure in load_task(column.task, preset="paper").figures
    assert all(len(row.figures) == len(COLUMNS) == 10 for row in ROWS)


def test_distances() -> None:
    figures = {"perplexity": Measured(40.0, "", "lower"), "accuracy_stop": Measured(40.0, "", "higher")}
    result = Result("lambada", "paper", "accuracy_stop", figures, 1, 1, 1, {}, None, {}, {}, {}, {})
    cells = table({"lambada": result}, ROWS[0])
    assert [(c.column.heading, c.column.unit) for c in cells[:2]] == [("LAMBADA", "PPL"), ("LAMBADA", "ACC")]
    assert [c.distance for c in cells[:3]] == [pytest.approx(40 - 35.13), pytest.approx(40 - 45.99), None]
