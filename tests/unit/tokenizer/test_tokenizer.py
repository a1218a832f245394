from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import AddedToken, Tokenizer, Vocabulary, bytemap, train_tokenizer

TEXT = "the cat sat on the mat; the dog did not. Don't worry, it's fine: 12 cats and 21 dogs.\n\nÀ la carte, 漢字.\n"


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return train_tokenizer(iter([TEXT] * 4), vocab_size=310, special_tokens=("<pad>", "<|endoftext|>"))


# --- the alphabet


def test_the_alphabet_is_256_printable_characters_that_spell_every_byte() -> None:
    assert len(set(bytemap.byte_characters())) == 256
    assert bytemap.alphabet()[0] == "!"
    assert bytemap.byte_characters()[ord(" ")] == "Ġ"
    assert bytemap.byte_characters()[ord("\n")] == "Ċ"
    assert all(c.isprintable() and c != " " for c in bytemap.byte_characters())
    everything = bytes(range(256))
    assert bytemap.to_bytes(bytemap.to_characters(everything)) == everything
    assert bytemap.to_bytes("漢") is None


# --- encoding and decoding


@pytest.mark.parametrize(
    "text", ["", " ", "  a  b ", TEXT, "\r\n\t\u00a0", "e\u0301👨‍👩‍👧\x00\ufeff", " .", "do n't ,"]
)
def test_text_comes_back_exactly(text: str, tok: Tokenizer) -> None:
    assert tok.decode(tok.encode(text)) == text


def test_empty_input_gives_nothing(tok: Tokenizer) -> None:
    assert tok.encode("") == tok.encode_bytes(b"") == tok.encode_batch([]) == []
    assert tok.decode([]) == ""
    assert tok.encode_batch(["", "a", ""]) == [[], tok.encode("a"), []]
    assert tok.encode_with_offsets("").char_spans == []


def test_special_tokens_are_text_unless_allowed(tok: Tokenizer) -> None:
    text = "a<|endoftext|>b<pad>"
    assert not set(tok.encode(text)) & set(tok.special_tokens.values())
    assert tok.decode(tok.encode(text)) == text
    everything = tok.encode(text, allowed_special="all")
    assert everything == [*tok.encode("a"), tok.eos_id, *tok.encode("b"), tok.id_of("<pad>")]
    one = tok.encode(text, allowed_special={"<pad>"})
    assert tok.eos_id not in one
    assert one[-1] == tok.id_of("<pad>")
    assert tok.encode_batch([text, text], allowed_special=["<pad>"]) == [one, one]
    assert tok.encode(text) == tok.encode(text, allowed_special=[]), "earlier calls leave no trace"
    assert tok.decode(everything) == text
    assert tok.decode(everything, skip_special=True) == "ab"


def test_a_special_token_that_is_none_is_named(tok: Tokenizer) -> None:
    with pytest.raises(
        TokenizerError, match=r"'<\|endoftext>' is not a special.*Did you mean '<\|endoftext\|>'.*<pad>"
    ):
        tok.encode("a", allowed_special=["<|endoftext>"])
    with pytest.raises(TokenizerError, match="'all' or a list of special tokens, not the text '<pad>'"):
        tok.encode("a", allowed_special="<pad>")
    with pytest.raises(TokenizerError, match="'<eos>' is not a token of this vocabulary"):
        tok.id_of("<eos>")


def test_roles_and_sizes(tok: Tokenizer) -> None:
    assert tok.eos_id == tok.bos_id == tok.vocab_size - 1 == tok.id_of("<|endoftext|>")
    assert tok.pad_id is None
    assert list(tok.special_tokens) == ["<pad>", "<|endoftext|>"]
    assert len(tok.vocab) == tok.vocab_size == 310
    assert "vocab_size=310" in repr(tok)


def test_bytes_that_are_no_text_come_back_exactly(tok: Tokenizer) -> None:
    for data in (
        bytes(range(256)),
        b"\xff",
        b"caf\xe9 and caf\xc3\xa9",
        b"\xed\xa0\x80",
        "漢".encode()[:2],
        b"\xf0\x9f the",
    ):
        assert tok.decode_bytes(tok.encode_bytes(data)) == data
    assert tok.encode_bytes(TEXT.encode()) == tok.encode(TEXT)
    assert tok.encode_bytes(b"the cat\xffthe cat") == [
        *tok.encode("the cat"),
        *tok.encode_bytes(b"\xff"),
        *tok.encode("the cat"),
    ]


def test_surrogates_are_joined_or_replaced(tok: Tokenizer) -> None:
    assert tok.decode(tok.encode("\ud83d\ude00")) == "😀"
    assert tok.decode(tok.encode("a\ud83db\udfff")) == "a\ufffdb\ufffd"
    assert tok.encode_with_offsets("\ud83d").text == "\ufffd"


def test_batches_keep_their_order_and_equal_singles(tok: Tokenizer) -> None:
    texts = [f"{TEXT[i:]}{i}" for i in range(len(TEXT))]
    assert tok.encode_batch(texts) == [tok.encode(text) for text in texts]
    assert tok.encode_batch(iter(texts[:2])) == [tok.encode(text) for text in texts[:2]]
    assert tok.decode_batch(tok.encode_batch(texts)) == texts


def test_a_long_text_has_the_ids_of_its_whole(tok: Tokenizer) -> None:
    text = (TEXT + "  \n x\u00a0 y\u2003 z !? ") * 1200
    assert len(text) > 100_000
    whole = tok.encode_with_offsets(text)  # never cut
    assert tok.encode(text) == whole.ids
    assert tok.decode(whole.ids) == text


def test_every_character_is_cut_as_the_pattern_cuts_it(tok: Tokenizer) -> None:
    characters = [chr(c) for c in range(0x80, 0x10000) if not 0xD800 <= c < 0xE000]
    text = " ".join(f"a{c}b1{c}2.{c}!{c}{c}" for c in characters)
    assert tok.encode(text) == tok._backend(frozenset()).encode(text).ids


def test_forgetting_words_changes_nothing(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tok.encode_with_offsets(TEXT).ids
    monkeypatch.setattr("gpt2lab.tokenizer.lookup.MOST_REMEMBERED", 1)
    assert [tok.encode(TEXT), tok.encode(TEXT), tok.encode("x" * 100 + "\n" + TEXT)[-len(expected) :]] == [expected] * 3


def test_no_text_is_one_sentence(tok: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="A text is needed, not bytes; for bytes there is encode_bytes"):
        tok.encode(b"abc")


@pytest.mark.parametrize("wrong", [-1, 310, 50256])
def test_an_id_outside_the_vocabulary_is_named_with_the_range(wrong: int, tok: Tokenizer) -> None:
    for ask in (
        tok.decode,
        tok.decode_bytes,
        lambda ids: tok.stream().push(ids[-1]),
        lambda ids: tok.token_text(ids[-1]),
    ):
        with pytest.raises(
            TokenizerError, match=rf"Token id {wrong} is not in the vocabulary; ids run from 0 to 309\."
        ):
            ask([5, wrong])


def test_ids_are_whole_numbers_of_any_kind(tok: Tokenizer) -> None:
    ids = tok.encode(TEXT)
    assert tok.decode(np.array(ids, dtype=np.uint16)) == TEXT
    assert tok.decode(iter(ids)) == TEXT
    with pytest.raises(TokenizerError, match=r"Token ids are whole numbers: 'float'"):
        tok.decode([1.5])


def test_broken_utf8_follows_the_errors_argument(tok: Tokenizer) -> None:
    ids = [*tok.encode("a"), tok.encode_bytes(b"\xe6")[0], *tok.encode("b")]
    assert tok.decode(ids) == "a\ufffdb"
    assert tok.decode(ids, errors="ignore") == "ab"
    with pytest.raises(TokenizerError, match="These token ids are not UTF-8 text: byte 1"):
        tok.decode(ids, errors="strict")


def test_single_tokens_show_their_bytes(tok: Tokenizer) -> None:
    assert b"".join(tok.token_bytes(i) for i in tok.encode(TEXT)) == TEXT.encode()
    assert tok.token_bytes(tok.encode_bytes(b"\xff")[0]) == b"\xff"
    assert tok.token_text(tok.encode_bytes(b"\xff")[0]) == "\ufffd"
    assert tok.token_text(tok.eos_id) == "<|endoftext|>"


# --- offsets


def test_offsets_in_characters_and_bytes(tok: Tokenizer) -> None:
    text = "the cat 😀 é"
    result = tok.encode_with_offsets(text)
    assert result.ids == tok.encode(text)
    assert result.byte_spans[0][0] == 0
    assert result.byte_spans[-1][1] == len(text.encode())
    for (a, b), (c, d), i in zip(result.byte_spans, result.char_spans, result.ids, strict=True):
        assert text.encode()[a:b] == tok.token_bytes(i)
        assert tok.token_bytes(i) in text[c:d].encode(), "the characters hold the token's bytes"
    emoji = [span for span in result.char_spans if span[0] <= 8 < span[1]]
    assert len(emoji) >= 2, "an emoji of several tokens is in the span of each"


def test_offsets_with_special_tokens(tok: Tokenizer) -> None:
    result = tok.encode_with_offsets("é<|endoftext|>x", allowed_special="all")
    place = result.ids.index(tok.eos_id)
    assert result.char_spans[place] == (1, 14)
    assert result.byte_spans[place] == (2, 15)


def test_offsets_where_blanks_were_swallowed() -> None:
    vocab = {c: i for i, c in enumerate(bytemap.alphabet())}
    mask = AddedToken("<mask>", 256, lstrip=True)
    tok = Tokenizer(Vocabulary(vocab=vocab, added=[mask]))
    result = tok.encode_with_offsets("é  <mask>x", allowed_special="all")
    assert result.ids[-2:] == [256, tok.encode("x")[0]]
    assert result.char_spans[-2:] == [(1, 9), (9, 10)]
    assert result.byte_spans[-2:] == [(2, 10), (10, 11)]


# --- vocabularies


def test_from_vocab_names_special_and_added_tokens() -> None:
    vocab = {c: i for i, c in enumerate((*bytemap.alphabet(), "ab", "<|endoftext|>"))}
    tok = Tokenizer.from_vocab(
        vocab, [("a", "b")], {"<user>": 258}, added_tokens={"gpt2 lab": 259}, roles={"pad": "<user>"}
    )
    assert tok.special_tokens == {"<|endoftext|>": 257, "<user>": 258}
    assert (tok.pad_id, tok.eos_id) == (258, None)
    assert tok.encode("gpt2 lab") == [259], "an added token that is not special is always matched"
    assert tok.encode("ab<user>", allowed_special=["<user>"]) == [256, 258]
    assert tok.decode([256, 259, 258]) == "abgpt2 lab<user>"
    assert tok.merges == [("a", "b")]
    assert Tokenizer.from_vocab(vocab, [("a", "b")]).eos_id == 257
    long = "gpt2 lab " * 8000
    assert tok.decode(tok.encode(long)) == long
    assert tok.encode(long).count(259) == 8000


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        ({}, [], "The vocabulary is empty"),
        ({"a": 0, "b": 2}, [], "No token has id 1, yet ids go up to 2"),
        ({"a": 0, "b": 0}, [], "Id 0 is given twice: to 'a' and to 'b'"),
        ({"a": -1}, [], "'a': -1 does not"),
        ({"a": "0"}, [], "'a': '0' does not"),
        ({"a": True}, [], "'a': True does not"),
        ({"a": 0, "b": 1}, [("a", "b")], r"Merge 1 \('a' \+ 'b'\) needs token 'ab', not in the vocabulary"),
        ({"a": 0, "ab": 1}, [("a", "b")], "needs token 'b'"),
    ],
)
def test_tables_that_contradict_each_other(vocab, merges, message) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_vocab(vocab, merges)


def test_special_tokens_must_fit_the_vocabulary() -> None:
    with pytest.raises(TokenizerError, match="The special token '<x>' is not in the vocabulary"):
        Tokenizer.from_vocab({"a": 0}, [], ["<x>"])
    with pytest.raises(TokenizerError, match="The eos token '<x>' is not in the vocabulary"):
        Tokenizer.from_vocab({"a": 0}, [], roles={"eos": "<x>"})
    with pytest.raises(TokenizerError, match="Token 'a' has two ids: 0 and 1"):
        Tokenizer.from_vocab({"a": 0}, [], {"a": 1})


def test_a_vocabulary_without_all_bytes_says_which_is_missing() -> None:
    tok = Tokenizer.from_vocab({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    assert tok.encode("abba") == [2, 1, 0]
    for ask in (tok.encode, tok.encode_with_offsets, lambda t: tok.encode_bytes(t.encode() + b"\xff")):
        with pytest.raises(TokenizerError, match="has no token for byte 0x"):
            ask("abc")
    with pytest.raises(TokenizerError, match="has no token for byte 0xff"):
        tok.encode_bytes(b"\xff")


def test_an_unusable_part_is_one_sentence() -> None:
    tok = Tokenizer(Vocabulary(vocab={"a": 0}, pre_tokenizer={"type": "Nonsense"}))
    with pytest.raises(TokenizerError, match="The normaliser or pre-tokeniser is not usable"):
        tok.encode("a")


def test_a_tokenizer_travels_to_other_processes_and_threads(tok: Tokenizer) -> None:
    copy = pickle.loads(pickle.dumps(tok))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: copy.encode(TEXT, allowed_special="all"), range(32)))
    assert all(ids == tok.encode(TEXT) for ids in results)


# --- streams


def test_a_stream_gives_whole_characters(tok: Tokenizer) -> None:
    stream = tok.stream()
    ids = tok.encode_bytes("é😀".encode())
    pieces = [stream.push(i) for i in ids]
    assert len(ids) == 6
    assert pieces == ["", "é", "", "", "", "😀"]
    assert stream.finish() == ""


def test_a_stream_ends_broken_characters_as_decode_does(tok: Tokenizer) -> None:
    ids = tok.encode_bytes("é😀".encode()[:-1] + b"\xff")[:-1]
    stream = tok.stream()
    assert "".join(map(stream.push, ids)) + stream.finish() == tok.decode(ids) == "é\ufffd"
    assert stream.push(tok.encode("a")[0]) + stream.finish() == "a", "it starts afresh"


def test_a_strict_stream_refuses_broken_characters(tok: Tokenizer) -> None:
    stream = tok.stream(errors="strict")
    stream.push(tok.encode_bytes(b"\xc3")[0])
    with pytest.raises(TokenizerError, match="These token ids are not UTF-8 text"):
        stream.finish()


def test_a_stream_can_skip_special_tokens(tok: Tokenizer) -> None:
    ids = tok.encode("a<|endoftext|>b", allowed_special="all")
    stream = tok.stream(skip_special=True)
    assert [stream.push(i) for i in ids] == ["a", "", "b"]


# --- import


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'tokenizers', 'huggingface_hub', 'transformers', 'torch', 'numpy'}"
    code = f"import sys, gpt2lab.tokenizer; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_using_one_loads_no_hub_and_no_torch(tmp_path) -> None:
    code = (
        "import sys; from gpt2lab.tokenizer import train_tokenizer; t = train_tokenizer(iter(['abc']), vocab_size=257);"
        "t.encode('abc'); print(sorted({'huggingface_hub', 'transformers', 'torch', 'tiktoken'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- what a short text costs


def test_the_whole_tables_are_made_for_long_texts_and_when_short_ones_keep_coming(tok: Tokenizer) -> None:
    fresh = Tokenizer(tok.vocabulary)
    for word in ("the", " cat", " sat", " on"):
        assert fresh.encode(word) == tok.encode(word)
        assert not fresh._backends
    assert fresh.encode(" mat") == tok.encode(" mat")
    assert fresh._backends

    fresh = Tokenizer(tok.vocabulary)
    assert fresh.encode("the" * 100) == tok.encode("the" * 100)
    assert fresh._backends, "a word of 300 bytes has too many pieces"


def test_whole_words_come_before_merges_where_the_vocabulary_says_so() -> None:
    vocab = {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}
    for first, expected in ((True, [4]), (False, [3, 2])):
        small = Tokenizer(Vocabulary(vocab=vocab, merges=[("a", "b")], ignore_merges=first))
        assert small.encode("abc") == expected
        assert small._backend(frozenset()).encode("abc").ids == expected


def test_reading_a_folder_leaves_the_garbage_collector_as_it_was(tok: Tokenizer, tmp_path: Path) -> None:
    tok.save(tmp_path)
    assert gc.isenabled()
    Tokenizer.from_folder(tmp_path)
    assert gc.isenabled()
    gc.disable()
    try:
        Tokenizer.from_folder(tmp_path)
        assert not gc.isenabled()
    finally:
        gc.enable()
