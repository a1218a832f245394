"""What the options of a corpus do: cleaning, copies, overlap, broken records, the vocabulary's sample, the split."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.config import from_dict
from gpt2lab.data import Corpus, CorpusRecipe, FilterRecipe, prepare, write_npz
from gpt2lab.data.npz import documents_of
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

WORDS = [f"{a}{b}" for a in ("sea", "sail", "har", "lamp", "door") for b in ("", "or", "bour", "ing", "s", "ed")]


def words(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(iter([" ".join(WORDS)]), vocab_size=300).save(folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture
def vocabulary(tmp_path: Path, tokenizer: Tokenizer) -> str:
    tokenizer.save(tmp_path / "vocabulary")
    return str(tmp_path / "vocabulary")


def lines(path: Path, records: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def texts(folder: Path, split: str = "train") -> list[str]:
    corpus = Corpus(folder)
    tokenizer = Tokenizer.from_folder(corpus.tokenizer_folder)
    return [tokenizer.decode(d.tolist()) for d in documents_of(getattr(corpus, split), corpus.manifest.end_of_text_id)]


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path, vocabulary: str) -> None:
    good = [words(i) for i in range(8)]
    source = lines(tmp_path / "a.jsonl", [{"text": t} for t in (*good, "short", "", good[3].upper() + "!", "?" * 300)])
    recipe = CorpusRecipe(
        tokenizer=vocabulary,
        cleaning=("symbols", "length"),
        duplicates="exact",
        filters=FilterRecipe(min_characters=20),
    )
    manifest = prepare([source], tmp_path / "out", recipe)
    assert manifest.dropped == {"empty": 1, "exact copy": 1, "mostly symbols": 1, "too short": 1}
    assert sorted(texts(tmp_path / "out") + texts(tmp_path / "out", "validation")) == sorted(good)
    assert manifest.cleaning == "symbols+length"
    assert manifest.recipe["filters"]["min_characters"] == 20
    assert Corpus(tmp_path / "out").manifest == manifest


def test_near_copies_are_left_out(tmp_path: Path, vocabulary: str) -> None:
    pytest.importorskip("datasketch")
    originals = [words(i, 300) for i in range(5)]
    copies = [f"{t} {WORDS[i]}" for i, t in enumerate(originals)]
    source = lines(tmp_path / "a.jsonl", [{"text": t} for t in (*originals, *copies, originals[0])])
    manifest = prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, duplicates="near"))
    assert manifest.dropped == {"exact copy": 1, "near copy": 5}
    assert sorted(texts(tmp_path / "out") + texts(tmp_path / "out", "validation")) == sorted(originals)


def test_the_overlap_with_evaluation_sets_is_told_and_taken_out(tmp_path: Path, vocabulary: str) -> None:
    train = [words(i) for i in range(20)]
    evaluation = [words(100), " ".join(train[4].split()[10:40]), words(101)]
    (tmp_path / "eval.txt").write_text("\n".join(evaluation), encoding="utf-8")
    (tmp_path / "other.txt").write_text(words(200), encoding="utf-8")
    source = lines(tmp_path / "a.jsonl", [{"text": t} for t in train])
    files = (str(tmp_path / "eval.txt"), str(tmp_path / "other.txt"))
    manifest = prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, decontaminate=files))
    overlap, none = manifest.contamination
    assert (overlap.file, overlap.ngrams, overlap.found, overlap.left) == ("eval.txt", 143, 23, 23)
    assert overlap.found_share == 23 / 143
    assert (none.file, none.ngrams, none.found) == ("other.txt", 53, 0)
    assert manifest.dropped == {}
    recipe = CorpusRecipe(tokenizer=vocabulary, decontaminate=files, drop_contaminated=20)
    manifest = prepare([source], tmp_path / "clean", recipe)
    assert (manifest.contamination[0].found, manifest.contamination[0].left) == (23, 0)
    assert manifest.dropped == {"contaminated": 1}
    assert sorted(texts(tmp_path / "clean") + texts(tmp_path / "clean", "validation")) == sorted(train[:4] + train[5:])


def test_what_is_held_out_contaminates_nothing(tmp_path: Path, vocabulary: str) -> None:
    source = lines(tmp_path / "a.jsonl", [{"text": words(1), "author": "A"}, {"text": words(2), "author": "B"}])
    (tmp_path / "eval.txt").write_text(words(2), encoding="utf-8")
    recipe = CorpusRecipe(tokenizer=vocabulary, held_out_authors=("B",), decontaminate=(str(tmp_path / "eval.txt"),))
    assert prepare([source], tmp_path / "out", recipe).contamination[0].found == 0


def test_broken_records_are_passed_over_when_asked(tmp_path: Path, vocabulary: str) -> None:
    good = [words(i) for i in range(4)]
    source = tmp_path / "a.jsonl"
    source.write_text(
        "\n".join([json.dumps({"text": good[0]}), "{", json.dumps({"texts": "x"}), json.dumps({"text": good[1]})]),
        encoding="utf-8",
    )
    whole = lines(tmp_path / "b.jsonl", [{"text": t} for t in good[2:]])
    (tmp_path / "broken.csv").write_text(f"text\n{words(9)}\nbinary\x00\n", encoding="utf-8")
    (tmp_path / "nothing.csv").write_text("title\nx\n", encoding="utf-8")
    inputs = [source, tmp_path / "broken.csv", tmp_path / "nothing.csv", whole]
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: it is not JSON"):
        prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary))
    assert not (tmp_path / "out.partial").exists()
    manifest = prepare(inputs, tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, skip_bad=True))
    assert manifest.dropped == {"bad": 4}
    assert sorted(texts(tmp_path / "out") + texts(tmp_path / "out", "validation")) == sorted([*good, words(9)])


def test_of_short_records_whole_ones_are_held_out(tmp_path: Path, vocabulary: str) -> None:
    source = lines(tmp_path / "a.jsonl", [{"text": words(i, 10)} for i in range(300)])
    recipe = CorpusRecipe(tokenizer=vocabulary, validation_share=0.2)
    manifest = prepare([source], tmp_path / "out", recipe)
    train, held_out = texts(tmp_path / "out"), texts(tmp_path / "out", "validation")
    assert len(train) + len(held_out) == manifest.train.documents + manifest.validation.documents == 300
    assert 30 < len(held_out) < 90
    assert set(train) | set(held_out) == {words(i, 10) for i in range(300)}
    again = lines(tmp_path / "b.jsonl", [{"text": words(i, 10)} for i in reversed(range(300))])
    prepare([again], tmp_path / "again", recipe)
    assert set(texts(tmp_path / "again", "validation")) == set(held_out), "it is the text that decides, not its place"


def test_at_least_one_short_record_is_held_out(tmp_path: Path, vocabulary: str) -> None:
    source = lines(tmp_path / "a.jsonl", [{"text": words(i, 10)} for i in range(3)])
    manifest = prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, validation_share=1e-9))
    assert (manifest.train.documents, manifest.validation.documents) == (2, 1)
    one = lines(tmp_path / "one.jsonl", [{"text": words(1, 10)}])
    with pytest.raises(DataError, match="There is no text held out"):
        prepare([one], tmp_path / "one", CorpusRecipe(tokenizer=vocabulary))


def test_ids_of_others_are_taken_with_their_tokenizer(tmp_path: Path, tokenizer: Tokenizer, vocabulary: str) -> None:
    originals = [words(i, 200) for i in range(5)]
    write_npz(tmp_path / "a.npz", tokenizer.encode_batch(originals))
    prepare([tmp_path / "a.npz"], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, validation_share=0.3))
    assert [
        a + b for a, b in zip(texts(tmp_path / "out"), texts(tmp_path / "out", "validation"), strict=True)
    ] == originals
    with pytest.raises(DataError, match=r"A \.npz file holds token ids: name the tokenizer that made them"):
        prepare([tmp_path / "a.npz"], tmp_path / "other", CorpusRecipe())
    write_npz(tmp_path / "b.npz", [[1, 999]])
    with pytest.raises(DataError, match=r"array 1: the tokenizer that was named did not make these ids: Token id 999"):
        prepare([tmp_path / "b.npz"], tmp_path / "other", CorpusRecipe(tokenizer=vocabulary))
    write_npz(tmp_path / "c.npz", [tokenizer.encode_bytes(b"\xff\xfe")])
    with pytest.raises(DataError, match="did not make these ids: These token ids are not UTF-8 text"):
        prepare([tmp_path / "c.npz"], tmp_path / "other", CorpusRecipe(tokenizer=vocabulary))


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    plain = train_tokenizer(iter(["the sea"]), vocab_size=260, special_tokens=())
    plain.save(tmp_path / "vocabulary")
    (tmp_path / "a.txt").write_text("the sea", encoding="utf-8")
    with pytest.raises(DataError, match="has no end-of-text token, which ends every document"):
        prepare([tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(tokenizer=str(tmp_path / "vocabulary")))


def test_the_vocabulary_is_learnt_from_a_sample_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", 5_000)
    source = lines(tmp_path / "a.jsonl", [{"text": words(i, 100)} for i in range(400)])
    recipe = CorpusRecipe(vocab_size=300, vocabulary_every=2, vocabulary_bytes=40_000)
    sample = prepare([source], tmp_path / "out", recipe).vocabulary
    assert sample is not None
    assert sample.every == 2
    assert sample.portions == -(-source.stat().st_size // 80_000) == 4
    assert 0.7 * 40_000 < sample.bytes < 1.3 * 40_000
    whole = prepare([source], tmp_path / "whole", CorpusRecipe(vocab_size=300)).vocabulary
    assert whole is not None
    assert (whole.documents, whole.every, whole.portions) == (400, 1, 1)


def test_more_text_than_a_name_promised_does_not_go_into_the_vocabulary(tmp_path: Path) -> None:
    import lzma

    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress((json.dumps({"text": "sea " * 500}) + "\n").encode() * 500))
    recipe = CorpusRecipe(vocab_size=260, vocabulary_bytes=20_000)
    sample = prepare([tmp_path / "a.jsonl.xz"], tmp_path / "out", recipe).vocabulary
    assert sample is not None
    assert sample.bytes == 40_000


def test_files_of_other_kinds_are_counted(tmp_path: Path, vocabulary: str) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(words(1, 600), encoding="utf-8")
    (folder / "picture.jpg").write_bytes(b"\xff\xd8")
    (folder / "empty.txt").write_bytes(b"")
    manifest = prepare([folder], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary))
    assert manifest.passed_over == 1
    assert list(manifest.sources) == ["texts/"]
    assert (tmp_path / "out" / "sources.sha256").read_text(encoding="utf-8").count("\n") == 2


def test_an_old_corpus_is_read(tmp_path: Path, vocabulary: str) -> None:
    (tmp_path / "a.txt").write_text(words(1, 600), encoding="utf-8")
    prepare([tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary))
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name in ("passed_over", "dropped", "vocabulary", "contamination", "recipe"):
        del manifest[name]
    path.write_text(json.dumps({**manifest, "format": 1}), encoding="utf-8")
    assert len(Corpus(tmp_path / "out").train) == manifest["train"]["tokens"]


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words(1, 600), encoding="utf-8")
    calls: list[tuple[str, int, int | None]] = []
    prepare(
        [tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(vocab_size=300), progress=lambda *told: calls.append(told)
    )
    size = (tmp_path / "a.txt").stat().st_size
    assert calls == [
        ("reading for the vocabulary", size, size),
        ("tokenizing", 0, size),
        ("tokenizing", size, size),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocabulary_bytes": 0}, "vocabulary_bytes = 0 must be at least 1"),
        ({"near_threshold": 0.1}, r"near_threshold = 0\.1 must be between 0\.3 and 1"),
        ({"drop_contaminated": -1}, "drop_contaminated = -1 must not be negative"),
        ({"drop_contaminated": 1}, "drop_contaminated needs the evaluation files: name them with decontaminate"),
        ({"filters": {"languages": ["en"]}}, "languages needs the step 'language' in cleaning, which 'web' has"),
        ({"duplicates": "nearly"}, "duplicates = 'nearly' is not one of 'keep', 'exact', 'near'. Did you mean 'near'"),
        ({"kind": "word"}, "kind = 'word' is not one of 'text', 'jsonl'"),
        ({"cleaning": ["web", "lenght"]}, "cleaning = 'lenght' is not one of .* Did you mean 'length'"),
    ],
)
def test_an_impossible_recipe_is_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(CorpusRecipe, values)


def test_an_unknown_engine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine = 'spark' is not one of 'local', 'ray'"):
        prepare([tmp_path], tmp_path / "out", engine="spark")  # type: ignore[arg-type]


def test_a_missing_evaluation_file(tmp_path: Path, vocabulary: str) -> None:
    (tmp_path / "a.txt").write_text(words(1, 600), encoding="utf-8")
    with pytest.raises(DataError, match=r"nowhere\.txt does not exist"):
        prepare(
            [tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(tokenizer=vocabulary, decontaminate=("nowhere.txt",))
        )


def test_large_vocabularies_take_four_bytes_an_id(tmp_path: Path) -> None:
    small = train_tokenizer(iter(["the sea"]), vocab_size=260)
    vocab = dict(small.vocab) | {f"x{i}": small.vocab_size + i for i in range(70_000)}
    Tokenizer.from_vocab(vocab, small.merges, ["<|endoftext|>"]).save(tmp_path / "vocabulary")
    (tmp_path / "a.txt").write_text(words(1, 600), encoding="utf-8")
    manifest = prepare([tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(tokenizer=str(tmp_path / "vocabulary")))
    assert manifest.dtype == "uint32"
    shard = np.fromfile(tmp_path / "out" / "train-00000.bin", dtype="<u4")
    assert len(shard) == manifest.train.tokens
    assert texts(tmp_path / "out")[0] + texts(tmp_path / "out", "validation")[0] == words(1, 600)
