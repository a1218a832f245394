"""The page docs/benchmarks.md: what stands above, between and below the tables of benchmarks/report.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from benchmarks import report
from benchmarks.report import Facts
from benchmarks.results import Result
from benchmarks.workload import SCALING

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`: gpt2lab beside other engines on one machine, in one run. Models have GPT-2's shapes and random
weights, the same in every engine; decoding is greedy with a cache of keys and values.

How to read it:

- Engines take turns, round after round, one at a time, each in a process of its own. A number is the median of the
  rounds; "ours to it" is the median of the ratios formed within each round, gpt2lab at the same width of weights over
  that engine, so that a machine whose speed drifts does not decide. Above 1 we are faster.
- Before the first round, every engine works until some seconds have made it no faster.
  What takes less than a second is done several times in a turn, and the median counts.
- Tokens a second count the tokens after the first, over all rows of a batch; the first one's time is the prompt's case.
- "Of the streaming limit" is the rate at which an engine reads its weights, each once a token, over the rate at which
  the same number of threads reads a buffer of that size in the fastest way found, in the same round.
- "Of large products" is the rate of the operations of a forward pass, whoever may leave some out (gpt2lab computes of
  the last layer only what the last position's logits need: 6 % less), over that of torch's product of two large square
  matrices of the same kind of number, in the same round: int8 for int8 and int4 weights, for bf16 the better of bf16
  and fp32.
- Peak memory is the most that the process had in RAM, mapped files included, after loading and decoding one text.
- A cold start is timed from the start of a process to its first token, with every file in the page cache and whatever
  an engine keeps between starts already there; prompts are ids, no tokenizer is loaded.
- Settings are chosen by trial for each engine and kind of work; they stand at the end.
"""

PLOTS = {
    "benchmarks-engines.png": "Decoding and a long prompt, every engine",
    "benchmarks-scaling.png": "Tokens a second over batch, context, threads and size of the model",
}
"""File under docs/images -> what it shows."""

_SCALED = {
    "batch": ("Tokens a second over batch size", "batch"),
    "context": ("Tokens a second of one text over the length of its context", "context"),
    "threads": ("Tokens a second of one text over threads", "threads"),
    "size": ("Tokens a second of one text over the size of the model", "size"),
}


def page(results: Sequence[Result], facts: Facts, plots: Collection[str]) -> str:
    """Return the page; `plots` names the files of PLOTS that are there."""
    lines = [_INTRODUCTION]
    lines += [f"![{words}](images/{name})\n" for name, words in PLOTS.items() if name in plots]
    lines += ["## Machine", "", *(f"- {label}: {text}" for label, text in facts.machine.items()), ""]
    lines += _disturbance(results, facts)
    if facts.agreement:
        lines += [
            "## Agreement in fp32",
            "",
            "Before anything was timed, output was compared with that of transformers:",
        ]
        lines += ["", *(f"- {name}: {found}" for name, found in facts.agreement.items()), ""]
    if decode := report.of_group(results, "decode"):
        lines += report.decode_section(decode)
    for section, group in (
        (report.prompt_section, report.of_group(results, "prompt")),
        (report.cold_section, report.of_group(results, "cold")),
        (report.sampling_section, report.of_group(results, "sampling")),
    ):
        for result in group:
            lines += section(result)
    lines += _scaling(results)
    lines += [*report.settings_section(results, facts), *report.absent_section(results, facts)]
    return "\n".join(lines).rstrip() + "\n"


def _disturbance(results: Sequence[Result], facts: Facts) -> list[str]:
    samples = [sample for result in results for sample in result.values["samples"]]
    disturbed = sum(sample["others"] > facts.tolerance for sample in samples)
    if not disturbed:
        return [f"Other programs used less than {facts.tolerance:.0%} of the machine during every measurement.", ""]
    return [
        f"During {disturbed} of {len(samples)} measurements other programs used more than {facts.tolerance:.0%} of the",
        f"machine, {max(sample['others'] for sample in samples):.0%} at most.",
        "",
    ]


def _scaling(results: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for group in SCALING:
        if found := report.of_group(results, group):
            title, label = _SCALED[group]
            lines += report.scaling_section(title, found, label)
    return ["## Scaling", "", *lines] if lines else []
