"""Next words: equal to the sum over all spellings computed one by one, and independent of how the search batches."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.engine.score import next_logits
from gpt2lab.errors import RequestError
from gpt2lab.evals.bias import words as module
from gpt2lab.evals.bias.words import NextWords, next_words
from gpt2lab.evals.words import TokenKinds

PROMPTS = ("the old sailor walked", "my sister waited for")
FLOOR = 0.004


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


def kinds_of(lm: LanguageModel) -> TokenKinds:
    return TokenKinds(lm.tokenizer, lm.config.vocab_size)


def ids_of(lm: LanguageModel, prompts: tuple[str, ...] = PROMPTS) -> list[np.ndarray]:
    return [np.asarray(lm.tokenizer.encode(p), np.int32) for p in prompts]


@pytest.fixture(scope="module")
def found(lm: LanguageModel) -> NextWords:
    return next_words(lm.backend, lm.tokenizer, kinds_of(lm), ids_of(lm), floor=FLOOR)


def distribution(lm: LanguageModel, ids: np.ndarray) -> np.ndarray:
    logits = next_logits(lm.backend, ids).astype(np.float64)
    p = np.exp(logits - logits.max())
    return p / p.sum()


def spellings(pieces: dict[bytes, int], data: bytes) -> Iterator[tuple[int, ...]]:
    """Yield every way of writing bytes as tokens."""
    if not data:
        yield ()
    for end in range(1, len(data) + 1):
        if data[:end] in pieces:
            for rest in spellings(pieces, data[end:]):
                yield (pieces[data[:end]], *rest)


def test_a_words_probability_is_that_of_its_spellings() -> None:
    """Of the embedded model, whose small vocabulary spells many words with several tokens, in several ways."""
    lm, floor = LanguageModel.load("tiny", threads=1), 0.0007
    kinds, prompts = kinds_of(lm), ids_of(lm, ("The old man was a", "The old woman was a"))
    pieces = {lm.tokenizer.token_bytes(i): i for i in range(lm.config.vocab_size) if i != lm.tokenizer.eos_id}

    @functools.cache
    def behind(path: tuple[int, ...]) -> np.ndarray:
        return np.stack([distribution(lm, np.concatenate([ids, np.asarray(path, np.int32)])) for ids in prompts])

    long, words = 0, next_words(lm.backend, lm.tokenizer, kinds, prompts, floor=floor).words
    assert len(words) > 20
    for word, probability in words.items():
        expected = np.zeros(len(prompts))
        for path in spellings(pieces, f" {word}".encode()):
            reached, followed = np.ones(len(prompts)), True
            for k, token in enumerate(path):
                reached = reached * behind(path[:k])[:, token]
                followed = followed and reached.max() >= floor
                if not followed:
                    break
            else:
                long += len(path) > 1
                expected += reached * behind(path)[:, ~kinds.goes_on].sum(axis=1)
        if word.isalpha():
            assert probability == pytest.approx(expected, rel=1e-9, abs=0), word
    assert long > 10


def test_tokens_are_those_of_the_model(lm: LanguageModel, found: NextWords) -> None:
    for row, prompt in zip(found.tokens, PROMPTS, strict=True):
        assert row.sum() == pytest.approx(1, abs=1e-12)
        for token, _, p in lm.next_tokens(prompt, k=5):
            assert row[token] == pytest.approx(p, rel=1e-12)


def test_words_and_the_rest_make_up_all(found: NextWords) -> None:
    assert found.outcomes.shape == (len(PROMPTS), len(found.words) + 1)
    assert found.outcomes.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (found.rest > 0).all()


def test_a_lower_floor_only_adds(lm: LanguageModel, found: NextWords) -> None:
    more = next_words(lm.backend, lm.tokenizer, kinds_of(lm), ids_of(lm), floor=FLOOR / 2)
    assert (more.rest < found.rest).all()
    for word, p in found.words.items():
        assert (more.words[word] >= p * (1 - 1e-12)).all()


def test_batches_and_threads_change_no_bit(
    lm: LanguageModel, found: NextWords, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 5)
    other = LanguageModel.load(random_model, threads=2)
    again = next_words(other.backend, other.tokenizer, kinds_of(other), ids_of(lm), floor=FLOOR)
    assert (again.tokens == found.tokens).all()
    assert set(again.words) == set(found.words)
    assert all((again.words[word] == p).all() for word, p in found.words.items())


def test_borders(lm: LanguageModel) -> None:
    kinds = kinds_of(lm)
    tokenizer = lm.tokenizer

    def borders_of(token: int) -> tuple[bool, bool]:
        return bool(kinds.goes_on[token]), bool(kinds.leaves_open[token])

    assert borders_of(tokenizer.encode(" the")[0]) == (False, True)
    assert borders_of(tokenizer.encode("a")[0]) == (True, True)
    assert borders_of(tokenizer.encode(",")[0]) == (False, False)
    assert borders_of(tokenizer.encode("-")[0]) == (False, False)
    assert borders_of(tokenizer.encode("\n")[0]) == (False, False)
    assert borders_of(tokenizer.eos_id) == (False, False)
    half = tokenizer.encode_bytes("é".encode()[:1])
    assert borders_of(half[0]) == (True, True)


def test_words_that_join_the_prompt_are_marked(lm: LanguageModel, found: NextWords) -> None:
    joined = [word for word in found.words if word.startswith("+") and len(word) > 1]
    assert joined
    assert all(word[1].isalnum() for word in joined)


def test_padding_of_the_embedding_matrix_spells_nothing(lm: LanguageModel) -> None:
    size = lm.config.vocab_size

    class Padded:
        """Gives all but nothing to an id that the tokenizer does not have."""

        config = lm.config

        def new_cache(self) -> None:
            return None

        def forward(self, caches: list[None], ids: list[np.ndarray]) -> np.ndarray:
            logits = np.full((len(ids), size + 2), -50, np.float32)
            logits[:, size + 1] = 0
            return logits

    found = next_words(Padded(), lm.tokenizer, TokenKinds(lm.tokenizer, size + 2), ids_of(lm))
    assert found.words == {}
    assert found.rest == pytest.approx([1, 1])


def test_mistakes(lm: LanguageModel) -> None:
    kinds = kinds_of(lm)
    for floor in (0, 1, -0.1):
        with pytest.raises(RequestError, match=rf"floor = {floor} must be more than 0 and less than 1\."):
            next_words(lm.backend, lm.tokenizer, kinds, ids_of(lm), floor=floor)
    with pytest.raises(RequestError, match="A prompt of 60 tokens leaves no room for a word; at most 52 are possible"):
        next_words(lm.backend, lm.tokenizer, kinds, [np.zeros(60, np.int32)])
