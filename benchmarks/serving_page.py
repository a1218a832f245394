"""The report of benchmarks/serving.py: every number on the page. Measures nothing."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine import description

TITLES = {
    "server": "gpt2lab serve", "engine": "its engine alone", "openvino": "OpenVINO GenAI",
    "transformers": "transformers serve",
}  # fmt: skip


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the report of what `serving_results.load_records` returns."""
    facts = description()
    threads, (clients, prompt, new) = records[0]["threads"], records[0]["shape"]
    parts = [
        "# Speed of serving",
        "",
        f"Written by `benchmarks/serving.py` in one run on {facts['processor']} "
        f"({facts['instructions']}), {threads} threads for every",
        f"contestant, the clients on the same machine. {clients} clients at once, each streams a text of {new} tokens "
        f"after a prompt of {prompt};",
        "ours two, one after another. The engine and OpenVINO get the same prompts at once, without HTTP. Medians of "
        "the rounds; ratios are formed within a round.",
        f"Versions: {', '.join(versions())}.",
    ]
    for found in records:
        rounds = max((len(each) for each in found["rounds"].values()), default=0)
        title = f"## {found['model']}, {found['precision']}"
        parts += ["", title, "", *_table(found), "", f"Rounds: {rounds}.", *_first(found["rounds"])]
        parts += [f"{TITLES.get(name, name)} is missing: {why}" for name, why in found["absent"].items()]
        if found["click"]:
            parts += ["", *_click(found["click"])]
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
    rounds = found["rounds"]
    lines = ["| | tokens/s | gpt2lab serve is | |", "|---|---|---|---|"]
    for name, title in TITLES.items():
        rates = {number: figures["rate"] for number, figures in rounds.get(name, {}).items()}
        if not rates:
            continue
        ratios = [ours["rate"] / rates[n] for n, ours in rounds.get("server", {}).items() if n in rates]
        shown = "" if name == "server" or not ratios else f"{statistics.median(ratios):.2f} x"
        way = next(iter(rounds[name].values())).get("way", "")
        lines.append(f"| {title} | {statistics.median(rates.values()):,.0f} | {shown} | {way} |")
    return lines


def _first(rounds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name in ("server", "transformers"):
        if each := list(rounds.get(name, {}).values()):
            median = statistics.median(figures["first_median"] for figures in each)
            last = statistics.median(figures["first_p99"] for figures in each)
            lost = sum(figures["lost"] for figures in each)
            lines.append(
                f"Time to the first text, {TITLES[name]}: median {median:.3f} s, 99 % within {last:.3f} s; "
                f"{lost} answers lost."
            )
    return lines


def _click(one: Mapping[str, Any]) -> list[str]:
    computed = one["click"] - one["nothing"]
    return [
        f"A click in the explorer after {one['context']} tokens: {1e3 * one['click']:.1f} ms, of which the network and "
        f"the server's doors are {1e3 * one['nothing']:.1f} ms;",
        f"the rest is {computed / one['step']:.2f} x a step of the engine ({1e3 * one['step']:.1f} ms).",
    ]
