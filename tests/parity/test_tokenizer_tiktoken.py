"""GPT-2's ids equal tiktoken's, over random Unicode, awkward white space, real text and every single character."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from gpt2lab.tokenizer import Tokenizer

DATA = Path(os.environ.get("GPT2LAB_DATA", Path(__file__).parents[2] / "../shared/data"))
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
STRINGS = 100_000

tiktoken = pytest.importorskip("tiktoken")
pytestmark = pytest.mark.skipif(not (DATA / "gpt2_bpe").is_dir(), reason=f"GPT-2's own vocabulary is not in {DATA}")

# Characters and pieces, each list equally likely: scripts, emoji with joiners and modifiers, combining marks, blanks.
POOLS: list[list[str]] = [
    list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    list("0123456789²½Ⅷ٣५〇一"),
    list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”‘’…—–"),
    ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "’s", "don't", "I'm", "''ll"],
    [" ", "  ", "    ", " " * 17, "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", " \n "],
    [
        "\u00a0",
        "\u2003",
        "\u2009",
        "\u202f",
        "\u3000",
        "\u1680",
        "\u2028",
        "\u2029",
        "\u200b",
        "\u180e",
        "\ufeff",
        "\u2060",
    ],
    [*"áéíóúñçøßæžšœ", "e\u0301", "o\u0302\u0323", "\u0300", "\u0345", "Z\u0351\u036b\u0343"],
    list("абвгдежзиКЛМНОαβγδεζΩΨ"),
    list("的一是不了人我在有他这中大来上国漢字かなカナ한국어뷁"),
    list("אבגשלוםابتةمرحباकखगनमस्तेกขคสวัสดีაბგდԱԲԳԴአበገᚠᚢᚦ"),
    ["😀", "👨‍👩‍👧", "👍🏽", "🇩🇪", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "𝔘𝔫𝔦", "𐍈", "𓀀", "🜁", "\u20ac", "\u2211"],
    ["\x00", "\x07", "\x1b", "\x7f", "\x9f", "\xad", "\ufffd", "\uffff", "\ue000", "\U000f0000", "\U0010ffff"],
    ["<|endoftext|>", "http://a.b/c?d=e", "the", " The", "ing", "tion", "    return x", "1,234.56", "C++", "\\u00e9"],
    ["\ud83d", "\ude00", "\ud83d\ude00", "\udfff"],
]


def random_text(rng: random.Random) -> str:
    """Return a text of up to 40 pieces: from a few pools, or code points from anywhere."""
    length = rng.choice((1, 2, 3, 5, 8, 13, 20, 40))
    if rng.random() < 0.2:
        top = rng.choice((0x80, 0x800, 0x3000, 0x10000, 0x110000))
        return "".join(chr(rng.randrange(top)) for _ in range(length))
    pools = rng.choices(POOLS, k=rng.randint(1, 4))
    return "".join(rng.choice(rng.choice(pools)) for _ in range(length))


@pytest.fixture(scope="module")
def ours() -> Tokenizer:
    return Tokenizer.from_folder(DATA / "gpt2_bpe")


@pytest.fixture(scope="module")
def theirs() -> tiktoken.Encoding:
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    folder = DATA / "gpt2_bpe"
    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    return tiktoken.Encoding(
        "gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256}, explicit_n_vocab=50257
    )


def assert_same(texts: list[str], ours: list[list[int]], theirs: list[list[int]]) -> None:
    assert len(ours) == len(theirs) == len(texts)
    wrong = [(text, a, b) for text, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, the first: {wrong[0]!r}"


def test_random_unicode_strings_have_tiktokens_ids(ours, theirs) -> None:
    rng = random.Random(20190214)
    texts = list({random_text(rng): None for _ in range(round(STRINGS * 1.25))})[: STRINGS + 1000]
    assert len(texts) >= STRINGS, "so many different strings are promised"
    assert sum(not text.isascii() for text in texts) > STRINGS // 2
    assert any("\ud800" <= c <= "\udfff" for text in texts for c in text), "lone surrogates are among them"
    assert_same(texts, ours.encode_batch(texts), theirs.encode_ordinary_batch(texts))


def test_random_strings_with_the_special_token_allowed_have_tiktokens_ids(ours, theirs) -> None:
    rng = random.Random(7)
    texts = ["<|endoftext|>".join(random_text(rng) for _ in range(3)) for _ in range(2000)]
    expected = theirs.encode_batch(texts, allowed_special="all")
    assert_same(texts, ours.encode_batch(texts, allowed_special="all"), expected)
    assert all(ids.count(50256) >= 2 for ids in expected)


def test_every_character_has_tiktokens_ids(ours, theirs) -> None:
    """Unassigned ones too, but not the empty planes: their \\p{L}, \\p{N} and \\s must be of one mind."""
    points = [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200), 0xF0000, 0x10FFFF]
    step = 400  # one text holds many characters: as thorough as one each, and quicker
    texts = ["".join(f"a{chr(c)}1 {chr(c)}" for c in points[i : i + step]) for i in range(0, len(points), step)]
    assert_same(texts, ours.encode_batch(texts), theirs.encode_ordinary_batch(texts))


def test_a_long_real_text_has_tiktokens_ids(ours, theirs) -> None:
    path = DATA / "tinystories_sample.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    text = path.read_text(encoding="utf-8")[:400_000]
    assert_same([text], [ours.encode(text)], [theirs.encode_ordinary(text)])


@pytest.mark.parametrize("unit", ["a", "A", " ", "\n", "!", "é", "的", " a", "\u0301"], ids=ascii)
def test_a_hundred_kilobytes_of_one_letter(unit, ours, theirs) -> None:
    text = unit * (100_000 // len(unit.encode()))
    assert_same([text], [ours.encode(text)], [theirs.encode_ordinary(text)])
    assert ours.decode(ours.encode(text)) == text


def test_decoding_any_ids_equals_tiktoken(ours, theirs) -> None:
    rng = random.Random(11)
    for _ in range(2000):
        ids = [rng.randrange(50257) for _ in range(rng.randint(0, 12))]
        assert ours.decode_bytes(ids) == theirs.decode_bytes(ids)
        assert ours.decode(ids) == theirs.decode(ids)
    assert [ours.token_bytes(i) for i in range(50257)] == [theirs.decode_single_token_bytes(i) for i in range(50257)]
