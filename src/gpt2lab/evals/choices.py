"""Which of several texts is the likeliest: Winograd schemas, HellaSwag, Story Cloze.

Each task states what is compared: whole texts, or the part behind the choice (Trinh and Le 2018, "full" and "partial"),
sums, or means per token or character. Formats: wsc273 as its authors' copies and lighteval/winograd_wsc have it;
HellaSwag (Zellers et al. 2019) as rowanz/hellaswag; Story Cloze (Mostafazadeh et al. 2016) as its CSV files.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt2lab.errors import DataError
from gpt2lab.evals.figures import percent
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Likely, LogLikelihood, Request
from gpt2lab.evals.task import Provenance, Task
from gpt2lab.files import parse_json, sha256_of
from gpt2lab.metrics.bootstrap import Row

Rule = Literal["lm-eval", "paper", "llm.c"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSettings:
    """rule: whose way of asking; see the functions below. bos: read everything after <|endoftext|>."""

    rule: Rule = "lm-eval"
    bos: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """For each kind of comparison the (context, continuation) of every choice; which choice is right; and the texts of
    the choices, by whose length sums are divided."""

    asked: Mapping[str, tuple[tuple[str, str], ...]]
    right: int
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Format:
    """Where the questions of a task are, how many there are, and how a record becomes a question under each rule."""

    files: tuple[str, ...]
    hub: HubData | None
    count: int
    columns: tuple[str, ...]
    read: Callable[[Path], list[dict[str, Any]]]
    questions: Mapping[Rule, Callable[[dict[str, Any]], Question]]
    figures: Mapping[Rule, tuple[str, ...]]


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Question]:
    """Return one of the tasks of this file; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Choices(name, preset, config, place)


class Choices(Task[Question]):
    """A document is a question with its choices."""

    settings: ChoiceSettings

    def __init__(self, name: str, preset: str, settings: ChoiceSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place, self._format = place, FORMATS[name]
        names = self._format.figures[settings.rule]
        self.figures = {name: percent(name) for name in names}
        self.main = names[0]

    def load(self, limit: int | None = None) -> tuple[Sequence[Question], Provenance]:
        """See `Task.load`."""
        form = self._format
        path = self._place.find(self.name, form.files, form.hub)
        records = parquet_rows(path, form.columns) if is_parquet(path) else form.read(path)
        counts = {"questions": len(records)}
        official = check_counts(path, counts, {"questions": form.count}, refuse=self._place.official)
        make_question = form.questions[self.settings.rule]
        return [make_question(r) for r in records[:limit]], Provenance(str(path), sha256_of(path), official, counts)

    def requests(self, document: Question) -> Sequence[Request]:
        """See `Task.requests`."""
        return [
            LogLikelihood(context, continuation, bos=self.settings.bos)
            for pairs in document.asked.values()
            for context, continuation in pairs
        ]

    def rows(self, document: Question, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        row = {"questions": 1.0}
        each = len(document.choices)
        for i, kind in enumerate(document.asked):
            found = [a for a in answers[i * each : (i + 1) * each] if isinstance(a, Likely)]
            sums = np.asarray([a.logprob for a in found])
            means = {
                "": sums,
                "_norm": sums / [len(choice) for choice in document.choices],
                "_per_token": sums / [len(a.token_ids) for a in found],
            }
            for ending, scores in means.items():
                if (name := f"{kind}{ending}") in self.figures:
                    row[name] = float(int(np.argmax(scores)) == document.right)
        return [row]


# ---- Winograd schemas -----------------------------------------------------------------------------------------

_MASK = "[MASK]"
_LOWERED = ("A", "An", "The", "She", "He", "It", "They", "My", "His", "Her", "Their")
_POSSESSIVE = ("my", "his", "her", "our", "their")


def _read_winograd(path: Path) -> list[dict[str, Any]]:
    """Read the file of 273 schemas with [MASK] for the pronoun: which pronoun it was is lost in it."""
    lines = read_text(path).rstrip("\n").split("\n")
    records = []
    for number, block in enumerate((lines[i : i + 5] for i in range(0, len(lines), 5)), 1):
        options = [option.strip() for option in block[2].split(",")] if len(block) >= 4 else []
        if len(options) != 2 or block[0].count(_MASK) != 1 or block[3].strip() not in options:
            raise DataError(
                f"{path} is damaged: schema {number} is not a sentence with {_MASK}, two options, one right."
            )
        text = block[0].rstrip()
        records.append(
            {"text": text, "pronoun": _MASK, "pronoun_loc": text.index(_MASK), "options": options,
             "label": options.index(block[3].strip())}
        )  # fmt: skip
    return records


def _winograd_options(record: dict[str, Any], text: str) -> list[str]:
    """Return the options as lm-eval writes them: possessive where the pronoun is, articles lowered within sentences."""
    made = []
    for option in record["options"]:
        if record["pronoun"].lower() in _POSSESSIVE:
            option += "'s"
        first = option.split()[0]
        if text[record["pronoun_loc"] - 2] != "." and first in _LOWERED:
            option = option.replace(first, first.lower())
        made.append(option)
    return made


def winograd_lm_eval(record: dict[str, Any]) -> Question:
    """Return a schema as lm-eval's wsc273 asks it: what follows the pronoun, with two blanks, behind each option."""
    text = record["text"].replace("  ", " ")
    at = record["pronoun_loc"]
    behind = text[at + len(record["pronoun"]) :]
    options = _winograd_options(record, text)
    pairs = tuple((text[:at] + option, f" {behind}") for option in options)
    return Question({"accuracy": pairs}, int(record["label"]), tuple(options))


def winograd_paper(record: dict[str, Any]) -> Question:
    """Return a schema for both of Trinh and Le's scores: partial (the rest behind the option) and full (everything)."""
    at, text = record["pronoun_loc"], record["text"]
    before, behind = " ".join(text[:at].split()), " ".join(text[at + len(record["pronoun"]) :].split())
    options = _winograd_options(record, text.replace("  ", " "))
    begun = [f"{before} {option}" if before else option for option in options]
    gap = "" if re.match(r"[.,;:!?']", behind) else " "
    return Question(
        {
            "partial": tuple((context, f"{gap}{behind}") for context in begun),
            "full": tuple(("", f"{context}{gap}{behind}") for context in begun),
        },
        int(record["label"]),
        tuple(options),
    )


# ---- HellaSwag ------------------------------------------------------------------------------------------------


def _read_json_lines(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(read_text(path).rstrip("\n").split("\n"), 1):
        try:
            value = parse_json(line)
            records.append({name: value[name] for name in _HELLASWAG})
        except (ValueError, LookupError, TypeError):
            raise DataError(f"{path} is damaged: line {number} is no question of HellaSwag.") from None
    return records


_HELLASWAG = ("ctx_a", "ctx_b", "ctx", "activity_label", "endings", "label")


def _cleaned(text: str) -> str:
    """Return a text without WikiHow's marks, as lm-eval writes it."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def hellaswag_lm_eval(record: dict[str, Any]) -> Question:
    """Return a question as lm-eval asks it: with the activity's name, without marks; sums, and sums per character."""
    context = _cleaned(f"{record['activity_label']}: {record['ctx_a']} {record['ctx_b'].capitalize()}")
    endings = tuple(_cleaned(ending) for ending in record["endings"])
    return Question({"accuracy": tuple((context, f" {e}") for e in endings)}, int(record["label"]), endings)


def hellaswag_llm_c(record: dict[str, Any]) -> Question:
    """Return a question as karpathy/llm.c's dev/data/hellaswag.py asks it: plain; sums, and means per token."""
    endings = tuple(record["endings"])
    return Question({"accuracy": tuple((record["ctx"], f" {e}") for e in endings)}, int(record["label"]), endings)


# ---- Story Cloze ----------------------------------------------------------------------------------------------

_STORY = tuple(f"InputSentence{i}" for i in range(1, 5))
_ENDINGS = ("RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2")
_RIGHT = "AnswerRightEnding"


def _read_stories(path: Path) -> list[dict[str, Any]]:
    records = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    for number, record in enumerate(records, 1):
        if any(record.get(name) is None for name in (*_STORY, *_ENDINGS)) or record.get(_RIGHT) not in ("1", "2"):
            raise DataError(f"{path} is damaged: story {number} has no four sentences, two endings and a right one.")
    return records


def story_cloze(record: dict[str, Any]) -> Question:
    """Return a story as lm-eval's storycloze_2016 asks it: four sentences, then either ending."""
    context = " ".join(record[name] for name in _STORY)
    endings = tuple(record[name] for name in _ENDINGS)
    return Question({"accuracy": tuple((context, f" {e}") for e in endings)}, int(record[_RIGHT]) - 1, endings)


FORMATS: Mapping[str, Format] = {
    "wsc273": Format(
        ("wsc273.txt",),
        HubData("lighteval/winograd_wsc", "wsc273", "test"),
        273,
        ("text", "pronoun", "pronoun_loc", "options", "label"),
        _read_winograd,
        {"lm-eval": winograd_lm_eval, "paper": winograd_paper},
        {"lm-eval": ("accuracy",), "paper": ("partial", "full")},
    ),
    "hellaswag": Format(
        ("hellaswag_val.jsonl",),
        HubData("Rowan/hellaswag", "default", "validation"),
        10_042,
        _HELLASWAG,
        _read_json_lines,
        {"lm-eval": hellaswag_lm_eval, "llm.c": hellaswag_llm_c},
        {"lm-eval": ("accuracy_norm", "accuracy"), "llm.c": ("accuracy_per_token", "accuracy")},
    ),
    "storycloze": Format(
        ("test.csv", "cloze_test_test__spring2016 - cloze_test_ALL_test.csv"),
        None,
        1871,
        (),
        _read_stories,
        {"lm-eval": story_cloze},
        {"lm-eval": ("accuracy",)},
    ),
}

PRESETS: Mapping[str, Mapping[str, ChoiceSettings]] = {
    "wsc273": {"paper": ChoiceSettings(rule="paper", bos=True), "lm-eval": ChoiceSettings()},
    "hellaswag": {"lm-eval": ChoiceSettings(), "llm.c": ChoiceSettings(rule="llm.c")},
    "storycloze": {"lm-eval": ChoiceSettings()},
}
