"""Where words end, in tokens of bytes."""

from __future__ import annotations

import pytest

from gpt2lab.lm.words import word_goes_on, word_masks
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.bytemap import byte_characters, to_characters

PIECES = [" sea", "son", "'s", "'", ".", "\n", " ", "é", "ï".encode()[:1], "7", "海", "海".encode()[:2], "ng", " ng"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    vocab = {character: i for i, character in enumerate(byte_characters())}
    for piece in PIECES:
        spelt = to_characters(piece.encode() if isinstance(piece, str) else piece)
        vocab.setdefault(spelt, len(vocab))
    return Tokenizer.from_vocab(vocab, [])


def ids(tokenizer: Tokenizer, *pieces: str | bytes) -> list[int]:
    spelt = [to_characters(p.encode() if isinstance(p, str) else p) for p in pieces]
    return [tokenizer.vocab[s] for s in spelt]


def going_on(tokenizer: Tokenizer, *pieces: str | bytes) -> set[str | bytes] | None:
    """Return those of PIECES that go on with a word, None where it is whole."""
    masks = word_masks(tokenizer, tokenizer.vocab_size + 5)
    mask = word_goes_on(tokenizer, masks)(ids(tokenizer, *pieces))
    return None if mask is None else {p for p in PIECES if mask[ids(tokenizer, p)[0]]}


def test_letters_digits_and_apostrophes_go_on(tokenizer: Tokenizer) -> None:
    expected = {"son", "'s", "é", b"\xc3", "7", "ng"}
    assert going_on(tokenizer, " sea") == expected
    assert going_on(tokenizer, " sea", "son") == expected


@pytest.mark.parametrize("piece", [".", "\n", " ", "'", "海"])
def test_everything_else_is_whole(tokenizer: Tokenizer, piece: str) -> None:
    assert going_on(tokenizer, piece) is None


def test_a_character_that_is_begun_goes_on_with_its_bytes(tokenizer: Tokenizer) -> None:
    masks = word_masks(tokenizer, tokenizer.vocab_size)
    mask = word_goes_on(tokenizer, masks)(ids(tokenizer, "海".encode()[:2]))
    assert mask is not None
    assert {tokenizer.token_bytes(i)[0] for i in mask.nonzero()[0]} == set(range(0x80, 0xC0))
