"""What must hold for every text and every byte string, whatever the vocabulary."""

from __future__ import annotations

import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.tokenizer import Tokenizer, train_tokenizer
from gpt2lab.tokenizer.text import without_surrogates

CORPUS = "the cat sat on the mat, don't you know; déjà vu 漢字 漢字 😀😀 <|endoftext|> 123 123\r\n\n  x  " * 5
ALPHABETS = st.sampled_from(["ab ", "the cat'sdn\n \r\t", "é漢😀 \u00a0\u0301", "<|endoftext|> ", "\ud83d\ude00a "])
TEXTS = st.one_of(st.text(), ALPHABETS.flatmap(lambda letters: st.text(alphabet=sorted(set(letters)), max_size=60)))
ANY_TEXTS = st.text(alphabet=st.characters(exclude_categories=()))


@functools.cache
def tok() -> Tokenizer:
    return train_tokenizer(iter([CORPUS]), vocab_size=360)


@given(TEXTS)
def test_text_round_trips(text: str) -> None:
    assert tok().decode(tok().encode(text)) == without_surrogates(text)


@given(ANY_TEXTS)
def test_any_str_can_be_encoded(text: str) -> None:
    back = tok().decode(tok().encode(text))
    assert back == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(st.lists(TEXTS, max_size=3))
def test_the_first_texts_are_encoded_by_a_part_of_the_tables_and_equal_the_whole(texts: list[str]) -> None:
    fresh = Tokenizer(tok().vocabulary)
    whole = tok()._backend(frozenset())
    assert fresh.encode_batch(texts) == [whole.encode(without_surrogates(text)).ids for text in texts]
    assert not fresh._backends, "the whole tables were not needed"


@given(st.binary())
def test_bytes_round_trip(data: bytes) -> None:
    assert tok().decode_bytes(tok().encode_bytes(data)) == data


@given(TEXTS)
def test_encode_bytes_of_text_is_encode(text: str) -> None:
    text = without_surrogates(text)
    assert tok().encode_bytes(text.encode()) == tok().encode(text)


@given(TEXTS, st.booleans())
def test_offsets_cover_the_text(text: str, special: bool) -> None:
    allowed = "all" if special else ()
    result = tok().encode_with_offsets(text, allowed_special=allowed)
    assert result.ids == tok().encode(text, allowed_special=allowed)
    data = result.text.encode()
    assert b"".join(data[a:b] for a, b in result.byte_spans) == data
    assert all(a < b for a, b in result.byte_spans)
    assert [data[a:b] for a, b in result.byte_spans] == [tok().token_bytes(i) for i in result.ids]
    assert {c for a, b in result.char_spans for c in range(a, b)} == set(range(len(result.text)))
    for (a, b), (c, d) in zip(result.byte_spans, result.char_spans, strict=True):
        before, within = len(result.text[:c].encode()), len(result.text[c:d].encode())
        assert before <= a < b <= before + within
        assert len(result.text[: c + 1].encode()) > a
        assert len(result.text[: d - 1].encode()) < b


@given(st.lists(st.integers(0, 359), max_size=40), st.sampled_from(["replace", "ignore", "backslashreplace"]))
def test_a_stream_says_what_decode_says(ids: list[int], errors: str) -> None:
    ids = [i % tok().vocab_size for i in ids]
    stream = tok().stream(errors=errors)
    assert "".join(map(stream.push, ids)) + stream.finish() == tok().decode(ids, errors=errors)


@given(st.binary(max_size=30))
def test_a_stream_of_whole_characters_only(data: bytes) -> None:
    stream = tok().stream(errors="surrogateescape")
    pieces = [stream.push(i) for i in tok().encode_bytes(data)] + [stream.finish()]
    assert "".join(pieces).encode("utf-8", "surrogateescape") == data


@given(st.lists(TEXTS, max_size=8))
def test_a_batch_is_its_singles(texts: list[str]) -> None:
    assert tok().encode_batch(texts) == [tok().encode(text) for text in texts]


# Characters of every class that native/words.cpp tells apart, and neighbours of theirs that it does not know.
CLASSES = st.text(
    alphabet="ab'stmdrevl 1\n\t\r\x0b\x1c.,\x85\xa0ª²×é\u00ad\u024f\u0250\u0301\u0400\u047f\u0482\u1680\u2000\u200a"
    "\u200b\u2019\u2028\u202f\u203f\u2040\u205f\u2070\u3000\u3001\u3003\u3005\u3007\u3008\u4dff漢\u9fa5\u9fff！０？\uff21😀",
    max_size=40,
)


@settings(max_examples=500)
@given(st.one_of(TEXTS, CLASSES))
def test_ids_looked_up_word_by_word_are_those_of_the_whole(text: str) -> None:
    text = without_surrogates(text)
    whole = tok()._backend(frozenset()).encode(text).ids  # never cut
    for tokenizer in (Tokenizer(tok().vocabulary), tok()):
        assert tokenizer.encode(text) == tokenizer.encode(text) == whole
        (array,) = tokenizer.encode_arrays([text])
        assert array.tolist() == whole
