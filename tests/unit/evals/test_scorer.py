"""Requests and answers: what the model itself says, in any order, kept and taken up again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import CheckpointError, DataError, RequestError
from gpt2lab.evals.answers import AnswerStore
from gpt2lab.evals.requests import Generate, Likely, LogLikelihood, Request, Rolled, Rolling, Written
from gpt2lab.evals.scorer import Scorer

TEXT = "The old sailor walked slowly to the harbour. A grey cat had never seen an open door.\n" * 6
REQUESTS: list[Request] = [
    LogLikelihood("The old sailor", " waited for seven green apples!"),
    LogLikelihood("The old sailor", " waited"),
    Rolling(TEXT),
    Generate("A grey cat", max_new_tokens=7),
    LogLikelihood("", "My sister"),
    Rolling("Café", bos=False),
    Generate("A grey cat", until=("a", "e"), max_new_tokens=30, options={"top_k": 5, "seed": 3}),
    LogLikelihood("A grey cat", " dreamt", bos=True),
]


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model)


def plain(answer: object) -> object:
    return answer.logprobs.tobytes() if isinstance(answer, Rolled) else answer


def test_a_continuation_is_scored_as_the_end_of_the_whole_text(lm: LanguageModel) -> None:
    (answer,) = Scorer(lm).answer([REQUESTS[0]])
    assert isinstance(answer, Likely)
    whole = lm.score("The old sailor waited for seven green apples!", bos=False)
    n = len(answer.token_ids)
    np.testing.assert_array_equal(np.float32(answer.logprobs), whole.logprobs[-n:])
    assert answer.logprob == float(whole.logprobs[-n:].sum(dtype=np.float64))
    assert answer.greedy == bool((whole.ranks[-n:] == 0).all())


def test_blanks_behind_the_context_belong_to_the_continuation(lm: LanguageModel) -> None:
    scorer = Scorer(lm)
    apart, together, alone, blank = scorer.answer(
        [LogLikelihood("The cat ", "sat"), LogLikelihood("The cat", " sat"), LogLikelihood(" ", "sat"),
         LogLikelihood("", " sat")]
    )  # fmt: skip
    assert apart == together
    assert alone == blank


def test_a_long_text_is_scored_by_its_windows(lm: LanguageModel) -> None:
    n = lm.config.n_positions
    for stride in (n, 20):
        (answer,) = Scorer(lm).answer([Rolling(TEXT, stride=stride, rule="sliding")])
        assert isinstance(answer, Rolled)
        expected = lm.score(TEXT, stride=stride)
        np.testing.assert_array_equal(answer.logprobs, expected.logprobs)
        assert answer.logprob == expected.log_likelihood
        assert answer.counted == len(expected.token_ids)
        assert answer.ends[-1] == len(TEXT.encode())


def test_the_end_of_every_token_is_known_in_bytes(lm: LanguageModel) -> None:
    (answer,) = Scorer(lm).answer([Rolling("Café naïve\udcff!", bos=False)])
    assert isinstance(answer, Rolled)
    data = "Café naïve".encode() + b"\xff!"
    assert lm.tokenizer is not None
    starts = [0, *answer.ends[:-1]]
    for token, start, end in zip(answer.token_ids.tolist(), starts, answer.ends, strict=True):
        assert lm.tokenizer.token_bytes(token) == data[start:end]
    assert np.isnan(answer.logprobs[0]) and answer.counted == len(answer.token_ids) - 1


def test_generated_texts_take_the_likeliest_token_unless_asked_otherwise(lm: LanguageModel) -> None:
    greedy, sampled = Scorer(lm).answer([REQUESTS[3], REQUESTS[6]])
    assert isinstance(greedy, Written) and isinstance(sampled, Written)
    assert greedy.text == lm.generate("A grey cat", max_new_tokens=7, temperature=0.0)[0].text
    expected = lm.generate("A grey cat", max_new_tokens=30, top_k=5, seed=3, stop=["a", "e"])[0]
    assert (sampled.text, list(sampled.token_ids)) == (expected.text, expected.token_ids)
    assert "a" not in sampled.text and "e" not in sampled.text


def test_a_prompt_loses_its_beginning_where_there_is_no_room(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    (answer,) = Scorer(lm).answer([Generate(TEXT, max_new_tokens=10)])
    ids = lm.tokenizer.encode(TEXT)[-(lm.config.n_positions - 10) :]
    expected = lm.generate(token_ids=ids, max_new_tokens=10, temperature=0.0)[0]
    assert isinstance(answer, Written) and list(answer.token_ids) == expected.token_ids


def test_tokens_that_are_left_out_are_named_by_their_text(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    words, tried = TEXT.split(" "), 0
    for n in range(1, 12):
        request = LogLikelihood(" ".join(words[:n]), f" {words[n]}")
        (plain,) = Scorer(lm).answer([request])
        assert isinstance(plain, Likely) and plain.allowed == plain.likeliest
        first = lm.tokenizer.token_text(plain.likeliest[0])
        if lm.tokenizer.encode(first) != [plain.likeliest[0]]:
            continue  # a part of a character, which no text is
        tried += 1
        (answer,) = Scorer(lm).answer([dataclasses.replace(request, without=(first, "two words"))])
        assert isinstance(answer, Likely)
        assert answer.likeliest == plain.likeliest and answer.logprob == plain.logprob
        assert answer.allowed[0] != plain.likeliest[0]
    assert tried


def test_order_and_company_change_nothing(lm: LanguageModel) -> None:
    forward = [plain(a) for a in Scorer(lm).answer(REQUESTS)]
    backward = [plain(a) for a in Scorer(lm).answer(REQUESTS[::-1])]
    alone = [plain(Scorer(lm).answer([request])[0]) for request in REQUESTS]
    assert forward == backward[::-1] == alone


def test_progress_counts_to_the_end(lm: LanguageModel) -> None:
    seen: list[tuple[int, int]] = []
    Scorer(lm, progress=lambda done, total: seen.append((done, total))).answer(REQUESTS)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1] > 0


class Interrupted(Exception):
    pass


def test_answers_are_kept_and_taken_up(lm: LanguageModel, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise Interrupted

    fingerprint = lm.backend.fingerprint()
    with AnswerStore(tmp_path, fingerprint) as store, pytest.raises(Interrupted):
        Scorer(lm, store=store, progress=stop).answer([Rolling(TEXT)])
    with AnswerStore(tmp_path, fingerprint) as store:
        asked: list[int] = []
        answers = Scorer(lm, store=store).answer(REQUESTS)
        again = Scorer(lm, store=store, progress=lambda done, total: asked.append(done)).answer(
            [r for r in REQUESTS if not isinstance(r, Rolling)]
        )
    assert [plain(a) for a in answers] == [plain(a) for a in Scorer(lm).answer(REQUESTS)]
    assert again == [a for a in answers if not isinstance(a, Rolled)]
    assert asked == []


def test_what_was_kept_is_used(lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnswerStore(tmp_path, lm.backend.fingerprint()) as store:
        Scorer(lm, store=store).answer([Rolling(TEXT)])
        monkeypatch.setattr("gpt2lab.evals.scorer.window_logprobs", None)
        Scorer(lm, store=store).answer([Rolling(TEXT)])


def test_models_are_told_apart(lm: LanguageModel, random_model: Path) -> None:
    assert lm.backend.fingerprint() == LanguageModel.load(random_model, threads=1).backend.fingerprint()
    assert lm.backend.fingerprint() != LanguageModel.load(random_model, precision="int8").backend.fingerprint()
    assert lm.backend.fingerprint() != LanguageModel.load().backend.fingerprint()


def test_what_is_wrong_is_said(lm: LanguageModel, tmp_path: Path) -> None:
    scorer = Scorer(lm)
    for request, words in (
        (LogLikelihood("The cat", ""), "There is nothing to measure behind 'The cat'."),
        (Rolling(""), "There is no text to measure"),
        (Rolling("a", stride=65), "stride = 65 must be a whole number from 1 to the model's window of 64"),
        (Generate("a", max_new_tokens=64), "64 new tokens leave no room for a prompt in the model's window of 64"),
    ):
        with pytest.raises(RequestError, match=words):
            scorer.answer([request])
    with pytest.raises(CheckpointError, match=r"An evaluation needs a tokenizer, but x has none"):
        Scorer(LanguageModel(lm.backend, None, source="x")).answer(REQUESTS)
    with AnswerStore(tmp_path, "a") as store:
        path = store.path
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DataError, match=r"cannot keep answers \(.*\); remove it, or evaluate without keeping them"):
        AnswerStore(tmp_path, "a")
