"""Pairs made of documents that have no summaries: a passage without its first sentence, or a text and its title.

Predicting a sentence that was taken out of its passage is the gap-sentence objective of Zhang et al. 2020 (PEGASUS,
section 3.1) with the first sentence as the gap. Knows JSON lines, not tokens.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2lab.apps.seq2seq.pairs import Pair, numbered_lines
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import parse_json
from gpt2lab.metrics.texts import sentences

Kind = Literal["first-sentence", "title"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveOptions:
    """What becomes a pair. Raises `ConfigError` when a value is impossible.

    target: the "first-sentence" of each paragraph, whose other sentences are the source, or each document's "title",
    whose text is. Sources have from `least` to `most` characters (of a longer text the first `most`; a longer paragraph
    is passed over), first sentences from `least_target` to `most_target`. every: only each so-many-th paragraph.
    """

    target: Kind = "first-sentence"
    least: int = 300
    most: int = 2000
    least_target: int = 20
    most_target: int = 300
    every: int = 1

    def __post_init__(self) -> None:
        for low, high in ((self.least, self.most), (self.least_target, self.most_target)):
            if not 1 <= low <= high:
                raise ConfigError(f"From {low} to {high} characters holds nothing; the first must be at least 1.")
        if self.every < 1:
            raise ConfigError(f"every = {self.every} must be at least 1.")


def derived(path: str | Path, options: DeriveOptions) -> Iterator[tuple[Pair, str]]:
    """Yield pairs of a file of JSON lines with "text" and "title", each with a name of its document.

    Raises `DataError` naming file and line.
    """
    place = Path(path).expanduser()
    count = 0
    for number, line in numbered_lines(place):
        if not line.strip():
            continue
        record = _record(line, f"{place}, line {number}", options.target)
        name = hashlib.blake2b(line.encode(), digest_size=8).hexdigest()
        if options.target == "title":
            text = record["text"].strip()[: options.most]
            if len(text) >= options.least:
                yield Pair(text, _joined(record["title"])), name
            continue
        for paragraph in re.split(r"\n\s*\n", record["text"]):
            if not options.least <= len(paragraph) <= options.most + options.most_target:
                continue
            count += 1
            if count % options.every:
                continue
            pair = _opened(_joined(paragraph), options)
            if pair is not None:
                yield pair, name


def _opened(paragraph: str, options: DeriveOptions) -> Pair | None:
    """Return a paragraph's other sentences and its first, if both have the lengths asked for."""
    first, *others = sentences(paragraph) or [""]
    rest = " ".join(others)
    fits = options.least <= len(rest) <= options.most and options.least_target <= len(first) <= options.most_target
    return Pair(rest, first) if fits else None


def _record(line: str, where: str, target: Kind) -> Mapping[str, Any]:
    try:
        value: Any = parse_json(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.") from None
    for key in ("text", "title") if target == "title" else ("text",):
        if not isinstance(value, dict) or not isinstance(value.get(key), str) or not value[key].strip():
            raise DataError(f"{where} has no text under {key!r}.")
    known: Mapping[str, Any] = value
    return known


def _joined(text: str) -> str:
    return " ".join(text.split())


def is_held_out(name: str, share: float) -> bool:
    """Tell whether the document of that name belongs to the share that is held out."""
    return int(name[:8], 16) < share * 2**32
