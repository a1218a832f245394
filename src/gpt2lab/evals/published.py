"""The GPT-2 paper's table of zero-shot results, and how far a result is from it.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", Table 3. The sizes are the released ones,
which the paper calls 117M, 345M, 762M and 1542M.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gpt2lab.evals.results import Result


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its heading, and the task and the figure that fill it."""

    heading: str
    unit: str
    task: str
    figure: str


COLUMNS = (
    Column("LAMBADA", "PPL", "lambada", "perplexity"),
    Column("LAMBADA", "ACC", "lambada", "accuracy_stop"),
    Column("CBT-CN", "ACC", "cbt-cn", "accuracy"),
    Column("CBT-NE", "ACC", "cbt-ne", "accuracy"),
    Column("WikiText2", "PPL", "wikitext2", "word_perplexity"),
    Column("PTB", "PPL", "ptb", "word_perplexity"),
    Column("enwik8", "BPB", "enwik8", "bits_per_byte"),
    Column("text8", "BPC", "text8", "bits_per_character"),
    Column("WikiText103", "PPL", "wikitext103", "word_perplexity"),
    Column("1BW", "PPL", "1bw", "word_perplexity"),
)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of the table: the model, its parameters, the figures in the order of `COLUMNS`."""

    name: str
    parameters: int
    figures: tuple[float, ...]


ROWS = (
    PublishedRow("GPT-2 124M", 124_439_808, (35.13, 45.99, 87.65, 83.4, 29.41, 65.85, 1.16, 1.17, 37.50, 75.20)),
    PublishedRow("GPT-2 355M", 354_823_168, (15.60, 55.48, 92.35, 87.1, 22.76, 47.33, 1.01, 1.06, 26.37, 55.72)),
    PublishedRow("GPT-2 774M", 774_030_080, (10.87, 60.12, 93.45, 88.0, 19.93, 40.31, 0.97, 1.02, 22.05, 44.575)),
    PublishedRow("GPT-2 1558M", 1_557_611_200, (8.63, 63.24, 93.30, 89.05, 18.34, 35.76, 0.93, 0.98, 17.48, 42.16)),
)

BEFORE = PublishedRow("best before GPT-2", 0, (99.8, 59.23, 85.7, 82.3, 39.14, 46.54, 0.99, 1.08, 18.3, 21.8))
"""What the paper lists as the state of the art of its day, with training on the corpora themselves."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A column with what was measured (None: it was not) beside what is published."""

    column: Column
    measured: float | None
    published: float

    @property
    def distance(self) -> float | None:
        """Measured less published; None where nothing was measured."""
        return None if self.measured is None else self.measured - self.published


def nearest_row(parameters: int) -> PublishedRow:
    """Return the published row of the model whose size is nearest, by the ratio of the sizes."""
    return min(ROWS, key=lambda row: abs(math.log(row.parameters / max(parameters, 1))))


def table(results: Mapping[str, Result], row: PublishedRow) -> list[Cell]:
    """Return the columns with the figures of `results` (by task) beside those of `row`."""
    cells = []
    for column, published in zip(COLUMNS, row.figures, strict=True):
        result = results.get(column.task)
        figure = None if result is None else result.figures.get(column.figure)
        cells.append(Cell(column, None if figure is None else figure.value, published))
    return cells
