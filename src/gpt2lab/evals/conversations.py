"""CoQA: questions about a text in a conversation, each answered by the model with the right answers before it.

Format: coqa-dev-v1.0.json (Reddy, Chen and Manning 2019), or stanfordnlp/coqa of the hub, which has one right answer to
a question where the official file has up to four, so that F1 comes out lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.figures import percent
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Generate, Request, Written
from gpt2lab.evals.task import Provenance, Task
from gpt2lab.files import parse_json, sha256_of
from gpt2lab.lm.prompts import dialogue_prompt
from gpt2lab.metrics.answers import exact_match, f1, leave_one_out
from gpt2lab.metrics.bootstrap import Row

FILES = ("coqa-dev-v1.0.json",)
HUB = HubData("stanfordnlp/coqa", "default", "validation")
COUNTS = {"conversations": 500, "questions": 7983}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoqaSettings:
    """turns: every question of a conversation, or only the last one, as lm-eval asks. layout: "lines" ("Q: …", "A: …"
    on a line each) or "paragraphs" (lm-eval's, with empty lines between). right: all right answers of a question, as
    CoQA's script has it, or those that differ in more than case, as lm-eval. max_new_tokens: the longest answer."""

    turns: Literal["all", "last"] = "all"
    right: Literal["all", "distinct"] = "all"
    layout: Literal["lines", "paragraphs"] = "lines"
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens = {self.max_new_tokens} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A text, the questions about it, and to each the right answers, the first of which stands in the dialogue."""

    story: str
    questions: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]


PRESETS: Mapping[str, Mapping[str, CoqaSettings]] = {
    "coqa": {
        "paper": CoqaSettings(),
        "lm-eval": CoqaSettings(turns="last", layout="paragraphs", right="distinct", max_new_tokens=256),
    }
}


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Conversation]:
    """Return the task; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Coqa(name, preset, config, place)


class Coqa(Task[Conversation]):
    """A document is a conversation; its questions are rows of their own."""

    figures = {"f1": percent("f1"), "exact_match": percent("exact_match")}  # noqa: RUF012 - nobody changes it
    main = "f1"
    settings: CoqaSettings

    def __init__(self, name: str, preset: str, settings: CoqaSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place

    def load(self, limit: int | None = None) -> tuple[Sequence[Conversation], Provenance]:
        """See `Task.load`."""
        path = self._place.find(self.name, FILES, HUB)
        found = _of_hub(path) if is_parquet(path) else _of_file(path)
        counts = {"conversations": len(found), "questions": sum(len(c.questions) for c in found)}
        official = check_counts(path, counts, COUNTS, refuse=self._place.official)
        return found[:limit], Provenance(str(path), sha256_of(path), official, counts)

    def _turns(self, document: Conversation) -> range:
        n = len(document.questions)
        return range(n - 1 if self.settings.turns == "last" else 0, n)

    def prompt(self, document: Conversation, turn: int) -> str:
        """Return the text, the dialogue before a turn, its question, and "A:"."""
        gap = "\n\n" if self.settings.layout == "paragraphs" else "\n"
        said = [answers[0] for answers in document.answers[:turn]]
        turns = list(zip(document.questions[:turn], said, strict=True))
        return dialogue_prompt(document.story, turns, document.questions[turn], gap=gap)

    def requests(self, document: Conversation) -> Sequence[Request]:
        """See `Task.requests`."""
        until = ("\nQ:",) if self.settings.layout == "paragraphs" else ("\n",)
        return [
            Generate(self.prompt(document, turn), until, self.settings.max_new_tokens) for turn in self._turns(document)
        ]

    def rows(self, document: Conversation, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        rows = []
        for turn, answer in zip(self._turns(document), answers, strict=True):
            assert isinstance(answer, Written)
            given = answer.text.strip().split("\n")[0]
            right: Sequence[str] = document.answers[turn]
            if self.settings.right == "distinct":
                right = list({answer.lower(): answer for answer in reversed(right)}.values())[::-1]
            rows.append(
                {
                    "questions": 1.0,
                    "f1": leave_one_out(f1, given, right),
                    "exact_match": leave_one_out(exact_match, given, right),
                }
            )
        return rows


def _of_hub(path: Path) -> list[Conversation]:
    return [
        Conversation(r["story"], tuple(r["questions"]), tuple((a,) for a in r["answers"]["input_text"]))
        for r in parquet_rows(path, ("story", "questions", "answers"))
    ]


def _of_file(path: Path) -> list[Conversation]:
    try:
        records = parse_json(read_text(path))["data"]
        return [_conversation(record) for record in records]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise DataError(f"{path} is damaged: it does not hold conversations as CoQA's file does.") from None


def _conversation(record: Any) -> Conversation:
    """Return a conversation of the official file; raises what a record of another shape raises."""
    questions = tuple(q["input_text"] for q in record["questions"])
    answers = [[a["input_text"]] for a in record["answers"]]
    for others in record.get("additional_answers", {}).values():
        for known, other in zip(answers, others, strict=True):
            known.append(other["input_text"])
    if len(answers) != len(questions) or not questions:
        raise ValueError
    return Conversation(record["story"], questions, tuple(tuple(a) for a in answers))
