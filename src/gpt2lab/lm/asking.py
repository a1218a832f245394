"""Tasks by prompt alone: translate, summarise, answer, choose, with a model that was trained for none of them.

The prompts are those of lm/prompts.py. What does not fit the model's window beside the answer is left out by one rule:
examples go first, the earliest first; then the text loses its beginning, so that what asks (the hint, the question,
"=") always stands. The checkpoint's own sampling settings are left aside.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from gpt2lab.engine.likelihood import likelihoods
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.pairs import text_pairs
from gpt2lab.lm.prompts import (
    HINT,
    QUESTIONS,
    TRANSLATIONS,
    Pairs,
    dialogue_prompt,
    question_prompt,
    summary_prompt,
    translation_prompt,
)
from gpt2lab.metrics.texts import sentences as sentences_of
from gpt2lab.tokenizer import Tokenizer

SHOTS = 5
"""Examples before a sentence or a question when none are given."""

Rule = Literal["sum", "mean", "characters", "partial"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote.

    text: the part of it that counts. written: all of it. prompt: what it read, as text. examples: how many stood before
    it. cut: tokens of the beginning that did not fit. probability: of all that was written, by the model.
    """

    text: str
    written: str
    prompt: str
    examples: int
    cut: int
    probability: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which option is the likeliest: its number, from 0, and the score of each, a log-probability or a mean of them."""

    best: int
    scores: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """The scores as probabilities that add up to 1."""
        highest = max(self.scores)
        masses = [math.exp(score - highest) for score in self.scores]
        return tuple(mass / sum(masses) for mass in masses)


def translate(
    lm: LanguageModel,
    sentence: str,
    *,
    examples: Pairs = TRANSLATIONS[:SHOTS],
    first_sentence: bool = True,
    max_new_tokens: int = 100,
    **options: Any,
) -> Reply:
    """Return a translation of a sentence, by examples of (sentence, translation); English to French by default.

    Greedy; what is written until the end of the line counts, of it the first sentence. `options` are those of
    `LanguageModel.generate`. Raises `RequestError`.
    """
    asked = _one_line("sentence", sentence)
    reply = _reply(
        lm, lambda n: translation_prompt(examples[n:], asked), len(examples), ("\n",), max_new_tokens, options
    )
    given = reply.written.strip()
    return _counted(reply, next(iter(sentences_of(given)), "") if first_sentence else given)


def summarize(
    lm: LanguageModel,
    text: str,
    *,
    hint: str = HINT,
    sentences: int = 3,
    top_k: int = 2,
    seed: int = 0,
    max_new_tokens: int = 100,
    **options: Any,
) -> Reply:
    """Return a summary of a text: of 100 tokens, each drawn from the two likeliest, the first three sentences.

    `hint` "" leaves out what asks for a summary, as the paper did to see what it is worth. Raises `RequestError`.
    """
    if sentences < 1:
        raise RequestError(f"sentences = {sentences} must be at least 1.")
    if not text.strip():
        raise RequestError("There is no text to summarise; give at least a word.")
    drawn = {"temperature": 1.0, "top_k": top_k, "seed": seed, **options}
    reply = _reply(lm, lambda _: summary_prompt(text, hint), 0, (), max_new_tokens, drawn)
    return _counted(reply, " ".join(sentences_of(reply.written)[:sentences]))


def answer(
    lm: LanguageModel,
    question: str,
    *,
    text: str = "",
    turns: Pairs = (),
    examples: Pairs = QUESTIONS[:SHOTS],
    max_new_tokens: int = 32,
    **options: Any,
) -> Reply:
    """Return an answer to a question, about `text` if there is one, else from what the model knows.

    `turns` are questions about the text asked before, with their answers; `examples` are for questions without a text.
    Greedy; what is written until the end of the line counts. Raises `RequestError`.
    """
    asked = _one_line("question", question)
    if turns and not text.strip():
        raise RequestError("Questions asked before need the text that they are about.")
    if text.strip():
        reply = _reply(lm, lambda _: dialogue_prompt(text, turns, asked), 0, ("\n",), max_new_tokens, options)
    else:
        shown = len(examples)
        reply = _reply(lm, lambda n: question_prompt(examples[n:], asked), shown, ("\n",), max_new_tokens, options)
    return _counted(reply, reply.written.strip())


def choose(lm: LanguageModel, context: str, options: Sequence[str], *, behind: str = "", rule: Rule = "sum") -> Choice:
    """Return which option is the likeliest behind `context`, with `behind` after it.

    Options are texts as they stand there, their blank in front included. rule: "sum", the log-probability of option and
    what is behind; "mean", that per token; "characters", per character of the option; "partial", of what is behind
    alone, given the option (Trinh and Le 2018). Among equals the first. Raises `RequestError`.
    """
    if rule not in get_args(Rule):
        raise RequestError(f"rule = {rule!r} is not one of {', '.join(map(repr, get_args(Rule)))}.")
    if len(options) < 2:
        raise RequestError(f"There is nothing to choose from {len(options)} option(s); give at least two.")
    if not all(options):
        raise RequestError("An option is empty; give each at least one character.")
    if rule == "partial" and not behind:
        raise RequestError("rule = 'partial' measures what stands behind the options: give that too.")
    if rule == "partial":
        parted = [context + option for option in options], [behind] * len(options)
    else:
        parted = [context] * len(options), [option + behind for option in options]
    pairs = text_pairs(_tokenizer(lm), lm.bos_id, *parted)
    scores = [0.0] * len(options)
    for number, found in likelihoods(lm.backend, pairs, lm.prefixes):
        units = {"mean": len(found.logprobs), "characters": len(options[number])}.get(rule, 1)
        scores[number] = float(found.logprobs.sum(dtype=np.float64)) / units
    return Choice(max(range(len(scores)), key=scores.__getitem__), tuple(scores))


def _one_line(what: str, text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise RequestError(f"The {what} is empty; give at least a word.")
    if "\n" in stripped:
        raise RequestError(f"A {what} stands on one line, which its end ends; give each by itself.")
    return stripped


def _reply(
    lm: LanguageModel,
    prompt: Callable[[int], str],
    examples: int,
    stop: Sequence[str],
    max_new_tokens: int,
    options: dict[str, Any],
) -> Reply:
    """Return what the model writes behind `prompt(n)`, a prompt without its first n of so many examples."""
    tokenizer = _tokenizer(lm)
    plain = LanguageModel(lm.backend, tokenizer, source=lm.source, prefixes=lm.prefixes)
    room = lm.config.n_positions - max_new_tokens
    if room < 1:
        raise RequestError(
            f"{max_new_tokens} new tokens leave no room for a prompt in the model's window of {lm.config.n_positions}."
        )
    left_out = 0
    ids = tokenizer.encode(prompt(0))
    while len(ids) > room and left_out < examples:
        left_out += 1
        ids = tokenizer.encode(prompt(left_out))
    cut = max(len(ids) - room, 0)
    kept = ids[cut:]
    drawn: dict[str, Any] = {"temperature": 0.0, "seed": 0, **options}
    (made,) = plain.generate(token_ids=kept, stop=list(stop), max_new_tokens=max_new_tokens, **drawn)
    return Reply(
        text="",
        written=made.text,
        prompt=tokenizer.decode(kept),
        examples=examples - left_out,
        cut=cut,
        probability=math.exp(min(0.0, math.fsum(made.logprobs))),
    )


def _tokenizer(lm: LanguageModel) -> Tokenizer:
    if lm.tokenizer is None:
        raise CheckpointError(f"A task by prompt needs a tokenizer, but {lm.source} has none.")
    return lm.tokenizer


def _counted(reply: Reply, text: str) -> Reply:
    return dataclasses.replace(reply, text=text)
