"""WMT14 English and French, both ways: the model sees a few pairs "sentence = translation", then a sentence and "=".

After Radford et al. 2019, section 3.7: greedy decoding, the first generated sentence is the translation. The prompt
and its examples are lm/prompts.py's. Format: newstest2014's SGML files, as sacrebleu has them, or wmt/wmt14 of the
hub. BLEU is sacrebleu's, of cased and untokenized text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Generate, Request, Written
from gpt2lab.evals.task import Figure, Provenance, Task
from gpt2lab.files import sha256_of
from gpt2lab.lm.prompts import TRANSLATIONS as EXAMPLES
from gpt2lab.lm.prompts import translation_prompt
from gpt2lab.metrics.bootstrap import Row
from gpt2lab.metrics.texts import bleu, bleu_counts, sentences

HUB = HubData("wmt/wmt14", "fr-en", "test")
COUNT = 3003
_STEM = "newstest2014-fren"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationSettings:
    """shots: how many of `EXAMPLES` stand before the sentence. tokenize: sacrebleu's way of parting words, "13a" as in
    WMT, "intl" or "char". max_new_tokens: the longest translation. cut: at the end of the first sentence or line."""

    shots: int = 5
    tokenize: Literal["13a", "intl", "char"] = "13a"
    max_new_tokens: int = 100
    cut: Literal["sentence", "line"] = "sentence"

    def __post_init__(self) -> None:
        if not 0 <= self.shots <= len(EXAMPLES):
            raise ConfigError(f"shots = {self.shots} must be from 0 to {len(EXAMPLES)}.")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens = {self.max_new_tokens} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence and its translation by a person."""

    source: str
    reference: str


PRESETS: Mapping[str, Mapping[str, TranslationSettings]] = {
    "wmt14-en-fr": {"paper": TranslationSettings()},
    "wmt14-fr-en": {"paper": TranslationSettings()},
}


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Segment]:
    """Return the task for one direction, "wmt14-en-fr" or "wmt14-fr-en"; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Translation(name, preset, config, place)


class Translation(Task[Segment]):
    """A document is a sentence; what is asked is its translation."""

    figures = {"bleu": Figure(bleu, "BLEU")}  # noqa: RUF012 - nobody changes it
    main = "bleu"
    settings: TranslationSettings

    def __init__(self, name: str, preset: str, settings: TranslationSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place
        self._source, self._target = name.split("-")[1:]

    def load(self, limit: int | None = None) -> tuple[Sequence[Segment], Provenance]:
        """See `Task.load`."""
        name = f"{_STEM}-src.{self._source}.sgm"
        path = self._place.find(self.name, (name, f"wmt14_en_fr/{name}"), HUB)
        if is_parquet(path):
            pairs = [row["translation"] for row in parquet_rows(path, ("translation",))]
            segments = [Segment(pair[self._source], pair[self._target]) for pair in pairs]
            digest = sha256_of(path)
        else:
            other = path.with_name(f"{_STEM}-ref.{self._target}.sgm")
            if not other.is_file():
                raise DataError(f"{path} is here, but not its translation; put {other.name} beside it.")
            sources, references = read_sgml(path), read_sgml(other)
            if len(sources) != len(references):
                raise DataError(
                    f"{path} has {len(sources)} segments and {other.name} {len(references)}; one of them is damaged."
                )
            segments = [Segment(*pair) for pair in zip(sources, references, strict=True)]
            digest = f"{sha256_of(path)} {sha256_of(other)}"
        counts = {"segments": len(segments)}
        official = check_counts(path, counts, {"segments": COUNT}, refuse=self._place.official)
        return segments[:limit], Provenance(str(path), digest, official, counts)

    def prompt(self, sentence: str) -> str:
        """Return the examples, the sentence and "="."""
        pairs = EXAMPLES[: self.settings.shots]
        shown = [(en, fr) if self._source == "en" else (fr, en) for en, fr in pairs]
        return translation_prompt(shown, sentence)

    def requests(self, document: Segment) -> Sequence[Request]:
        """See `Task.requests`."""
        return [Generate(self.prompt(document.source), ("\n",), self.settings.max_new_tokens)]

    def rows(self, document: Segment, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        (written,) = answers
        assert isinstance(written, Written)
        given = written.text.strip()
        if self.settings.cut == "sentence":
            given = next(iter(sentences(given)), "")
        return [{"segments": 1.0, **bleu_counts(given, document.reference, tokenize=self.settings.tokenize)}]


_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)</seg>", re.DOTALL)


def read_sgml(path: Path) -> list[str]:
    """Return the segments of one of WMT's SGML files, with single blanks, as sacrebleu reads them.

    These files are not escaped: "&" stands for itself. Raises `DataError`.
    """
    text = read_text(path)
    found = [" ".join(segment.split()) for segment in _SEGMENT.findall(text)]
    if not found or len(found) != text.count("<seg"):
        raise DataError(f"{path} is damaged: {text.count('<seg'):,} segments begin and {len(found):,} of them end.")
    return found
