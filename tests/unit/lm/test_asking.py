"""Tasks by prompt: the bytes the model reads are the paper's, what does not fit goes by one rule, the rest counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.asking import Choice, answer, choose, summarize, translate
from gpt2lab.lm.prompts import (
    QUESTIONS,
    TRANSLATIONS,
    dialogue_prompt,
    question_prompt,
    summary_prompt,
    translation_prompt,
)
from gpt2lab.metrics.texts import sentences


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def small(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


def test_the_forms_byte_for_byte() -> None:
    assert (
        translation_prompt([("A cat.", "Un chat."), ("Yes.", "Oui.")], "No.") == "A cat. = Un chat.\nYes. = Oui.\nNo. ="
    )
    assert translation_prompt([], "No.") == "No. ="
    assert summary_prompt("It rained.\n\n") == "It rained.\nTL;DR:"
    assert summary_prompt("It rained.", "") == "It rained."
    assert question_prompt([("who am i", "you")], "why? ") == "Q: who am i?\nA: you\n\nQ: why?\nA:"
    assert (
        dialogue_prompt("A cat sat.", [("Who?", "A cat")], "Where?") == "A cat sat.\n\nQ: Who?\nA: A cat\nQ: Where?\nA:"
    )
    assert (len(TRANSLATIONS), len(QUESTIONS)) == (8, 8)


def test_a_translation_is_greedy_and_its_first_sentence(lm: LanguageModel) -> None:
    reply = translate(lm, " The cat sleeps. ")
    assert reply.prompt == translation_prompt(TRANSLATIONS[:5], "The cat sleeps.")
    assert (reply.examples, reply.cut) == (5, 0)
    plain = lm.generate(reply.prompt, max_new_tokens=100, stop="\n", temperature=0, top_k=0, repetition_penalty=1.0)[0]
    assert reply.written == plain.text
    assert reply.text == sentences(plain.text.strip())[0]
    assert reply.probability == pytest.approx(math.exp(sum(plain.logprobs)))
    assert translate(lm, "The cat sleeps.", first_sentence=False).text == plain.text.strip()
    assert translate(lm, "La mer.", examples=[("Oui.", "Yes.")]).prompt == "Oui. = Yes.\nLa mer. ="


def test_examples_go_first_then_the_beginning(lm: LanguageModel) -> None:
    sentence = "the old sailor walked slowly to the harbour " * 30
    reply = translate(lm, sentence)
    assert 0 <= reply.examples < 5 and reply.cut == 0
    assert reply.prompt == translation_prompt(TRANSLATIONS[5 - reply.examples : 5], sentence.strip())
    longer = translate(lm, sentence * 3)
    whole = translation_prompt([], (sentence * 3).strip())
    assert longer.examples == 0 and longer.cut > 0
    assert whole.endswith(longer.prompt) and longer.prompt.endswith(" =")
    assert lm.tokenizer is not None
    assert len(lm.tokenizer.encode(whole)) - longer.cut == lm.config.n_positions - 100


def test_a_summary_keeps_its_hint_and_three_sentences(lm: LanguageModel) -> None:
    text = "The sea was calm. " * 300
    reply = summarize(lm, text, seed=4)
    assert reply.prompt.endswith("The sea was calm.\nTL;DR:") and reply.cut > 0
    drawn = lm.generate(reply.prompt, max_new_tokens=100, temperature=1, top_k=2, repetition_penalty=1.0, seed=4)[0]
    assert reply.written == drawn.text
    assert reply.text == " ".join(sentences(drawn.text)[:3])
    assert summarize(lm, "The sea was calm.", seed=4, sentences=1).text == sentences(
        summarize(lm, "The sea was calm.", seed=4).written
    )[0]  # fmt: skip
    without = summarize(lm, "The sea was calm.", hint="", top_k=1)
    assert without.prompt == "The sea was calm."


def test_answers_about_a_text_and_without_one(lm: LanguageModel) -> None:
    reply = answer(lm, "Where did it sit?", text="A cat sat on the mat.", turns=[("Who?", "A cat")])
    assert reply.prompt == "A cat sat on the mat.\n\nQ: Who?\nA: A cat\nQ: Where did it sit?\nA:"
    assert "\n" not in reply.written and reply.text == reply.written.strip()
    closed = answer(lm, "who wrote hamlet?")
    assert closed.prompt == question_prompt(QUESTIONS[:5], "who wrote hamlet")
    long = answer(lm, "Where?", text="A cat sat on the mat. " * 300)
    assert long.cut > 0 and long.prompt.endswith("\n\nQ: Where?\nA:")


def test_a_model_without_a_tokenizer_is_told_so(small: LanguageModel) -> None:
    bare = LanguageModel(small.backend, None, source="x")
    for call in (lambda: translate(bare, "a", max_new_tokens=8), lambda: choose(bare, "a", ["b", "c"])):
        with pytest.raises(CheckpointError, match="A task by prompt needs a tokenizer, but x has none"):
            call()


def test_what_cannot_be_asked(small: LanguageModel) -> None:
    for call, said in (
        (lambda: translate(small, "x"), "100 new tokens leave no room for a prompt in the model's window of 64."),
        (lambda: translate(small, " "), "The sentence is empty"),
        (lambda: translate(small, "a\nb"), "A sentence stands on one line"),
        (lambda: summarize(small, " \n"), "There is no text to summarise"),
        (lambda: summarize(small, "x", sentences=0), "sentences = 0 must be at least 1."),
        (lambda: answer(small, "x", turns=[("a", "b")]), "Questions asked before need the text"),
        (lambda: answer(small, "x", max_new_tokens=8, topk=3), "Unknown option 'topk'. Did you mean 'top_k'?"),
        (lambda: choose(small, "x", ["a"]), "There is nothing to choose from 1 option(s)"),
        (lambda: choose(small, "x", ["a", ""]), "An option is empty"),
        (lambda: choose(small, "x", ["a", "b"], rule="most"), "rule = 'most' is not one of 'sum', 'mean'"),  # type: ignore[arg-type]
        (lambda: choose(small, "x", ["a", "b"], rule="partial"), "rule = 'partial' measures what stands behind"),
    ):
        with pytest.raises(RequestError) as error:
            call()
        assert str(error.value).startswith(said)


def sums(lm: LanguageModel, context: str, text: str) -> tuple[float, int]:
    """The log-probability of a text behind a context, token by token, and how many tokens it has."""
    assert lm.tokenizer is not None
    before, whole = (lm.tokenizer.encode(t) for t in (context, context + text))
    scores = lm.score(token_ids=whole, bos=False)
    return float(np.sum(scores.logprobs[len(before) :], dtype=np.float64)), len(whole) - len(before)


def test_the_rules_of_choosing(small: LanguageModel) -> None:
    context, options, behind = "the night train", [" waited", " had never seen seven green apples"], " for my sister"
    by_sum = choose(small, context, options, behind=behind)
    expected = [sums(small, context, option + behind) for option in options]
    assert by_sum.scores == pytest.approx([s for s, _ in expected], abs=1e-3)
    assert by_sum.best == int(np.argmax([s for s, _ in expected]))
    mean = choose(small, context, options, behind=behind, rule="mean")
    assert mean.scores == pytest.approx([s / n for s, n in expected], abs=1e-3)
    characters = choose(small, context, options, behind=behind, rule="characters")
    assert characters.scores == pytest.approx(
        [s / len(o) for (s, _), o in zip(expected, options, strict=True)], abs=1e-3
    )
    partial = choose(small, context, options, behind=behind, rule="partial")
    assert partial.scores == pytest.approx([sums(small, context + o, behind)[0] for o in options], abs=1e-3)
    assert sum(by_sum.shares) == pytest.approx(1.0)
    assert choose(small, "x", ["a", "a"]).best == 0
    assert Choice(1, (-2.0, -1.0)).shares == pytest.approx((1 / (1 + math.e), math.e / (1 + math.e)))


def test_a_context_of_nothing_begins_a_text(small: LanguageModel) -> None:
    found = choose(small, "", ["the night", "a cat"])
    for text, score in zip(("the night", "a cat"), found.scores, strict=True):
        assert score == pytest.approx(small.score(text).log_likelihood, abs=1e-3)
