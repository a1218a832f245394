"""LAMBADA: the last word of a passage, which people guess from the whole passage and not from its last sentence.

Paperno et al. 2016. Four ways to say whether a model is right are in use, and the published figures differ by them
more than by the model (docs/evaluation.md): all tokens of the word are the likeliest (lm-eval), the likeliest whole
word that is no stop word (the GPT-2 paper, section 3.3, as far as it says), the last token is (Megatron-LM and others),
and all tokens are the likeliest but for those that are stop words (Poli et al. 2023, safari). All four are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.figures import percent, perplexity
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Likely, LogLikelihood, NextWord, Request, Word
from gpt2lab.evals.styles import LAMBADA
from gpt2lab.evals.task import NATS, Provenance, Task
from gpt2lab.files import parse_json, sha256_of
from gpt2lab.metrics.bootstrap import Row

COUNT = 5153
"""Passages of the test set."""

STOP_WORDS = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself they them their theirs themselves what which who whom this that these those am is are "
    "was were be been being have has had having do does did doing a an the and but if or because as until while of "
    "at by for with about against between into through during before after above below to from up down in out on "
    "off over under again further then once here there when where why how all any both each few more most other "
    "some such no nor not only own same so than too very s t can will just don should now "
)
"""The 127 English stop words that NLTK has had since its beginnings (after Porter)."""

Form = Literal["openai", "as it is", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LambadaSettings:
    """How LAMBADA is asked.

    form: of the passages: "openai" (straight quotes and a line end in front, as OpenAI recommended in gpt-2 issue 131),
    "as it is", "text" (the original's tokens made running text). main: the figure for tables. stop_words: "nltk", or a
    file with one word a line. width: how many beginnings of words are followed; 0 leaves the search out, and the figure
    that needs it.
    """

    form: Form = "openai"
    main: str = "accuracy_stop"
    stop_words: str = "nltk"
    width: int = 64

    def __post_init__(self) -> None:
        if self.main not in FIGURES:
            raise ConfigError(f"main = {self.main!r} is not one of {', '.join(FIGURES)}.")
        if self.width < 0:
            raise ConfigError(f"width = {self.width} must not be negative.")


FIGURES = {
    "perplexity": perplexity("questions"),
    "accuracy_word": percent("word"),
    "accuracy_stop": percent("stop"),
    "accuracy_last_token": percent("last_token"),
    "accuracy_masked": percent("masked"),
    "token_perplexity": perplexity("tokens"),
}

_PLAIN = LambadaSettings(form="as it is", main="accuracy_word", width=0)
PRESETS: Mapping[str, Mapping[str, LambadaSettings]] = {
    "lambada": {
        "paper": LambadaSettings(),
        "lm-eval": _PLAIN,
        "megatron": LambadaSettings(form="as it is", main="accuracy_last_token", width=0),
    },
    "lambada_original": {"paper": LambadaSettings(form="text"), "lm-eval": _PLAIN},
}

_FILES = {
    "lambada": ("lambada_test.jsonl",),
    "lambada_original": ("lambada_test_plain_text.txt",),
}
_HUB = {
    "lambada": HubData("EleutherAI/lambada_openai", "default", "test"),
    "lambada_original": HubData("cimec/lambada", "plain_text", "test"),
}


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[str]:
    """Return LAMBADA in OpenAI's or in the original form; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Lambada(name, preset, config, place)


class Lambada(Task[str]):
    """A document is a passage."""

    settings: LambadaSettings

    def __init__(self, name: str, preset: str, settings: LambadaSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place
        self.figures = {k: v for k, v in FIGURES.items() if settings.width or k != "accuracy_stop"}
        self.main = settings.main
        if self.main not in self.figures:
            raise ConfigError(f"{name}: main = {self.main!r} needs a search; set width to 1 or more.")
        self._stop = _stop_words(settings.stop_words)

    def load(self, limit: int | None = None) -> tuple[Sequence[str], Provenance]:
        """See `Task.load`."""
        path = self._place.find("lambada", _FILES[self.name], _HUB[self.name])
        texts = _passages(path)
        official = check_counts(path, {"passages": len(texts)}, {"passages": COUNT}, refuse=self._place.official)
        return texts[:limit], Provenance(str(path), sha256_of(path), official, {"passages": len(texts)})

    def requests(self, document: str) -> Sequence[Request]:
        """See `Task.requests`."""
        context, word = parted(document, self.settings.form)
        masked = tuple(f" {stop}" for stop in self._stop)
        asked: list[Request] = [LogLikelihood(context, word, without=masked)]
        if self.settings.width:
            asked.append(NextWord(context, self._stop, self.settings.width))
        return asked

    def rows(self, document: str, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        word, *found = answers
        assert isinstance(word, Likely)
        row = {
            "questions": 1.0,
            NATS: -word.logprob,
            "tokens": float(len(word.token_ids)),
            "word": float(word.greedy),
            "last_token": float(word.likeliest[-1] == word.token_ids[-1]),
            "masked": float(word.allowed == word.token_ids),
        }
        for best in found:
            assert isinstance(best, Word)
            row["stop"] = float(best.text == parted(document, self.settings.form)[1].strip())
        return [row]


def parted(text: str, form: Form) -> tuple[str, str]:
    """Return a passage without its last word, and that word with the blank before it."""
    if form == "as it is":  # what lm-eval does, also where a line end stands before the word
        context, _, word = text.rpartition(" ")
        return context, f" {word}"
    if form == "text":
        text = LAMBADA.detokenize(text)
    for curly, plain in (("“", '"'), ("”", '"'), ("''", '"'), ("``", '"')):
        text = text.replace(curly, plain)
    text = "\n" + text.strip()
    word = text.split()[-1]
    before = text[: -len(word)]
    return (before[:-1], f" {word}") if before.endswith(" ") else (before, word)


def _passages(path: Path) -> list[str]:
    if is_parquet(path):
        return [str(row["text"]) for row in parquet_rows(path, ["text"])]
    lines = read_text(path).removesuffix("\n").split("\n")
    if path.suffix != ".jsonl":
        return lines
    texts = []
    for number, line in enumerate(lines, 1):
        try:
            texts.append(parse_json(line)["text"])
        except (ValueError, LookupError, TypeError):
            raise DataError(f'{path} is damaged: line {number} is not {{"text": …}}.') from None
    return texts


def _stop_words(given: str) -> tuple[str, ...]:
    if given == "nltk":
        return tuple(STOP_WORDS.split())
    path = Path(given)
    if not path.is_file():
        raise ConfigError(f"stop_words = {given!r} is neither nltk nor a file with one word a line.")
    return tuple(dict.fromkeys(read_text(path).split()))
