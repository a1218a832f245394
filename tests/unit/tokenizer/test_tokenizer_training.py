from __future__ import annotations

import collections
import itertools
import json
import os
import re
from pathlib import Path

import pytest

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import Tokenizer, bytemap, train_tokenizer
from gpt2lab.tokenizer.text import last_cut

DATA = Path(os.environ.get("GPT2LAB_DATA", Path(__file__).parents[3] / "../shared/data"))
REFERENCE = DATA / "reference" / "bpe_training"
TEXT = "low lower lowest newer newest wider widest; 漢字 漢字\r\n\n\nlow low\n" * 3

Pair = tuple[str, str]


class LiteralBpe:
    """Sennrich's algorithm word for word: count pairs, merge one everywhere, count what changed."""

    def __init__(self, text: str) -> None:
        pieces = re.findall(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:_|[^\s\w])+|\s+(?!\S)|\s+", text)
        self.words = {tuple(bytemap.to_characters(p.encode())): n for p, n in collections.Counter(pieces).items()}
        self.counts: collections.Counter[Pair] = collections.Counter()
        for word, number in self.words.items():
            self._count(word, number)

    def _count(self, word: tuple[str, ...], number: int) -> None:
        for pair in itertools.pairwise(word):
            self.counts[pair] += number

    def merge(self, pair: Pair) -> None:
        changed = [word for word in self.words if pair in itertools.pairwise(word)]
        for word in changed:
            number = self.words.pop(word)
            self._count(word, -number)
            after = self._merged(word, pair)
            self._count(after, number)
            self.words[after] = number

    @staticmethod
    def _merged(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
        out: list[str] = []
        place = 0
        while place < len(word):
            if word[place : place + 2] == pair:
                out.append(pair[0] + pair[1])
                place += 2
            else:
                out.append(word[place])
                place += 1
        return tuple(out)


def test_ids_are_laid_out_as_gpt2s() -> None:
    tok = train_tokenizer(iter([TEXT]), vocab_size=280)
    assert [tok.token_bytes(i) for i in range(256)] == [bytemap.to_bytes(c) for c in bytemap.alphabet()]
    assert [tok.vocab[a + b] for a, b in tok.merges] == list(range(256, 279))
    assert tok.special_tokens == {"<|endoftext|>": 279}
    assert tok.eos_id == 279
    assert tok.decode(tok.encode(TEXT)) == TEXT


def test_the_merges_are_those_of_the_literal_algorithm() -> None:
    tok = train_tokenizer(iter([TEXT]), vocab_size=290)
    literal = LiteralBpe(TEXT)
    for pair in tok.merges:
        counts = literal.counts
        assert counts[pair] == max(counts.values())
        literal.merge(pair)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no training reference in {DATA}")
def test_training_agrees_with_the_reference_up_to_ties() -> None:
    """Both merge a most frequent pair at every step; among equals the reference takes the greatest, we the oldest.

    So the merges are the same up to the first tie, and each merge of both is a most frequent pair of its own history.
    """
    lines = (REFERENCE / "train-bpe-reference-merges.txt").read_text(encoding="utf-8").splitlines()
    expected = [tuple(line.split(" ")) for line in lines]
    vocab = json.loads((REFERENCE / "train-bpe-reference-vocab.json").read_text(encoding="utf-8"))
    tok = train_tokenizer(REFERENCE / "corpus.en", vocab_size=len(vocab))
    assert len(tok.merges) == len(expected) == 243
    text = (REFERENCE / "corpus.en").read_text(encoding="utf-8")
    ours, theirs = LiteralBpe(text), LiteralBpe(text)
    tied = False
    for mine, reference in zip(tok.merges, expected, strict=True):
        counts, their_counts = ours.counts, theirs.counts
        most, their_most = max(counts.values()), max(their_counts.values())
        assert counts[mine] == most
        assert their_counts[reference] == their_most
        tied = tied or sum(number == most for number in counts.values()) > 1
        if not tied:
            assert mine == reference
        ours.merge(mine)
        theirs.merge(reference)
    assert len(set(tok.merges) & set(expected)) >= 0.95 * len(expected)
    assert tok.vocab_size == len(vocab)
    assert len(set(tok.vocab) & set(vocab)) >= 0.97 * len(vocab)


def test_training_twice_gives_the_same_vocabulary() -> None:
    first = train_tokenizer(iter([TEXT, "and more"]), vocab_size=300)
    assert first.vocabulary == train_tokenizer(iter([TEXT, "and more"]), vocab_size=300).vocabulary


def test_little_text_gives_a_smaller_vocabulary_and_the_special_token_stays_last() -> None:
    tok = train_tokenizer(iter(["ab ab ab"]))
    assert tok.merges == [("a", "b"), ("Ġ", "ab")]
    assert tok.eos_id == 258 == tok.vocab_size - 1
    assert train_tokenizer(iter(["ab ab ab"]), min_frequency=3).merges == [("a", "b")]
    assert train_tokenizer(iter([]), vocab_size=257).vocab_size == 257


def test_several_special_tokens_and_none() -> None:
    tok = train_tokenizer(iter([TEXT]), vocab_size=270, special_tokens=["<a>", "<b>"])
    assert tok.special_tokens == {"<a>": 268, "<b>": 269}
    assert train_tokenizer(iter([TEXT]), vocab_size=270, special_tokens=()).special_tokens == {}


def test_files_and_texts_give_the_same_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT * 20 + "漢" * 300 + " end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.txt").write_bytes(b"")
    whole = train_tokenizer(iter([text]), vocab_size=300).vocabulary
    assert train_tokenizer(tmp_path / "a.txt", vocab_size=300).vocabulary == whole
    assert train_tokenizer(str(tmp_path / "a.txt"), vocab_size=300).vocabulary == whole
    monkeypatch.setattr("gpt2lab.tokenizer.training._BLOCK", 64)
    assert train_tokenizer([tmp_path / "a.txt", tmp_path / "b.txt"], vocab_size=300).vocabulary == whole


def test_texts_with_lone_surrogates_can_be_learnt_from() -> None:
    assert "ï¿½" in train_tokenizer(iter(["\ud83d " * 5]), vocab_size=300).vocab, "U+FFFD in bytes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 256}, "vocab_size is 256; it must be at least 257: 256 bytes and 1 special tokens"),
        ({"min_frequency": 0}, "min_frequency is 0; it must be at least 1"),
        ({"special_tokens": ["<a>", "<a>"]}, "special tokens must be different from each other and not empty"),
        ({"special_tokens": [""]}, "special tokens must be different from each other and not empty"),
        ({"special_tokens": ["low"]}, "The special token 'low' is also an ordinary token of this text"),
    ],
)
def test_impossible_settings_are_one_sentence(arguments, message) -> None:
    with pytest.raises(TokenizerError, match=message):
        train_tokenizer(iter([TEXT]), **arguments)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"nothing\.txt cannot be read: No such file.*iter\(texts\)"):
        train_tokenizer([tmp_path / "nothing.txt"])
    with pytest.raises(TokenizerError, match="cannot be read: Is a directory"):
        train_tokenizer(tmp_path)
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9 and more")
    with pytest.raises(TokenizerError, match=r"latin1\.txt is not UTF-8 text"):
        train_tokenizer(tmp_path / "latin1.txt")
    with pytest.raises(TokenizerError, match="texts to learn from are strings, not bytes"):
        train_tokenizer(iter([b"abc"]))


def test_a_text_is_cut_where_a_blank_follows_a_letter() -> None:
    assert last_cut("ab  cd\n\ne 漢 字") == 11
    assert last_cut("abc") == 0


def test_a_learnt_vocabulary_survives_every_format(tmp_path: Path) -> None:
    tok = train_tokenizer(iter([TEXT]), vocab_size=290)
    for name in ("hf", "vocab", "openai"):
        tok.save(tmp_path / name, formats=(name,))
        assert Tokenizer.from_folder(tmp_path / name).vocabulary == tok.vocabulary
