"""GPT-1's input shapes as ids: what stands where, what is cut, where tags and answers are read."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.apps.transfer.encode import (
    DELIMITER,
    EXTRACT,
    START,
    Encoder,
    shortened,
    span_target,
    tag_target,
    with_tokens,
)
from gpt2lab.apps.transfer.items import Answer, Item
from gpt2lab.data.batches import IGNORE
from gpt2lab.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def plain(random_model: Path) -> Tokenizer:
    return Tokenizer.from_folder(random_model)


@pytest.fixture(scope="module")
def tokenizer(plain: Tokenizer) -> Tokenizer:
    return with_tokens(plain)


def shown(tokenizer: Tokenizer, shape: str, *texts: str, window: int = 64) -> list[str]:
    (encoded,) = Encoder(tokenizer, shape, window).encode([Item("t", texts, None)])  # type: ignore[arg-type]
    return [tokenizer.decode(ids.tolist()) for ids in encoded.sequences]


def test_the_tokens_stand_behind_all_others(plain: Tokenizer, tokenizer: Tokenizer) -> None:
    ids = [tokenizer.id_of(name) for name in (START, DELIMITER, EXTRACT)]
    assert ids == list(range(plain.vocab_size, plain.vocab_size + 3))
    assert with_tokens(tokenizer) is tokenizer
    assert tokenizer.encode(START) == plain.encode(START)  # in a text they are text


def test_every_shape_is_the_one_of_the_paper(tokenizer: Tokenizer) -> None:
    s, d, e = START, DELIMITER, EXTRACT
    assert shown(tokenizer, "classification", "a cat") == [f"{s}a cat{e}"]
    assert shown(tokenizer, "entailment", "a cat", "my sister") == [f"{s}a cat{d}my sister{e}"]
    assert shown(tokenizer, "similarity", "a", "b") == [f"{s}a{d}b{e}", f"{s}b{d}a{e}"]
    assert shown(tokenizer, "choice", "a", "b", "c", "d") == [f"{s}a{d}{x}{e}" for x in "bcd"]
    assert shown(tokenizer, "tags", "a", "grey", "cat") == [f"{s}a grey cat{e}"]
    assert shown(tokenizer, "span", "who?", "a cat") == [f"{s}who?{d}a cat{e}"]


def test_a_vocabulary_of_transformers_does_without(plain: Tokenizer) -> None:
    assert shown(plain, "entailment", "a cat", " sleeps") == ["a cat sleeps"]


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [((3, 4, 7), (3, 4)), ((9, 4, 7), (4, 3)), ((4, 9, 7), (3, 4)), ((9, 8, 7), (4, 3)), ((8, 9, 7), (3, 4)),
     ((9, 9, 8), (4, 4)), ((1, 99, 9), (1, 8))],
)  # fmt: skip
def test_the_longer_text_is_cut(lengths: tuple[int, int, int], kept: tuple[int, int]) -> None:
    assert shortened(*lengths) == kept


def test_nothing_is_longer_than_the_window(tokenizer: Tokenizer) -> None:
    long = "the old sailor walked slowly to the harbour. " * 9
    for shape, texts in (
        ("classification", (long,)), ("entailment", (long, "a cat")), ("similarity", (long, long)),
        ("choice", (long, "a", "b")), ("tags", tuple(long.split())), ("span", (long, long)),
    ):  # fmt: skip
        (encoded,) = Encoder(tokenizer, shape, 20).encode([Item("t", texts, None)])  # type: ignore[arg-type]
        assert encoded.cut
        assert all(len(ids) <= 20 for ids in encoded.sequences)
        assert all(ids[-1] == tokenizer.id_of(EXTRACT) for ids in encoded.sequences)
    assert not Encoder(tokenizer, "classification", 20).encode([Item("t", ("a",), None)])[0].cut


def test_a_tag_is_read_where_its_word_ends(tokenizer: Tokenizer) -> None:
    words = ("harbour", "a", "xyzzy")
    (encoded,) = Encoder(tokenizer, "tags", 64).encode([Item("t", words, None)])
    (ids,) = encoded.sequences
    cuts = [0, *encoded.places.tolist()]
    assert [tokenizer.decode(ids[a + 1 : b + 1].tolist()) for a, b in itertools.pairwise(cuts)] == [
        "harbour", " a", " xyzzy",
    ]  # fmt: skip
    target = tag_target(encoded, [5, 6, 7])
    assert target[encoded.places].tolist() == [5, 6, 7]
    assert (target != IGNORE).sum() == 3


def test_an_answer_is_where_its_characters_are(tokenizer: Tokenizer) -> None:
    context = "naïve plans, a grey cat, seven green apples!"
    (encoded,) = Encoder(tokenizer, "span", 64).encode([Item("t", ("who?", context), None)])
    found = span_target(encoded, Answer("grey cat", context.index("grey cat")))
    assert found is not None
    (ids,) = encoded.sequences
    assert tokenizer.decode(ids[found[0] : found[1] + 1].tolist()).strip() == "grey cat"
    first, last = (int(np.flatnonzero(encoded.places == place)[0]) for place in found)
    assert context[encoded.spans[first][0] : encoded.spans[last][1]].strip() == "grey cat"
    (short,) = Encoder(tokenizer, "span", 12).encode([Item("t", ("who?", context), None)])
    assert span_target(short, Answer("apples!", context.index("apples!"))) is None
