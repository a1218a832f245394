"""How detectors do on texts they have not learnt from: by set, generator, corpus, sampler and length.

Every detector, trained or not, is judged on the same texts. AUROC is that of its score as its authors meant it, so
below 0.5 it accuses the wrong side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.fit import Table
from gpt2lab.apps.detect.pairs import Pair
from gpt2lab.apps.detect.zero_shot import METHODS
from gpt2lab.metrics.ranking import (
    Bin,
    auroc,
    calibration_error,
    paired_accuracy,
    reliability,
    tpr_at_fpr,
    unpaired_accuracy,
)

Array = npt.NDArray[np.float64]
Scorer = Callable[[Table], Array]
"""From a table to a score for each of its rows; higher is more machine-like."""

KINDS: Mapping[str, Callable[[Pair], str]] = {
    "set": lambda pair: pair.set,
    "generator": lambda pair: pair.generator,
    "corpus": lambda pair: pair.corpus,
    "sampler": lambda pair: pair.sampler,
}
"""What texts are grouped by."""


@dataclass(frozen=True, slots=True)
class Line:
    """A group of texts (kind "set", "generator", "corpus", "sampler", "length" or "all") and how each detector did.

    auroc, tpr (machine texts found where 1 % of the human ones are accused): by detector.
    """

    kind: str
    name: str
    pairs: int
    auroc: dict[str, float]
    tpr: dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """`lines`, and for each detector that says probabilities its accuracies and its reliability diagram.

    paired: how often a pair's machine text has the higher probability; unpaired: how often a text is on the right side
    of one half (Zellers et al. 2019).
    """

    lines: tuple[Line, ...]
    paired: dict[str, float]
    unpaired: dict[str, float]
    calibration: dict[str, float]
    diagrams: dict[str, list[Bin]]


def zero_shot_scorers() -> dict[str, Scorer]:
    """Return the methods that need no training, by name."""

    def column(i: int) -> Scorer:
        return lambda table: np.nan_to_num(table.values[:, i], nan=-1e9)

    return {name: column(i) for i, name in enumerate(METHODS)}


def controls() -> dict[str, Scorer]:
    """Return what no detector should be proud to equal: scores that say how a collection was made, not who wrote it."""

    def line_breaks(table: Table) -> Array:
        texts = (p.machine if label else p.human for p, label in zip(table.pairs, table.labels, strict=True))
        return np.asarray([text.count("\n") for text in texts], np.float64)

    return {"line breaks": line_breaks}


def judge(
    table: Table, scorers: Mapping[str, Scorer], probabilities: Mapping[str, Scorer], *, fewest: int = 10
) -> Report:
    """Judge detectors on a table. Groups of fewer than `fewest` pairs are left out."""
    scores = {name: scorer(table) for name, scorer in scorers.items()}
    whole = table.words == 0
    lines = [_line("all", "all", table, scores, whole)]
    for kind, of in KINDS.items():
        names = np.asarray([of(pair) for pair in table.pairs])
        lines += [
            _line(kind, str(name), table, scores, whole & (names == name)) for name in sorted(set(names.tolist()))
        ]
    lengths = sorted(set(table.words.tolist()) - {0})
    lines += [_line("length", f"{words} words", table, scores, table.words == words) for words in lengths]
    human, machine = whole & (table.labels == 0), whole & (table.labels == 1)
    p = {name: scorer(table) for name, scorer in probabilities.items()}
    return Report(
        lines=tuple(line for line in lines if line.pairs >= fewest),
        paired={name: paired_accuracy(v[machine], v[human]) for name, v in p.items()},
        unpaired={name: unpaired_accuracy(v[machine], v[human]) for name, v in p.items()},
        calibration={name: calibration_error(v[whole], table.labels[whole]) for name, v in p.items()},
        diagrams={name: reliability(v[whole], table.labels[whole]) for name, v in p.items()},
    )


def _line(kind: str, name: str, table: Table, scores: Mapping[str, Array], chosen: npt.NDArray[np.bool_]) -> Line:
    human, machine = chosen & (table.labels == 0), chosen & (table.labels == 1)
    return Line(
        kind, name, int(machine.sum()),
        {scorer: auroc(values[machine], values[human]) for scorer, values in scores.items()},
        {scorer: tpr_at_fpr(values[machine], values[human]) for scorer, values in scores.items()},
    )  # fmt: skip


def plain(report: Report) -> dict[str, Any]:
    """Return a report as values that JSON can hold; what is not defined is null."""
    return {
        "groups": [
            {
                "kind": line.kind, "name": line.name, "pairs": line.pairs,
                "auroc": {k: _number(v) for k, v in line.auroc.items()},
                "tpr_at_1_percent_fpr": {k: _number(v) for k, v in line.tpr.items()},
            }
            for line in report.lines
        ],
        "paired_accuracy": report.paired,
        "unpaired_accuracy": report.unpaired,
        "calibration_error": report.calibration,
        "reliability": {
            name: [{k: _number(v) for k, v in b._asdict().items()} for b in bins]
            for name, bins in report.diagrams.items()
        },
    }  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def tables(report: Report, *, percent: bool = False) -> list[tuple[str, list[list[str]]]]:
    """Return (heading, rows of cells with a head row) for every kind of group; with `percent` the TPR at 1 % FPR."""
    made = []
    for kind in dict.fromkeys(line.kind for line in report.lines if line.kind != "all"):
        lines = [line for line in report.lines if line.kind == kind]
        lines += [line for line in report.lines if line.kind == "all" and kind != "length"]
        detectors = list(lines[0].auroc)
        rows = [[kind, "pairs", *detectors]]
        for line in lines:
            found = line.tpr if percent else line.auroc
            rows.append([line.name, str(line.pairs), *(_shown(found[d], percent) for d in detectors)])
        made.append((kind, rows))
    return made


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table whose first row is its head."""
    head, *rest = rows
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---' if i == 0 else '--:' for i in range(len(head)))}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rest)]) + "\n"


def diagram_svg(diagrams: Mapping[str, Sequence[Bin]]) -> str:
    """Return reliability diagrams side by side as SVG: for every bin the share of machine texts over the probability,
    a dot as large as the bin is full; on the line a probability means what it says."""
    size, gap = 220, 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(diagrams) * (size + gap) + gap} {size + 80}" '
        'font-family="sans-serif" font-size="12">'
    ]
    for i, (name, bins) in enumerate(diagrams.items()):
        x, y = gap + i * (size + gap), 30
        most = max((b.size for b in bins), default=1) or 1
        parts.append(f'<text x="{x + size / 2}" y="18" text-anchor="middle" fill="#888">{name}</text>')
        parts.append(f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="none" stroke="#aaa"/>')
        parts.append(f'<line x1="{x}" y1="{y + size}" x2="{x + size}" y2="{y}" stroke="#aaa" stroke-dasharray="3 3"/>')
        for b in bins:
            if b.size:
                parts.append(
                    f'<circle cx="{x + b.mean * size:.1f}" cy="{y + (1 - b.share) * size:.1f}" '
                    f'r="{2 + 6 * math.sqrt(b.size / most):.1f}" fill="#2a6f97">'
                    f"<title>{b.size} texts</title></circle>"
                )
        parts.append(
            f'<text x="{x}" y="{y + size + 16}" fill="#888">0</text>'
            f'<text x="{x + size}" y="{y + size + 16}" text-anchor="end" fill="#888">1</text>'
            f'<text x="{x + size / 2}" y="{y + size + 34}" text-anchor="middle" fill="#888">probability told</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _shown(value: float, percent: bool) -> str:
    return "-" if not math.isfinite(value) else f"{100 * value:.0f} %" if percent else f"{value:.3f}"
