"""docs/benchmarks.md from results: tables of medians, spread, ratios within rounds, and parts of the machine's limits.

Pure functions. What was not measured is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import summary
from benchmarks.peers.base import WIDTHS
from benchmarks.results import Result
from benchmarks.session import ARITHMETIC, PRODUCT, SAMPLED, STREAM
from benchmarks.summary import Rounds, Spread
from benchmarks.workload import NEW, PROMPT, SIZES, Group
from gpt2lab.model.config import preset

_LIMITS = (STREAM, PRODUCT, ARITHMETIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the report says besides results: the machine, the agreement, settings tried, engines that are absent."""

    machine: Mapping[str, str]
    agreement: Mapping[str, str] = field(default_factory=dict)
    tried: Mapping[str, Sequence[str]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 0.05


def engines_of(result: Result) -> list[str]:
    """Return the engines of a result by width, ours first within a width."""
    names = [name for name in result.names if not name.startswith(_LIMITS)]
    return sorted(names, key=lambda name: (_width_order(result, name), not result.detail(name).get("ours", False)))


def _width_order(result: Result, name: str) -> int:
    width = result.detail(name).get("width")
    return WIDTHS.index(width) if width in WIDTHS else len(WIDTHS)


def ours_beside(result: Result, name: str) -> str | None:
    """Return our engine at the width of `name`, if it was measured in the same rounds."""
    width = result.detail(name).get("width")
    found = (n for n in result.names if result.detail(n).get("ours") and result.detail(n).get("width") == width)
    return next(found, None)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; the first column is text, the others are numbers."""
    return [
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _name(result: Result, name: str) -> str:
    return f"**{name}**" if result.detail(name).get("ours") else name


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(spread: Spread) -> str:
    return f"{_number(spread.low)} – {_number(spread.high)}"


def _times(spread: Spread | None) -> str:
    return f"{spread.median:.2f} ×" if spread else "–"


def _percent(spread: Spread | None) -> str:
    return f"{spread.median:.0%}" if spread else "–"


def _our_ratio(result: Result, name: str, rates: Mapping[str, Rounds]) -> str:
    """Return how many times faster ours of the same width is, within rounds."""
    ours = ours_beside(result, name)
    if ours is None or ours == name:
        return "" if ours == name else "–"
    return _times(summary.ratio(rates[ours], rates[name]))


def decode_section(results: Sequence[Result]) -> list[str]:
    """Return the tables of decoding, one for each batch."""
    lines = [f"## Decoding: a prompt of {PROMPT} tokens, {NEW} new ones", ""]
    for result in sorted(results, key=lambda r: r.case.batch):
        single = result.case.batch == 1
        rates = {name: result.decode_rate(name) for name in engines_of(result)}
        rows = []
        for name, rate in rates.items():
            spread = Spread.of(list(rate.values()))
            row = [_name(result, name), _number(spread.median), _spread(spread), _our_ratio(result, name, rates)]
            if single:
                size = result.detail(name)["weight_bytes"]
                row += [f"{size / 1e6:.0f}", _percent(_streaming_part(result, name, rate)), _megabytes(result, name)]
            rows.append(row)
        head = ["engine", "tokens/s", "least – most", "ours to it"]
        head += ["MB a token", "of the streaming limit", "peak memory, MB"] if single else []
        lines += [f"### Batch {result.case.batch}", "", *table(head, rows)]
        lines += _bandwidths(result) if single else []
    return lines


def _streaming_part(result: Result, name: str, rate: Rounds) -> Spread | None:
    """Compare with the bandwidth at the footprint of our weights of the same width, or the nearest there is."""
    size = result.detail(name)["weight_bytes"]
    footprints = [int(n.removeprefix(STREAM)) for n in result.names if n.startswith(STREAM)]
    if not footprints:
        return None
    nearest = min(footprints, key=lambda footprint: abs(footprint - size))
    return summary.streaming_part(rate, size, result.limit(f"{STREAM}{nearest}"))


def _bandwidths(result: Result) -> list[str]:
    found = [(int(n.removeprefix(STREAM)), result.limit(n)) for n in result.names if n.startswith(STREAM)]
    if not found:
        return []
    words = ", ".join(
        f"{Spread.of(list(rates.values())).median / 1e9:.1f} GB/s from {size / 1e6:.0f} MB"
        for size, rates in sorted(found)
    )
    return [f"The streaming limit, read in the same rounds: {words}.", ""]


def _megabytes(result: Result, name: str) -> str:
    memory = result.detail(name).get("memory")
    return f"{memory / 1e6:,.0f}" if memory else "–"


def prompt_section(result: Result) -> list[str]:
    """Return the table of the long prompt, and what products the machine does."""
    operations = summary.prompt_operations(preset(SIZES[result.case.size]), result.case.context)
    rates = {n: {k: operations / s for k, s in result.seconds(n).items()} for n in engines_of(result)}
    rows = []
    for name, rate in rates.items():
        spread = Spread.of([1e3 * s for s in result.seconds(name).values()])
        part = summary.ratio(rate, _product(result, name))
        row = [_name(result, name), _number(spread.median), _spread(spread), _our_ratio(result, name, rates)]
        rows.append([*row, f"{Spread.of(list(rate.values())).median / 1e9:,.0f}", _percent(part)])
    head = ["engine", "ms to the first token", "least – most", "ours to it", "G operations/s", "of large products"]
    lines = [f"## A prompt of {result.case.context:,} tokens", "", *table(head, rows)]
    for start, words in ((PRODUCT, "torch's large products"), (ARITHMETIC, "arithmetic in registers alone")):
        kinds = {n.removeprefix(start): result.limit(n) for n in result.names if n.startswith(start)}
        medians = {kind: Spread.of(list(rates.values())).median / 1e9 for kind, rates in kinds.items()}
        told = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in medians.items() if rate)
        lines += [f"G operations/s of {words}: {told}.", ""] if told else []
    return lines


def _product(result: Result, name: str) -> Rounds:
    """Return the rate of large products open to an engine: int8 for int8 and int4, for bf16 the better of two."""
    width = result.detail(name)["width"]
    kinds = {"fp32": ("fp32",), "bf16": ("bf16", "fp32")}.get(width, ("int8",))
    found = [result.limit(PRODUCT + kind) for kind in kinds if PRODUCT + kind in result.names]
    return {n: max(rates[n] for rates in found if n in rates) for n in (found[0] if found else {})}


def cold_section(result: Result) -> list[str]:
    """Return the table of cold starts."""
    rates = {name: {n: 1 / s for n, s in result.seconds(name).items()} for name in engines_of(result)}
    rows = []
    for name in rates:
        spread = Spread.of(list(result.seconds(name).values()))
        row = [f"{spread.median:.2f}", f"{spread.low:.2f} – {spread.high:.2f}", _our_ratio(result, name, rates)]
        rows.append([_name(result, name), *row])
    head = ["engine", "s to the first token", "least – most", "ours to it"]
    return [f"## Cold start: a new process, a prompt of {PROMPT} tokens, one token", "", *table(head, rows)]


def sampling_section(result: Result) -> list[str]:
    """Return what sampling costs."""
    rows = []
    for name in (n for n in result.names if not n.endswith(SAMPLED)):
        greedy, sampled = result.decode_rate(name), result.decode_rate(name + SAMPLED)
        cost = summary.ratio(greedy, sampled)
        medians = [_number(Spread.of(list(rate.values())).median) for rate in (greedy, sampled)]
        rows.append([_name(result, name), *medians, f"{cost.median - 1:.1%}" if cost else "–"])
    head = ["engine", "greedy, tokens/s", "top-k 40, top-p 0.9, temperature 0.8", "cost of a step"]
    return ["## Sampling", "", *table(head, rows)]


def scaling_section(title: str, results: Sequence[Result], label: str) -> list[str]:
    """Return a table of decode rates with a column for each case; `label` is the case's field that varies."""
    names = list(dict.fromkeys(name for result in results for name in engines_of(result)))
    rows = []
    for name in names:
        cells = [
            _number(Spread.of(list(r.decode_rate(name).values())).median) if name in r.names else "–" for r in results
        ]
        shown = next(_name(r, name) for r in results if name in r.names)
        rows.append([shown, *cells])
    return [f"### {title}", "", *table(["engine", *(str(getattr(r.case, label)) for r in results)], rows)]


def settings_section(results: Sequence[Result], facts: Facts) -> list[str]:
    """Return which versions ran, and what engines with a choice were tried with and used for each kind of work."""
    used: dict[str, dict[str, str]] = {}
    versions: dict[str, None] = {}
    for result in results:
        for name, detail in result.values["details"].items():
            used.setdefault(name, {})[result.case.kind] = detail["settings"]
            if "version" in detail:
                versions[f"{detail['title']} {detail['version'].partition(' (')[0]}"] = None
    lines = ["## Versions and settings", "", f"{', '.join(versions)}.", ""]
    choosing = [name for name in used if len(facts.tried.get(name, [])) > 1]
    if not choosing:
        return lines
    kinds = list(dict.fromkeys(kind for name in choosing for kind in used[name]))
    lines += ["Where an engine has a choice, all of it was tried for each kind of work, and the fastest was taken:", ""]
    lines += table(["engine", *kinds], [[name, *(used[name].get(kind, "–") for kind in kinds)] for name in choosing])
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in choosing:
        alike.setdefault(tuple(facts.tried[name]), []).append(name)
    return [*lines, *(f"- Tried with {', '.join(names)}: {'; '.join(tried)}." for tried, names in alike.items()), ""]


def absent_section(results: Sequence[Result], facts: Facts) -> list[str]:
    """Return what could not be measured and why."""
    lines = [f"- {name}: {why}" for name, why in facts.absent.items()]
    for result in results:
        lines += [f"- {name}, {_title(result)}: {why}" for name, why in result.values["failed"].items()]
    return ["## Not measured", "", *dict.fromkeys(lines), ""] if lines else []


def _title(result: Result) -> str:
    case = result.case
    return f"{case.group} (batch {case.batch}, context {case.context}, {case.size})"


def of_group(results: Sequence[Result], group: Group) -> list[Result]:
    """Return the results of a group, in the order of what varies."""
    sizes = list(SIZES)
    found = [result for result in results if result.case.group == group]
    return sorted(found, key=lambda r: (sizes.index(r.case.size), r.case.threads, r.case.batch, r.case.context))
