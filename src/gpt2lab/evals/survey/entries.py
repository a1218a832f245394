"""The surveyed models: what each is, and every figure with the place where it is published.

Reads `models.toml` beside this file; knows no form of output. `survey` returns what is there, `select` filters and
sorts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2lab.config import from_dict, read_toml
from gpt2lab.errors import ConfigError, nearest
from gpt2lab.evals.survey.masks import OBJECTIVES

DATA = Path(__file__).with_name("models.toml")

Extractor = Literal[
    "LSTM", "Transformer decoder", "Transformer encoder", "Transformer encoder-decoder", "Transformer-XL"
]
Kind = Literal["auto-regressive", "auto-encoding", "sequence-to-sequence", "both kinds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where figures are published."""

    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, the key of its source, the place in it, and why it may be wrong ("" if nothing speaks against it)."""

    value: int
    source: str
    where: str
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One published size of a model; what nobody published is None."""

    name: str
    parameters: Figure | None = None
    layers: Figure | None = None
    width: Figure | None = None
    heads: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much of what text a model was trained on, in `unit`s."""

    name: str
    amount: Figure
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model. `masks` are names of `OBJECTIVES` in masks.py; `date` is the month of the first version."""

    key: str
    name: str
    date: str
    organisation: str
    extractor: Extractor
    kind: Kind
    direction: str
    objectives: tuple[str, ...]
    masking: str
    masks: tuple[str, ...]
    improves: str
    language: str
    use: tuple[str, ...]
    paper: str
    notes: str = ""
    window: Figure | None = None
    sizes: tuple[Size, ...]
    corpora: tuple[Amount, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", self.date):
            raise ConfigError(f"date = {self.date!r} of {self.key} is not a month; write it as 2019-02.")
        for mask in self.masks:
            if mask not in OBJECTIVES:
                raise ConfigError(f"masks of {self.key}: {mask!r} is not one of {', '.join(OBJECTIVES)}.")
        if not self.sizes:
            raise ConfigError(f"{self.key} has no sizes; give at least one [[model.sizes]].")

    @property
    def largest(self) -> Size:
        """The last of the sizes, which are given from small to large."""
        return self.sizes[-1]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure that is given."""
        of_sizes = (f for s in self.sizes for f in (s.parameters, s.layers, s.width, s.heads))
        return tuple(f for f in (self.window, *of_sizes, *(c.amount for c in self.corpora)) if f is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All models, oldest first, and the sources they name."""

    sources: Mapping[str, Source]
    models: tuple[Entry, ...]

    def __post_init__(self) -> None:
        keys = [entry.key for entry in self.models]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"The model {key!r} is described twice.")
        for entry in self.models:
            for source in (entry.paper, *(figure.source for figure in entry.figures)):
                if source not in self.sources:
                    raise ConfigError(f"{entry.key} names the source {source!r}, which [sources] does not have.")

    def find(self, name: str) -> Entry:
        """Return the model of that key or name, in any case. Raises `ConfigError`."""
        for entry in self.models:
            if name.lower() in (entry.key.lower(), entry.name.lower()):
                return entry
        keys = [entry.key for entry in self.models]
        raise ConfigError(f"{name!r} is not a surveyed model.{nearest(name, keys)} There are {', '.join(keys)}.")


def survey(path: str | Path = DATA) -> Survey:
    """Read the surveyed models. Raises `ConfigError` for a file that is not as `models.toml` is."""
    values = read_toml(path)
    for key in values:
        if key not in ("sources", "model"):
            raise ConfigError(f"Unknown key {key!r} in {path}; known are 'sources' and 'model'.")
    sources = {
        key: from_dict(Source, value, where=f"sources.{key}") for key, value in values.get("sources", {}).items()
    }
    models = [from_dict(Entry, value, where=f"model[{i}]") for i, value in enumerate(values.get("model", []))]
    return Survey(sources=sources, models=tuple(sorted(models, key=lambda entry: entry.date)))


COLUMNS: Mapping[str, str] = {
    "name": "model",
    "date": "first version",
    "organisation": "by",
    "extractor": "network",
    "kind": "kind",
    "direction": "reads",
    "objectives": "learns",
    "masking": "hides",
    "improves": "new in it",
    "parameters": "parameters",
    "sizes": "sizes",
    "layers": "layers",
    "width": "width",
    "heads": "heads",
    "window": "window",
    "data": "trained on",
    "language": "language",
    "use": "used by",
    "paper": "paper",
}
"""Name of each column -> its heading. The figures are those of the largest size."""

FIGURES = ("parameters", "layers", "width", "heads", "window")
"""The columns that hold a figure, and can be compared by size."""

Cell = Figure | str | tuple[str, ...] | tuple[Amount, ...] | None


def cell(entry: Entry, column: str) -> Cell:
    """Return what stands in a column: a figure, words, several of them, or None where nothing is published."""
    if column == "data":
        return entry.corpora
    if column == "sizes":
        return tuple(
            Amount(name=size.name, amount=size.parameters, unit="parameters")
            for size in entry.sizes
            if size.parameters is not None
        )
    if column == "window":
        return entry.window
    if column in FIGURES:
        found: Figure | None = getattr(entry.largest, column)
        return found
    value: Cell = getattr(entry, column)
    return value


def check_columns(names: Iterable[str]) -> None:
    """Raise `ConfigError` for the first name that is not a column."""
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(f"{name!r} is not a column.{nearest(name, COLUMNS)} Columns: {', '.join(COLUMNS)}.")


_CONDITION = re.compile(r"\s*([\w-]+)\s*(>=|<=|!=|=|~|>|<)\s*(.*?)\s*")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}


def select(
    entries: Sequence[Entry], conditions: Sequence[str] = (), *, sort: str = "date", descending: bool = False
) -> list[Entry]:
    """Return the entries that meet every condition, sorted by a column; what has no figure comes last.

    A condition is a column, one of = != ~ >= <= > < and a value: "extractor=LSTM", "objectives~masked",
    "parameters>=300M". = and != compare whole values, ~ finds a part; case does not count. Raises `ConfigError`.
    """
    check_columns([sort])
    tests = [_parsed(condition) for condition in conditions]
    kept = [entry for entry in entries if all(_meets(entry, *test) for test in tests)]
    known = [entry for entry in kept if cell(entry, sort) not in (None, ())]
    known.sort(key=lambda entry: _order(cell(entry, sort)), reverse=descending)
    return known + [entry for entry in kept if cell(entry, sort) in (None, ())]


def _parsed(condition: str) -> tuple[str, str, str]:
    match = _CONDITION.fullmatch(condition)
    if match is None or not match[3]:
        raise ConfigError(
            f"{condition!r} is not a condition; write a column, one of = != ~ >= <= > < and a value, "
            "for example parameters>=300M."
        )
    column, sign, value = match.groups()
    check_columns([column])
    if sign in (">", "<", ">=", "<="):
        if column not in (*FIGURES, "date"):
            raise ConfigError(f"{condition!r} compares words by size; {sign} is for {', '.join((*FIGURES, 'date'))}.")
        if column in FIGURES:
            _number(value, condition)
    return column, sign, value


def _number(text: str, condition: str) -> float:
    match = re.fullmatch(r"(\d[\d,_]*\.?\d*)([kmbg]?)", text.lower())
    if match is None:
        raise ConfigError(f"{condition!r}: {text!r} is not a number; write it as 768, 340M or 1.5B.")
    return float(match[1].replace(",", "").replace("_", "")) * _UNITS[match[2]]


def _words(value: Cell) -> list[str]:
    if value is None:
        return []
    if isinstance(value, Figure):
        return [str(value.value)]
    return [value] if isinstance(value, str) else [v.name if isinstance(v, Amount) else v for v in value]


def _meets(entry: Entry, column: str, sign: str, wanted: str) -> bool:
    value = cell(entry, column)
    if isinstance(value, Figure) and sign != "~":
        number, bound = value.value, _number(wanted, f"{column}{sign}{wanted}")
        return {
            "=": number == bound, "!=": number != bound, ">": number > bound, "<": number < bound,
            ">=": number >= bound, "<=": number <= bound,
        }[sign]  # fmt: skip
    words = [word.lower() for word in _words(value)]
    if sign == "~":
        return any(wanted.lower() in word for word in words)
    if sign in ("=", "!="):
        return bool(words) and (wanted.lower() in words) == (sign == "=")
    # months are written so that they sort as text; ">2019" begins behind its last month, "<=2019" ends there
    return any(_compare(word[: len(wanted)], sign, wanted) for word in words)


def _compare(word: str, sign: str, bound: str) -> bool:
    return {">": word > bound, "<": word < bound, ">=": word >= bound, "<=": word <= bound}[sign]


def _order(value: Cell) -> Any:
    return value.value if isinstance(value, Figure) else [word.lower() for word in _words(value)]
