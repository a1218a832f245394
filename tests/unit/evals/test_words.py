"""The likeliest whole word: against every word that a small vocabulary can spell in a few tokens."""

from __future__ import annotations

import numpy as np

from gpt2lab import LanguageModel
from gpt2lab.evals.requests import NextWord, Word
from gpt2lab.evals.scorer import Scorer
from gpt2lab.evals.words import TokenKinds, likeliest_word

CONTEXT = "The old sailor walked slowly to the"


def probability(lm: LanguageModel, context: list[int], ids: list[int], kinds: TokenKinds) -> float:
    """Return log p(ids) plus the log-probability that the word ends behind them, in double precision."""
    logits = lm.backend.forward([lm.backend.new_cache()], [np.asarray([*context, *ids], np.int32)], all_positions=True)
    rows = logits.astype(np.float64)
    rows -= np.log(np.exp(rows - rows.max(1, keepdims=True)).sum(1, keepdims=True)) + rows.max(1, keepdims=True)
    spelt = sum(rows[len(context) - 1 + i, token] for i, token in enumerate(ids))
    return float(spelt + np.log(np.exp(rows[-1][~kinds.goes_on]).sum()))


def words_of_two(lm: LanguageModel, kinds: TokenKinds, context: list[int]) -> dict[str, float]:
    """Return every word of one or two tokens whose first is among the likely ones, with its log-probability."""
    assert lm.tokenizer is not None
    found: dict[str, float] = {}
    logits = lm.backend.forward([lm.backend.new_cache()], [np.asarray(context, np.int32)])[0]
    begins = np.flatnonzero(kinds.begins)
    for first in begins[np.argsort(-logits[begins])][:25].tolist():
        spellings = [[first], *([first, second] for second in np.flatnonzero(kinds.goes_on).tolist()[::4])]
        for ids in spellings:
            word = lm.tokenizer.decode_bytes(ids)[1:].decode("utf-8", "replace")
            found[word] = max(found.get(word, -np.inf), probability(lm, context, ids, kinds))
    return found


def test_no_word_is_likelier(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    kinds = TokenKinds(lm.tokenizer, lm.config.vocab_size)
    context = lm.tokenizer.encode(CONTEXT)
    others = words_of_two(lm, kinds, context)
    banned: list[str] = []
    for _ in range(3):
        word, logprob = likeliest_word(lm.backend, kinds, np.asarray(context, np.int32), banned, 500)
        assert word and word not in banned
        assert logprob >= max(p for other, p in others.items() if other not in banned) - 1e-4
        if word in others:
            assert abs(others[word] - logprob) < 1e-3
        banned.append(word)


def test_a_word_is_made_of_letters_and_ends(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    kinds = TokenKinds(lm.tokenizer, lm.config.vocab_size)
    for i in range(lm.tokenizer.vocab_size):
        token = lm.tokenizer.token_bytes(i)
        if kinds.begins[i]:
            assert token[:1] == b" " and not kinds.goes_on[i]
        if kinds.goes_on[i]:
            assert not token[:1].isspace()
    assert not kinds.goes_on[lm.bos_id()]
    for text, begins, goes_on in ((" the", True, False), (".", False, False), ("e", False, True), (" ", False, False)):
        (token_id,) = lm.tokenizer.encode(text)
        assert (kinds.begins[token_id], kinds.goes_on[token_id]) == (begins, goes_on)


def test_nothing_is_found_without_a_search(lm: LanguageModel) -> None:
    (answer,) = Scorer(lm).answer([NextWord(CONTEXT, width=0)])
    assert answer == Word("", -np.inf)
