"""The curves of one or several runs in one picture: a PNG, an SVG, or an HTML page that needs nothing else.

Reads only `metrics.jsonl`. PNG is drawn by matplotlib; SVG and HTML are written here and need no library.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

from gpt2lab.errors import ConfigError, DataError, MissingExtraError, nearest
from gpt2lab.files import atomic_write
from gpt2lab.train.log import read_metrics

KINDS = (".png", ".svg", ".html")
"""The endings of the pictures that can be made."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444")
"""Okabe and Ito's palette, told apart by colour-blind readers too."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 860, 460, 70, 50, 46

Curve = tuple[str, list[tuple[float, float]]]
"""A name and (step, value) points."""


def curves(runs: Sequence[str | Path], metrics: Sequence[str], axis: str = "step") -> list[Curve]:
    """Return one curve for each metric of each run that has it, over `axis` ("step", "tokens" or "seconds").

    Raises `DataError` for a run without metrics, `ConfigError` for a metric that none of the runs has.
    """
    found: list[Curve] = []
    known: dict[str, None] = {}
    for run in runs:
        records = read_metrics(Path(run))
        if not records:
            raise DataError(f"{run} has no metrics.jsonl with a measurement; give the folder a run was written to.")
        known.update(dict.fromkeys(name for record in records for name in record))
        for metric in metrics:
            points = [
                (float(r[axis]), float(r[metric]))
                for r in records
                if metric in r and axis in r and math.isfinite(r[metric])
            ]
            if points:
                name = (
                    metric if len(runs) == 1 else f"{Path(run).name} {metric}" if len(metrics) > 1 else Path(run).name
                )
                found.append((name, points))
    for metric in metrics:
        if metric not in known:
            raise ConfigError(f"No run has a metric {metric!r}.{nearest(metric, known)} There are: {', '.join(known)}.")
    if not found:
        raise ConfigError(f"No run has {', '.join(metrics)} over {axis!r}.")
    return found


def plot(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    metrics: Sequence[str] = ("train_loss", "validation_loss"),
    axis: str = "step",
    logarithmic: bool = False,
) -> Path:
    """Draw the curves of `runs` into `out`, a .png, .svg or .html file, and return it."""
    path = Path(out)
    if path.suffix not in KINDS:
        raise ConfigError(f"{path} has an ending that is none of {', '.join(KINDS)}.")
    found = curves(runs, metrics, axis)
    label = metrics[0] if len(metrics) == 1 else "value"
    if path.suffix == ".png":
        _png(path, found, axis, label, logarithmic)
        return path
    picture = svg(found, axis=axis, label=label, logarithmic=logarithmic)
    title = html.escape(", ".join(Path(run).name for run in runs))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<body style="font-family:sans-serif;max-width:{_WIDTH}px;margin:2em auto"><h1>{title}</h1>'
        f"{picture}{_table(found, axis)}</body></html>\n"
    )
    with atomic_write(path, "w") as f:
        f.write(page if path.suffix == ".html" else picture + "\n")
    return path


def svg(found: Sequence[Curve], *, axis: str, label: str, logarithmic: bool = False) -> str:
    """Return the curves as an SVG picture with axes and a legend; each point tells its values when pointed at."""
    scale = math.log10 if logarithmic else float
    points = [(x, scale(y)) for _, curve in found for x, y in curve if y > 0 or not logarithmic]
    if not points:
        raise ConfigError("There is nothing above zero to draw on a logarithmic axis.")
    (x0, x1), (y0, y1) = (_span([p[i] for p in points]) for i in (0, 1))
    right, bottom = _WIDTH - 20, _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - x0) / (x1 - x0) * (right - _LEFT),
            bottom - (y - y0) / (y1 - y0) * (bottom - _TOP),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for tick in _ticks(x0, x1):
        x, _ = place(tick, y0)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,g}</text>')
    for tick in _ticks(y0, y1):
        _, y = place(x0, tick)
        shown = 10**tick if logarithmic else tick
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{shown:.3g}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{html.escape(axis)}</text>')
    parts.append(f'<text x="{_LEFT}" y="16" font-weight="bold">{html.escape(label)}</text>')
    for number, (name, curve) in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        placed = [(place(x, scale(y)), x, y) for x, y in curve if y > 0 or not logarithmic]
        line = " ".join(f"{px:.1f},{py:.1f}" for (px, py), _, _ in placed)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{colour}"><title>{html.escape(name)}: {y:.4f} at '
            f"{x:,g}</title></circle>"
            for (px, py), x, y in placed
        ]
        at = _LEFT + 110 + number * (right - _LEFT - 110) / max(1, len(found))
        parts.append(f'<rect x="{at:.0f}" y="7" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{at + 17:.0f}" y="17">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Return some five round numbers in [low, high]."""
    step = 10.0 ** math.floor(math.log10((high - low) / 5))
    step *= min((m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 6), default=10)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _table(found: Sequence[Curve], axis: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{points[-1][1]:.4f} at {points[-1][0]:,g}"
        f"<td>{min(points, key=lambda p: p[1])[1]:.4f} at {min(points, key=lambda p: p[1])[0]:,g}"
        for name, points in found
    )
    head = f"<tr><th>curve<th>last, at {html.escape(axis)}<th>lowest"
    return f'<table cellpadding="6" style="text-align:left">{head}{rows}</table>'


def _png(path: Path, found: Sequence[Curve], axis: str, label: str, logarithmic: bool) -> None:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("A PNG of curves", "train") from None
    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="constrained")
    axes = figure.add_subplot(xlabel=axis, ylabel=label, yscale="log" if logarithmic else "linear")
    for number, (name, curve) in enumerate(found):
        axes.plot(*zip(*curve, strict=True), label=name, color=COLOURS[number % len(COLOURS)], marker=".")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_write(path) as f:
        figure.savefig(f, format="png", dpi=130)
