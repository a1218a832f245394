"""The plots of docs/benchmarks.md, by matplotlib: every engine side by side, and how rates grow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.results import Result
from benchmarks.summary import Rounds, Spread
from benchmarks.workload import SCALING, Group

_OURS, _PEER = "#c2410c", "#94a3b8"
_COLOURS = {
    "gpt2lab": "#c2410c",
    "transformers": "#64748b",
    "CTranslate2": "#0891b2",
    "llama.cpp": "#7c3aed",
    "OpenVINO": "#2563eb",
    "ONNX Runtime": "#65a30d",
}
_LINES = {"fp32": ":", "bf16": "-.", "int8": "-", "int4": "--"}
_DPI = 90


def draw(results: Sequence[Result], folder: Path) -> list[str]:
    """Write the plots for which there are results into `folder`; return their names: none without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    drawn = []
    for name, plot in (("benchmarks-engines.png", _engines), ("benchmarks-scaling.png", _scaling)):
        figure = plot(results)
        if figure is not None:
            figure.savefig(folder / name, dpi=_DPI)
            drawn.append(name)
    return drawn


def _engines(results: Sequence[Result]) -> Any:
    """Bars of every engine for each batch and for the long prompt, in tokens a second."""
    from matplotlib.figure import Figure

    panels: list[tuple[str, Result, Callable[[str], Rounds]]] = [
        (f"decoding, batch {r.case.batch}", r, r.decode_rate) for r in report.of_group(results, "decode")
    ]
    for result in report.of_group(results, "prompt"):
        panels.append((f"prompt of {result.case.context:,}", result, _prompt_rate(result)))
    if not panels:
        return None
    names = list(dict.fromkeys(name for _, result, _ in panels for name in report.engines_of(result)))
    figure = Figure(figsize=(11, 0.9 + 0.27 * len(names)), layout="constrained")
    for axes, (title, result, rate) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        for place, name in enumerate(names):
            if name not in result.names:
                continue
            spread = Spread.of(list(rate(name).values()))
            colour = _OURS if result.detail(name).get("ours") else _PEER
            axes.barh(place, spread.median, color=colour, height=0.72)
            axes.plot([spread.low, spread.high], [place, place], color="#0f172a", linewidth=1)
            axes.annotate(f" {spread.median:,.0f}", (spread.high, place), va="center", fontsize=8)
        axes.set_title(f"{title}, tokens/s", fontsize=9, loc="left")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.margins(x=0.25)
        _light(axes)
        axes.set_xlim(left=0)
    figure.axes[0].invert_yaxis()
    return figure


def _prompt_rate(result: Result) -> Callable[[str], Rounds]:
    return lambda name: {n: result.case.context / s for n, s in result.seconds(name).items()}


def _scaling(results: Sequence[Result]) -> Any:
    """Lines of tokens a second over batch, context, threads and size."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    groups: Mapping[Group, list[Result]] = {g: report.of_group(results, g) for g in SCALING}
    shown = [group for group, found in groups.items() if len(found) > 1]
    if not shown:
        return None
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    for axes, group in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        found = groups[group]
        labels = [str(getattr(result.case, group)) for result in found]
        for name in dict.fromkeys(name for result in found for name in report.engines_of(result)):
            places = [i for i, result in enumerate(found) if name in result.names]
            medians = [Spread.of(list(found[i].decode_rate(name).values())).median for i in places]
            detail = found[places[0]].detail(name)
            width = 2.0 if detail["ours"] else 1.2
            line, colour = _LINES[detail["width"]], _COLOURS[detail["title"]]
            axes.plot(places, medians, line, color=colour, linewidth=width, marker="o", markersize=3, label=name)
        axes.set_title(f"tokens/s over {group}", fontsize=9, loc="left")
        axes.set_xticks(range(len(labels)), labels, fontsize=8)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        _light(axes)
    handles = {
        label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _light(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="both", color="#e2e8f0", linewidth=0.6)
    axes.set_axisbelow(True)
