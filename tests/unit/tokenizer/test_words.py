"""Vocabularies of whole words: text and ids, files, and what transformers makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, AddedToken, Vocabulary

NAMES = ["NOTE_ON_60", "NOTE_OFF_60", "##", END_OF_TEXT]


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    ids = {name: i for i, name in enumerate(NAMES)}
    roles = {"bos": END_OF_TEXT, "eos": END_OF_TEXT}
    return Tokenizer(Vocabulary(kind="words", vocab=ids, added=[AddedToken(END_OF_TEXT, 3)], roles=roles))


def test_words_become_their_ids_and_back(words: Tokenizer) -> None:
    assert words.encode(" NOTE_OFF_60  NOTE_ON_60\n## <|endoftext|>") == [1, 0, 2, 3]
    assert words.decode([1, 0, 2, 3]) == "NOTE_OFF_60 NOTE_ON_60 ## <|endoftext|>"
    assert words.decode([1, 3], skip_special=True) == "NOTE_OFF_60"
    assert words.encode("") == []
    assert words.encode_with_offsets("NOTE_ON_60 ##").char_spans == [(0, 10), (11, 13)]


def test_a_stream_gives_the_same_text(words: Tokenizer) -> None:
    stream = words.stream()
    assert "".join([*(stream.push(i) for i in (0, 1, 2)), stream.finish()]) == words.decode([0, 1, 2])


def test_an_unknown_word_is_named(words: Tokenizer) -> None:
    with pytest.raises(
        TokenizerError, match=r"'NOTE_ON_6' is not a word of this vocabulary. Did you mean 'NOTE_ON_60'"
    ):
        words.encode("NOTE_OFF_60 NOTE_ON_6")
    with pytest.raises(
        TokenizerError, match=r"^'x{60}…' is not a word of this vocabulary\. Its words are such as '.+'; "
    ):
        words.encode("x" * 100_000)


def test_it_is_read_as_it_was_written(words: Tokenizer, tmp_path: Path) -> None:
    words.save(tmp_path)
    read = Tokenizer.from_folder(tmp_path)
    assert (read.vocabulary.kind, dict(read.vocab), read.eos_id) == ("words", dict(words.vocab), 3)


def test_transformers_reads_it_alike(words: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("NOTE_ON_60 NOTE_OFF_60").input_ids == [0, 1]
    assert theirs.decode([0, 1]) == "NOTE_ON_60 NOTE_OFF_60"
