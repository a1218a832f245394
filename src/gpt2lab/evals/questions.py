"""Questions without a text to look in: Natural Questions and WebQuestions, and how well a model knows what it knows.

Formats: NQ-open (Kwiatkowski et al. 2019; Lee et al. 2019) as its .jsonl file, WebQuestions (Berant et al. 2013) as a
JSON list of qText and answers. The prompt and its examples are lm/prompts.py's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.figures import percent
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Generate, Likely, LogLikelihood, Request, Written
from gpt2lab.evals.task import Provenance, Task
from gpt2lab.files import parse_json, sha256_of
from gpt2lab.lm.prompts import QUESTIONS as EXAMPLES
from gpt2lab.lm.prompts import question_prompt
from gpt2lab.metrics.answers import best, exact_match, exact_match_lm_eval, f1
from gpt2lab.metrics.bootstrap import Row

CONFIDENT = {"top_1_percent": 0.01, "top_10_percent": 0.1}
"""Name of each figure of confidence -> the share of the questions that it looks at, those answered most confidently."""

BINS = 10
"""Groups of equal size over which the error of calibration is taken."""

Rule = Literal["written", "lm-eval", "greedy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSettings:
    """rule: "written" (an answer is written and compared as SQuAD does), "lm-eval" (written and compared as lm-eval's
    nq_open does), or "greedy" (right if an accepted answer is what the model always takes, as lm-eval's webqs).

    shots: how many of `EXAMPLES` stand before the question. max_new_tokens: the longest answer.
    """

    rule: Rule = "written"
    shots: int = 5
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.shots <= len(EXAMPLES):
            raise ConfigError(f"shots = {self.shots} must be from 0 to {len(EXAMPLES)}.")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens = {self.max_new_tokens} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its accepted answers."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Format:
    """Where a task's questions are, how many there are, and how they are read from a file and from the hub."""

    files: tuple[str, ...]
    hub: HubData
    count: int
    read: Callable[[Path], list[Question]]
    columns: tuple[str, str]


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Question]:
    """Return one of the tasks of this file; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Questions(name, preset, config, place)


class Questions(Task[Question]):
    """A document is a question; what is asked is an answer, or how likely the accepted ones are."""

    main = "exact_match"
    settings: QuestionSettings

    def __init__(self, name: str, preset: str, settings: QuestionSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place, self._format = place, FORMATS[name]
        self.figures = {"exact_match": percent("exact_match")}
        if settings.rule == "written":
            self.figures["f1"] = percent("f1")

    def load(self, limit: int | None = None) -> tuple[Sequence[Question], Provenance]:
        """See `Task.load`."""
        form = self._format
        path = self._place.find(self.name, form.files, form.hub)
        if is_parquet(path):
            text, answers = form.columns
            records = parquet_rows(path, form.columns)
            questions = [Question(record[text], tuple(record[answers])) for record in records]
        else:
            questions = form.read(path)
        counts = {"questions": len(questions)}
        official = check_counts(path, counts, {"questions": form.count}, refuse=self._place.official)
        return questions[:limit], Provenance(str(path), sha256_of(path), official, counts)

    def prompt(self, question: str) -> str:
        """Return what the model reads before it answers."""
        if self.settings.rule == "greedy":
            return f"Question: {question}\nAnswer:"
        if self.settings.rule == "lm-eval":
            return f"Answer these questions:\n\nQ: {question}?\nA:"
        return question_prompt(EXAMPLES[: self.settings.shots], question)

    def requests(self, document: Question) -> Sequence[Request]:
        """See `Task.requests`."""
        prompt = self.prompt(document.text)
        if self.settings.rule == "greedy":
            return [LogLikelihood(prompt, f" {answer}") for answer in _without_longer(document.answers)]
        until = ("\n", ".", ",") if self.settings.rule == "lm-eval" else ("\n",)
        return [Generate(prompt, until, self.settings.max_new_tokens)]

    def rows(self, document: Question, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        if self.settings.rule == "greedy":
            greedy = any(answer.greedy for answer in answers if isinstance(answer, Likely))
            return [{"questions": 1.0, "exact_match": float(greedy)}]
        (written,) = answers
        assert isinstance(written, Written)
        row = {"questions": 1.0, "confidence": math.exp(min(0.0, math.fsum(written.logprobs)))}
        if self.settings.rule == "lm-eval":
            given = written.text.lstrip()
            return [{**row, "exact_match": best(exact_match_lm_eval, given, document.answers)}]
        return [
            {
                **row,
                "exact_match": best(exact_match, written.text, document.answers),
                "f1": best(f1, written.text, document.answers),
            }
        ]

    def further(self, rows: Sequence[Row]) -> Mapping[str, float]:
        """Return how often the most confident answers are right in %, and the error of calibration.

        The confidence of an answer is the probability of its tokens. The error is the mean distance of confidence and
        share of right answers over `BINS` groups of equal size (Guo et al. 2017, with equal groups), from 0 to 1.
        """
        if self.settings.rule == "greedy" or not rows:
            return {}
        confidence = np.asarray([row["confidence"] for row in rows])
        right = np.asarray([row["exact_match"] for row in rows])
        order = np.lexsort((np.arange(len(rows)), -confidence))
        found = {}
        for name, share in CONFIDENT.items():
            found[name] = 100 * float(right[order[: max(1, round(share * len(rows)))]].mean())
        groups = [group for group in np.array_split(order, BINS) if len(group)]
        distances = [len(group) * abs(confidence[group].mean() - right[group].mean()) for group in groups]
        found["calibration_error"] = float(math.fsum(distances) / len(rows))
        return found


def _without_longer(answers: Sequence[str]) -> list[str]:
    """Return the answers that do not begin with another one: where the shorter is accepted, so is the longer."""
    kept: list[str] = []
    for answer in sorted(answers):
        if not kept or not answer.startswith(kept[-1]):
            kept.append(answer)
    return kept


# ---- files ----------------------------------------------------------------------------------------------------


def _question(path: Path, where: str, record: Any, text: str, answers: str) -> Question:
    """Return the question of a record. Raises `DataError` where it is none."""
    try:
        asked, accepted = record[text], record[answers]
    except (TypeError, LookupError):
        asked, accepted = None, None
    fit = (
        isinstance(asked, str) and isinstance(accepted, list) and accepted and all(isinstance(a, str) for a in accepted)
    )
    if not fit:
        raise DataError(f"{path} is damaged: {where} has no {text!r} with a list of {answers!r}.")
    return Question(str(asked), tuple(accepted or ()))


def _read_natural(path: Path) -> list[Question]:
    questions = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            record = parse_json(line)
        except ValueError:
            raise DataError(f"{path} is damaged: line {number} is not JSON.") from None
        questions.append(_question(path, f"line {number}", record, "question", "answer"))
    return questions


def _read_web(path: Path) -> list[Question]:
    try:
        records = parse_json(read_text(path))
    except ValueError:
        raise DataError(f"{path} is damaged: it is not JSON.") from None
    if not isinstance(records, list):
        raise DataError(f"{path} is damaged: it is not a list of questions.")
    return [_question(path, f"question {i}", record, "qText", "answers") for i, record in enumerate(records, start=1)]


FORMATS: Mapping[str, Format] = {
    "nq": Format(
        ("NQ-open.dev.jsonl", "nq_open/NQ-open.dev.jsonl"),
        HubData("google-research-datasets/nq_open", "nq_open", "validation"),
        3610,
        _read_natural,
        ("question", "answer"),
    ),
    "webqs": Format(
        ("webquestions.examples.test.json", "webquestions/test.json"),
        HubData("stanfordnlp/web_questions", "default", "test"),
        2032,
        _read_web,
        ("question", "answers"),
    ),
}

PRESETS: Mapping[str, Mapping[str, QuestionSettings]] = {
    "nq": {
        "paper": QuestionSettings(),
        "lm-eval": QuestionSettings(rule="lm-eval", shots=0, max_new_tokens=256),
    },
    "webqs": {
        "lm-eval": QuestionSettings(rule="greedy", shots=0),
        "written": QuestionSettings(),
    },
}
