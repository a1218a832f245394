"""The Children's Book Test: which of ten words is left out of the sentence after twenty others.

Hill et al. 2016. As the GPT-2 paper has it (section 3.2): the choice is the one with which the choice and the rest of
the sentence are likeliest, after a de-tokenizer, on the validation set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt2lab.errors import DataError
from gpt2lab.evals.figures import percent
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Likely, LogLikelihood, Request
from gpt2lab.evals.styles import CBT
from gpt2lab.evals.task import Provenance, Task
from gpt2lab.files import sha256_of
from gpt2lab.metrics.bootstrap import Row

GAP = "XXXXX"
COUNTS = {"validation": 2000, "test": 2500}
"""Questions of each split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CbtSettings:
    """How the question is asked. split: "validation" (the paper's) or "test"; between: what stands between sentences;
    bos: whether the book begins after <|endoftext|>."""

    split: Literal["validation", "test"] = "validation"
    between: str = " "
    bos: bool = True


@dataclass(frozen=True, slots=True)
class Cloze:
    """Twenty sentences, one with a gap, the choices and the right one of them, all in the corpus' tokens."""

    sentences: tuple[str, ...]
    question: str
    choices: tuple[str, ...]
    answer: str


_KINDS = {"cbt-cn": "CN", "cbt-ne": "NE"}
PRESETS: Mapping[str, Mapping[str, CbtSettings]] = {name: {"paper": CbtSettings()} for name in _KINDS}


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Cloze]:
    """Return one of the two tests; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Cbt(name, preset, config, place)


class Cbt(Task[Cloze]):
    """A document is a question."""

    settings: CbtSettings

    def __init__(self, name: str, preset: str, settings: CbtSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place
        self.figures, self.main = {"accuracy": percent("correct")}, "accuracy"

    def load(self, limit: int | None = None) -> tuple[Sequence[Cloze], Provenance]:
        """See `Task.load`."""
        kind, split = _KINDS[self.name], self.settings.split
        file = f"cbtest_{kind}_{'valid_2000ex' if split == 'validation' else 'test_2500ex'}.txt"
        path = self._place.find("cbt", (file, f"CBTest/data/{file}"), HubData("cam-cst/cbt", kind, split))
        documents = _from_parquet(path) if is_parquet(path) else _from_text(path)
        counts = {"questions": len(documents)}
        official = check_counts(path, counts, {"questions": COUNTS[split]}, refuse=self._place.official)
        return documents[:limit], Provenance(str(path), sha256_of(path), official, counts)

    def requests(self, document: Cloze) -> Sequence[Request]:
        """See `Task.requests`."""
        before = self.settings.between.join(CBT.detokenize(_single(s)) for s in document.sentences)
        filled = [CBT.detokenize(_single(document.question.replace(GAP, choice, 1))) for choice in document.choices]
        shared = _beginning(filled)
        context = f"{before}{self.settings.between}{shared}".rstrip(" ") if shared else before
        wholes = [f"{before}{self.settings.between}{sentence}" for sentence in filled]
        return [LogLikelihood(context, whole[len(context) :], bos=self.settings.bos) for whole in wholes]

    def rows(self, document: Cloze, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        scores = [answer.logprob for answer in answers if isinstance(answer, Likely)]
        right = document.choices[int(np.argmax(scores))] == document.answer
        return [{"questions": 1.0, "correct": float(right)}]


def _beginning(texts: Sequence[str]) -> str:
    """Return what all texts begin with, cut behind a word."""
    different = next((i for i, signs in enumerate(zip(*texts, strict=False)) if len(set(signs)) > 1), len(texts[0]))
    return texts[0][: texts[0].rfind(" ", 0, different + 1) + 1].removesuffix(" ")


def _single(text: str) -> str:
    """Return a line with one blank between its tokens."""
    return " ".join(text.split())


def _from_text(path: Path) -> list[Cloze]:
    """Read the authors' files: twenty numbered lines, the 21st with answer and choices behind tabs, an empty one."""
    found = []
    for number, block in enumerate(read_text(path).strip("\n").split("\n\n"), 1):
        lines = [line.partition(" ")[2] for line in block.split("\n")]
        question, *rest = lines[-1].split("\t")
        choices = tuple(rest[-1].split("|")) if rest else ()
        answer = rest[0] if rest else ""
        if len(lines) != 21 or GAP not in question or answer not in choices:
            raise DataError(
                f"{path} is damaged: question {number} is not twenty sentences, one with {GAP}, an answer and choices."
            )
        found.append(Cloze(tuple(lines[:-1]), question, choices, answer))
    return found


def _from_parquet(path: Path) -> list[Cloze]:
    rows = parquet_rows(path, ["sentences", "question", "answer", "options"])
    return [Cloze(tuple(r["sentences"]), r["question"], tuple(r["options"]), r["answer"]) for r in rows]
