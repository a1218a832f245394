"""The report of benchmarks/serving.py: every number on the page. Measures nothing."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine import description

Results = Mapping[tuple[str, str], Mapping[str, Any]]
"""(model, precision) -> engine: rates of the rounds; server, openvino, transformers: their figures; click; absent."""


def page(results: Results, threads: int, rounds: int, shape: tuple[int, int, int]) -> str:
    """Return the report; `shape` is clients, tokens of a prompt, new tokens."""
    facts = description()
    clients, prompt, new = shape
    parts = [
        "# Speed of serving",
        "",
        f"Written by `benchmarks/serving.py` in one run of {rounds} rounds on {facts['processor']} "
        f"({facts['instructions']}), {threads} threads for every",
        f"contestant, the clients on the same machine. {clients} clients at once, each streams a text of {new} tokens "
        f"after a prompt of {prompt};",
        "ours two, one after another. The engine and OpenVINO get the same prompts at once, without HTTP. Medians of "
        "the rounds; ratios are formed within a round.",
        f"Versions: {', '.join(versions())}.",
    ]
    for (model, precision), found in results.items():
        parts += ["", f"## {model}, {precision}", "", *_table(found), "", *_first(found), "", *_click(found)]
    return "\n".join(parts) + "\n"


def versions() -> list[str]:
    """Return the names and versions of what is installed of the contestants."""
    found = []
    for name in ("gpt2lab", "openvino-genai", "transformers", "torch"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _table(found: Mapping[str, Any]) -> list[str]:
    server = [figures["rate"] for figures in found["server"]]
    rows = [("gpt2lab serve", server, ""), ("its engine alone", found["engine"], "")]
    for name, title in (("openvino", "OpenVINO GenAI"), ("transformers", "transformers serve")):
        if found[name]:
            rows.append((title, [figures["rate"] for figures in found[name]], found[name][0]["way"]))
    lines = ["| | tokens/s | gpt2lab serve is | |", "|---|---|---|---|"]
    for title, rates, way in rows:
        ratio = statistics.median(ours / other for ours, other in zip(server, rates, strict=False))
        shown = "" if rates is server else f"{ratio:.2f} x"
        lines.append(f"| {title} | {statistics.median(rates):,.0f} | {shown} | {way} |")
    if found["absent"]:
        lines += ["", f"OpenVINO is missing: {found['absent']}"]
    return lines


def _first(found: Mapping[str, Any]) -> list[str]:
    lines = [_seconds("gpt2lab serve", found["server"])]
    if found["transformers"]:
        lines.append(_seconds("transformers serve", found["transformers"]))
    return lines


def _seconds(title: str, rounds: Sequence[Mapping[str, Any]]) -> str:
    median = statistics.median(figures["first_median"] for figures in rounds)
    last = statistics.median(figures["first_p99"] for figures in rounds)
    lost = sum(figures["lost"] for figures in rounds)
    return f"Time to the first text, {title}: median {median:.3f} s, 99 % within {last:.3f} s; {lost} answers lost."


def _click(found: Mapping[str, Any]) -> list[str]:
    one = found["click"]
    computed = one["click"] - one["nothing"]
    return [
        f"A click in the explorer after {one['context']} tokens: {1e3 * one['click']:.1f} ms, of which the network and "
        f"the server's doors are {1e3 * one['nothing']:.1f} ms;",
        f"the rest is {computed / one['step']:.2f} x a step of the engine ({1e3 * one['step']:.1f} ms).",
    ]
