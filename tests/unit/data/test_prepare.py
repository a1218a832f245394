"""Preparing a corpus: what is in the folder, who is held out, and what is said when the input is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.config import from_dict
from gpt2lab.data import Corpus, CorpusRecipe, prepare
from gpt2lab.data.shards import ShardWriter, dtype_for
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import sha256_of
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

BOOKS = [
    {"text": "The ship went _out_ to sea. \n\n\n\nIt did not come back.", "author": "A"},
    {"text": "A dog sat by the door, and the door was shut.", "author": "B"},
    {"text": "Nobody knew the man — he was no one's friend.", "author": "C"},
]
RECIPE = CorpusRecipe(cleaning="books", vocab_size=300, held_out_authors=("B",))


@pytest.fixture
def books(tmp_path: Path) -> Path:
    path = tmp_path / "books.jsonl"
    path.write_text("\n".join(map(json.dumps, BOOKS)), encoding="utf-8")
    return path


def texts(corpus: Corpus, split: str) -> list[str]:
    """Decode a split and cut it at the ends of its documents."""
    tokenizer = Tokenizer.from_folder(corpus.tokenizer_folder)
    stream = getattr(corpus, split)
    ids = stream.read(0, len(stream)).tolist()
    documents: list[list[int]] = [[]]
    for i in ids:
        if i == corpus.manifest.end_of_text_id:
            documents.append([])
        else:
            documents[-1].append(i)
    assert documents.pop() == []
    return [tokenizer.decode(d) for d in documents]


def test_the_folder_holds_the_cleaned_documents(books: Path, tmp_path: Path) -> None:
    manifest = prepare([books], tmp_path / "corpus", RECIPE)
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.manifest == manifest
    assert texts(corpus, "train") == ["The ship went out to sea.\n\nIt did not come back.", BOOKS[2]["text"]]
    assert texts(corpus, "validation") == [BOOKS[1]["text"]]
    corpus.verify()


def test_the_manifest_counts_what_is_there(books: Path, tmp_path: Path) -> None:
    manifest = prepare([books], tmp_path / "corpus", RECIPE)
    corpus = Corpus(tmp_path / "corpus")
    assert (manifest.train.documents, manifest.train.authors) == (2, ("A", "C"))
    assert (manifest.validation.documents, manifest.validation.authors) == (1, ("B",))
    assert manifest.train.bytes == sum(len(t.encode()) for t in texts(corpus, "train"))
    assert manifest.train.tokens == len(corpus.train) == sum(s.tokens for s in manifest.train.shards)
    assert manifest.dtype == "uint16"
    assert list(manifest.sources) == ["books.jsonl"]


def test_token_bytes_add_up_to_the_text(books: Path, tmp_path: Path) -> None:
    manifest = prepare([books], tmp_path / "corpus", RECIPE)
    corpus = Corpus(tmp_path / "corpus")
    ids = corpus.train.read(0, len(corpus.train))
    assert corpus.token_bytes[ids].sum() == manifest.train.bytes
    assert corpus.token_bytes[manifest.end_of_text_id] == 0


def test_without_authors_the_end_of_every_document_is_held_out(tmp_path: Path) -> None:
    text = "".join(f"line {i} of a longer text\n" for i in range(400))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    prepare([tmp_path / "a.txt"], tmp_path / "corpus", CorpusRecipe(vocab_size=300, validation_share=0.1))
    corpus = Corpus(tmp_path / "corpus")
    (train,), (held_out,) = texts(corpus, "train"), texts(corpus, "validation")
    assert train + held_out == text
    assert held_out.startswith("line ")
    assert 0.09 < len(held_out) / len(text) < 0.12


def test_a_given_tokenizer_is_used(books: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(["the the then them"]), vocab_size=260)
    tokenizer.save(tmp_path / "mine")
    prepare([books], tmp_path / "corpus", CorpusRecipe(tokenizer=str(tmp_path / "mine"), held_out_authors=("B",)))
    assert Tokenizer.from_folder(tmp_path / "corpus" / "tokenizer").vocab == tokenizer.vocab


def test_shards_are_cut_at_their_limit(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "train", "uint32", shard_tokens=10)
    writer.write(range(25))
    writer.write(range(25, 28))
    shards = writer.close()
    assert [s.tokens for s in shards] == [10, 10, 8]
    ids = np.concatenate([np.fromfile(tmp_path / s.file, dtype="<u4") for s in shards])
    assert ids.tolist() == list(range(28))
    assert [s.sha256 for s in shards] == [sha256_of(tmp_path / s.file) for s in shards]


@pytest.mark.parametrize(("size", "dtype"), [(65536, "uint16"), (65537, "uint32")])
def test_ids_take_the_smallest_type_that_holds_them(size: int, dtype: str) -> None:
    assert dtype_for(size) == dtype


def test_an_author_who_is_not_there(books: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No document is by Z; held_out_authors must name authors of the input"):
        prepare([books], tmp_path / "corpus", CorpusRecipe(vocab_size=300, held_out_authors=("B", "Z")))
    assert not (tmp_path / "corpus").exists()


def test_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give at least one file"):
        prepare([], tmp_path / "corpus")
    (tmp_path / "a.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DataError, match="There is no text to train on"):
        prepare([tmp_path / "a.txt"], tmp_path / "corpus")


def test_everything_held_out(books: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no text to train on"):
        prepare([books], tmp_path / "corpus", CorpusRecipe(vocab_size=300, held_out_authors=("A", "B", "C")))


def test_a_folder_that_exists_is_left_alone(books: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(DataError, match="exists already"):
        prepare([books], tmp_path / "corpus", RECIPE)
    prepare([books], tmp_path / "corpus", RECIPE, overwrite=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"validation_share": 0.0}, "validation_share = 0.0 must be between 0 and 0.5"),
        ({"vocabulary_every": 0}, "vocabulary_every = 0 must be at least 1"),
        ({"cleaning": "book"}, "cleaning = 'book' is not one of 'none', 'web', 'books', .*. Did you mean 'books'"),
    ],
)
def test_an_impossible_recipe(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(CorpusRecipe, values)


class TestOpening:
    """Every way in which a corpus folder can be wrong is one sentence."""

    @pytest.fixture
    def corpus(self, books: Path, tmp_path: Path) -> Path:
        prepare([books], tmp_path / "corpus", RECIPE)
        return tmp_path / "corpus"

    def test_no_corpus(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"is not a prepared corpus: it has no manifest\.json"):
            Corpus(tmp_path)

    def test_another_format(self, corpus: Path) -> None:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        (corpus / "manifest.json").write_text(json.dumps({**manifest, "format": 9}), encoding="utf-8")
        with pytest.raises(DataError, match="has format 9; this version reads 1 and 2"):
            Corpus(corpus)

    def test_a_damaged_manifest(self, corpus: Path) -> None:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        del manifest["train"]
        (corpus / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        with pytest.raises(DataError, match=r"manifest.json is damaged: Missing key 'train'"):
            Corpus(corpus)

    def test_a_shard_cut_short(self, corpus: Path) -> None:
        shard = corpus / "train-00000.bin"
        shard.write_bytes(shard.read_bytes()[:-2])
        with pytest.raises(DataError, match=r"train-00000.bin has \d+ bytes instead of \d+"):
            Corpus(corpus)

    def test_a_missing_shard(self, corpus: Path) -> None:
        (corpus / "validation-00000.bin").unlink()
        with pytest.raises(DataError, match=r"validation-00000.bin is missing"):
            Corpus(corpus)

    def test_a_changed_shard(self, corpus: Path) -> None:
        shard = corpus / "train-00000.bin"
        content = bytearray(shard.read_bytes())
        content[0] ^= 1
        shard.write_bytes(content)
        with pytest.raises(DataError, match=r"train-00000.bin was changed since it was made"):
            Corpus(corpus).verify()
