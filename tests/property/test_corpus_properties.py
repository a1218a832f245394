"""What must hold for every text: it comes back from the shards, and no step of cleaning fails or repeats itself."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpt2lab.data import Corpus, CorpusRecipe, prepare
from gpt2lab.data.clean import clean_book
from gpt2lab.data.filters import Dropped, FilterRecipe, cleaner
from gpt2lab.data.npz import documents_of
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

TEXTS = st.one_of(st.text(), st.text(alphabet="ab \n\t\r_*#|é漢\u00a0\u200b😀", max_size=300))


@functools.cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter(["the cat sat on the mat, don't you know; déjà vu 漢字 " * 5]), vocab_size=300)


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["<|endoftext|>", "a\x00b", "\ud800"])
def test_the_documents_come_back_from_the_shards(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer().save(folder / "vocabulary")
        records = [{"text": text, "author": "A"} for text in texts] + [{"text": "kept", "author": "B"}]
        lines = "\n".join(map(json.dumps, records))
        (folder / "a.jsonl").write_text(lines, encoding="utf-8")
        recipe = CorpusRecipe(tokenizer=str(folder / "vocabulary"), held_out_authors=("B",))
        expected = [text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for text in texts]
        expected = [text for text in expected if text.strip()]
        if not expected:
            return
        manifest = prepare([folder / "a.jsonl"], folder / "out", recipe)
        corpus = Corpus(folder / "out")
        decode = Tokenizer.from_folder(corpus.tokenizer_folder).decode
        found = [decode(ids.tolist()) for ids in documents_of(corpus.train, manifest.end_of_text_id)]
        assert found == expected
        assert manifest.train.bytes == sum(len(text.encode()) for text in expected)


def plain_clean_book(text: str) -> str:
    """The rules of `clean_book` one after another as they read, without the short cuts."""
    import re

    for pattern, replacement in (
        (r"\r\n?", "\n"),
        ("[\u00a0\u2009\u202f]", " "),
        ("[\ufeff\u200b\u00ad]", ""),
        (r"(?i)\[(?:Illustration|Footnote|Transcriber)[^\]]*\]", ""),
        (r"(?m)^[ \t]*#+[ \t]*", ""),
        (r"(?m)^[ \t]*(?:[*_-][ \t]*){3,}$", ""),
        (r"(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1", r"\2"),
        (r"(?<![A-Za-z0-9])_+(?=\S)([^_]{1,2000}?)(?<=\S)_+(?![A-Za-z0-9])", r"\1"),
        (r"[ \t]+", " "),
        (r" ?\n ?", "\n"),
        (r"\n{3,}", "\n\n"),
    ):
        text = re.sub(pattern, replacement, text)
    return text.strip()


@settings(max_examples=500)
@given(st.text(alphabet="a#*_-[] \t\n\r.\u00a0\ufeffA9Footnote", max_size=80))
def test_books_are_cleaned_as_the_rules_read(text: str) -> None:
    assert clean_book(text) == plain_clean_book(text)


@settings(max_examples=200)
@given(TEXTS)
def test_cleaning_the_web_twice_changes_nothing_more(text: str) -> None:
    clean = cleaner(("unicode", "boilerplate", "repeats"), FilterRecipe(max_repeated_share=1))
    try:
        once = clean(text)
    except Dropped:
        return
    assert clean(once) == once
