"""Pairs, splits, detectors: what is learnt, what is kept of it, and what is said of a text."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.apps.detect.build import Sampling, as_long, build_pairs
from gpt2lab.apps.detect.detector import DEFAULT, Detector, load_detector
from gpt2lab.apps.detect.features import names
from gpt2lab.apps.detect.fit import LENGTHS, Table, fit, tabulate
from gpt2lab.apps.detect.pairs import Pair, read_humans, read_pairs, split
from gpt2lab.apps.detect.reading import Reader, flattened
from gpt2lab.apps.detect.report import diagram_svg, judge, markdown, plain, tables, zero_shot_scorers
from gpt2lab.apps.detect.store import Store
from gpt2lab.apps.detect.tfidf import TfIdf, fit_tfidf, load_tfidf
from gpt2lab.apps.detect.trained import calibrated, judged
from gpt2lab.apps.detect.verdict import Kept, call_of, nearest_length
from gpt2lab.errors import ConfigError, DataError, RequestError
from gpt2lab.files import read_json
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.ranking import auroc


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def store(tiny: LanguageModel) -> Store:
    return Store(Reader(tiny, name="tiny"))


@pytest.fixture(scope="module")
def table(pairs: list[Pair], store: Store) -> Table:
    return tabulate(pairs, store)


@pytest.fixture(scope="module")
def detector(table: Table, store: Store) -> Detector:
    pytest.importorskip("sklearn")
    return fit(table, name="test", store=store)


# ---- pairs


def test_pairs_are_read_from_plain_and_packed_files(tmp_path: Path) -> None:
    rows = [
        {"set": "news_gpt-4", "human": "a  b", "machine": "c"},
        {"human": "d", "machine": "e", "corpus": "x", "generator": "y", "sampler": "T=1"},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    with lzma.open(tmp_path / "p.jsonl.xz", "wt") as f:
        f.write(text)
    for name in ("p.jsonl", "p.jsonl.xz"):
        first, second = read_pairs([tmp_path / name])
        assert (first.corpus, first.generator, first.sampler, first.set) == ("news", "gpt-4", "unknown", "news_gpt-4")
        assert (second.corpus, second.generator, second.sampler) == ("x", "y", "T=1")


def test_human_texts_are_read_once_each(tmp_path: Path) -> None:
    rows = [
        {"text": "one text"},
        {"human": "another", "machine": "x", "set": "news_gpt"},
        {"text": "one  text"},
        "last",
    ]
    (tmp_path / "h.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_humans(tmp_path / "h.jsonl") == [("one text", "h"), ("another", "news"), ("last", "h")]
    (tmp_path / "plain.txt").write_text("a whole\ntext", encoding="utf-8")
    assert read_humans(tmp_path / "plain.txt") == [("a whole\ntext", "plain")]
    (tmp_path / "h.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="line 1 has no text: a string under 'text' or 'human' is needed"):
        read_humans(tmp_path / "h.jsonl")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "p.jsonl, line 1 is not JSON"),
        ("[]", 'line 1 is no JSON object with "human" and "machine"'),
        ('{"human": "a"}', "line 1 has no text under 'machine'"),
        ("", "There is no pair of texts"),
    ],
)
def test_a_file_that_holds_no_pairs_is_one_sentence(line: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        read_pairs([tmp_path / "p.jsonl"])
    (tmp_path / "p.jsonl.xz").write_bytes(b"no")
    with pytest.raises(DataError, match=r"p.jsonl.xz is not a whole compressed file"):
        read_pairs([tmp_path / "p.jsonl.xz"])


def made(n: int) -> list[Pair]:
    return [
        Pair(f"text {i} of a person", f"{c} {g} {i}", c, g, "T=1") for i in range(n) for c in "ab" for g in ("x", "y")
    ]


def test_no_document_is_on_both_sides_and_what_is_held_out_is_not_learnt() -> None:
    found = split(made(60), corpora=["a"], generators=["x"], share=0.5)
    assert {p.document for p in found.train}.isdisjoint({p.document for p in found.held_out if p.corpus == "b"})
    assert {(p.corpus, p.generator) for p in found.train} == {("b", "y")}
    assert {p.corpus for p in found.held_out} == {"a", "b"}
    assert found == split(made(60), corpora=["a"], generators=["x"], share=0.5)


def test_a_generator_alone_can_be_held_out_of_the_learning() -> None:
    found = split(made(60), generators=["x"], share=0.0)
    assert {p.generator for p in found.train} == {"y"}
    assert found.held_out == ()


def test_what_cannot_be_split_is_one_sentence() -> None:
    with pytest.raises(DataError, match="No pair has the generator 'z'; there are: x, y"):
        split(made(3), generators=["z"])
    with pytest.raises(DataError, match="Nothing is left to learn from"):
        split(made(3), corpora=["a", "b"])


# ---- the machine half


def test_what_is_built_is_the_same_whatever_stands_beside_it(tiny: LanguageModel) -> None:
    sentences = ["too short", "the old sailor walked to the harbour and waited all night", "my sister wrote a letter"]
    texts = [(sentence, "c") for sentence in sentences]
    options = {"sampling": Sampling(top_p=0.9), "generator": "tiny", "prompt_tokens": 4, "length": 12}
    whole = list(build_pairs(tiny, texts, seed=3, **options))
    assert [p["pair"] for p in whole] == [1, 2]
    assert list(build_pairs(tiny, [texts[0], texts[1]], seed=3, **options)) == whole[:1]
    assert tiny.tokenizer is not None
    for pair in whole:
        human, machine = (tiny.tokenizer.encode(pair[k]) for k in ("human", "machine"))
        assert human[:4] == machine[:4]
        assert pair["sampler"] == "T=1 p=0.9"
    assert list(build_pairs(tiny, texts, seed=4, **options)) != whole
    assert Sampling(temperature=0.7, top_k=40).name == "T=0.7 k=40"


def test_lengths_tell_nothing(tiny: LanguageModel) -> None:
    assert tiny.tokenizer is not None
    human = "the old sailor walked to the harbour and waited there all night for a ship"
    machine = "the old sailor\n\nwalked  to\nthe shore, and sang “a song” of his own to the moon and all the stars"
    cut = as_long(tiny.tokenizer, human, machine)
    assert cut[0] == human
    assert machine.startswith(cut[1])
    lengths = {len(tiny.tokenizer.encode(flattened(text)[0])) for text in cut}
    assert len(lengths) == 1
    assert as_long(tiny.tokenizer, machine, human) == cut[::-1]
    for length in range(1, len(machine)):
        one, other = as_long(tiny.tokenizer, machine[:length], human)
        assert machine.startswith(one)
        assert human.startswith(other)


def test_what_cannot_be_built_is_one_sentence(tiny: LanguageModel) -> None:
    options = {"sampling": Sampling(), "generator": "tiny"}
    with pytest.raises(DataError, match="No text has more than 30 tokens"):
        list(build_pairs(tiny, [("short", "c")], **options))
    with pytest.raises(RequestError, match="length = 3"):
        list(build_pairs(tiny, [("short", "c")], prompt_tokens=3, length=3, **options))


# ---- learning


def test_a_table_has_humans_and_machines_side_by_side(table: Table, pairs: list[Pair]) -> None:
    whole = table.words == 0
    assert whole.sum() == 2 * len(pairs)
    assert table.labels[whole].tolist() == [0] * len(pairs) + [1] * len(pairs)
    assert table.rows.shape[1] == len(names())
    for words in LENGTHS:
        assert all(len(t.split()) <= words + 1 for t, w in zip(table.texts, table.words, strict=True) if w == words)


def test_a_detector_learns_is_kept_and_says_the_same_again(detector: Detector, table: Table, tmp_path: Path) -> None:
    whole = table.words == 0
    scores = detector.scores(table.rows)
    assert auroc(scores[whole & (table.labels == 1)], scores[whole & (table.labels == 0)]) > 0.95
    detector.save(tmp_path / "d.json")
    again = load_detector(tmp_path / "d.json")
    assert again == detector
    np.testing.assert_array_equal(again.scores(table.rows), scores)
    assert (tmp_path / "d.json").stat().st_size < 1_000_000
    assert detector.trained["generators"] == ["tiny"]
    assert detector.trained["samplers"] == ["T=1", "T=1.5 k=40"]
    p = calibrated(detector, table)
    assert ((p > 0) & (p < 1)).all()


def test_scores_are_the_regressions(table: Table, store: Store) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    one = fit(table, name="x", store=store, strength=0.01)
    regression = linear_model.LogisticRegression(C=0.01, max_iter=2000)
    from gpt2lab.apps.detect.fit import _weights

    regression.fit(one.inputs(table.rows), table.labels, sample_weight=_weights(table))
    np.testing.assert_allclose(one.scores(table.rows), regression.decision_function(one.inputs(table.rows)), atol=1e-3)


def test_what_is_said_of_a_text(detector: Detector, pairs: list[Pair], store: Store) -> None:
    reader = store.reader
    kept = Kept(words=10, slope=9.0, offset=0.0, auroc=0.9, tpr=0.5, shares=(0.1, 0.2, None, 0.8, 0.9), counts=(9,) * 5)
    told = replace(detector, kept=(kept, replace(kept, words=1000)))
    machine, human = (told.judge(reader.read(text)) for text in (pairs[0].machine, pairs[0].human))
    assert (machine.call, human.call) == ("machine", "human")
    assert machine.probability is not None
    assert human.probability is not None
    assert machine.probability > 0.8 > 0.2 > human.probability
    assert (machine.share, machine.share_of) == (0.9, 9)
    assert machine.sentence() == "probably machine-written: probability above 0.99 that a machine wrote it"
    assert replace(human, probability=0.105).sentence() == "probably human: probability 0.10 that a machine wrote it"
    short = told.judge(reader.read("three words only"))
    assert (short.call, short.probability) == ("too short", None)
    assert short.sentence() == "too short to say (3 words)"
    strange = replace(told, strange=0.0).judge(reader.read(pairs[0].human))
    assert (strange.call, strange.probability) == ("unlike", None)
    assert strange.sentence() == "no verdict: unlike anything the detector was trained with"


def test_confidence_grows_with_length(detector: Detector) -> None:
    base = Kept(words=50, slope=1.0, offset=0.0, auroc=0.7, tpr=0.1, shares=(None,) * 5, counts=(0,) * 5)
    told = replace(detector, kept=(base, replace(base, words=200, slope=2.0)))
    p = [told.probability(1.0, words) for words in (1, 50, 100, 200, 10_000)]
    assert p[0] == p[1] == pytest.approx(1 / (1 + math.exp(-1)))
    assert p[2] == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert p[3] == p[4] == pytest.approx(1 / (1 + math.exp(-2)))
    assert nearest_length(told.kept, 199) == base
    assert nearest_length(told.kept, 49) is None
    assert [call_of(p) for p in (0.8, 0.79, 0.2, 0.21)] == ["machine", "unsure", "human", "unsure"]


def test_a_detector_knows_its_model_in_any_precision(
    detector: Detector, random_model: Path, performer_folder: Path
) -> None:
    assert not detector.fits(Reader(LanguageModel.load(performer_folder, threads=1)))
    assert detector.fits(Reader(LanguageModel.load("tiny", precision="int8", threads=1)))
    assert not detector.fits(Reader(LanguageModel.load(random_model, threads=1)))


def test_a_file_that_is_no_detector_is_one_sentence(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="holds no detector; write one with gpt2lab detect train"):
        load_detector(path)
    path.write_text('{"nam": 1}', encoding="utf-8")
    with pytest.raises(DataError, match=r"holds no detector that can be used: Unknown key 'nam'\. Did you mean 'name'"):
        load_detector(path)
    with pytest.raises(ConfigError, match="lists do not have the same length"):
        replace(detector, mean=())
    with pytest.raises(ConfigError, match="wants a feature 'smell'"):
        replace(detector, features=("smell", *detector.features[1:]))
    with pytest.raises(ConfigError, match="has format 7; this version of gpt2lab reads 1"):
        replace(detector, format=7)


NAN = float("nan")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d["weights"].__setitem__(0, NAN), "numbers are damaged"),
        (lambda d: d["weights"].__setitem__(0, 1e300), "numbers are damaged"),
        (lambda d: d["scale"].__setitem__(0, 0.0), "numbers are damaged"),
        (lambda d: d.update(features=[], squared=[], mean=[], scale=[], weights=[]), "numbers are damaged"),
        (lambda d: d["kept"][0].update(words=0), "held-out texts of 0 words is damaged"),
        (lambda d: d["kept"][0].update(counts=[], shares=[]), "held-out texts of .* is damaged"),
        (lambda d: d["kept"][0].update(shares=[0.5]), "held-out texts of .* is damaged"),
        (lambda d: d["kept"][0].update(slope=NAN), "held-out texts of .* is damaged"),
        (lambda d: d["kept"].reverse(), "not in the order of their lengths"),
        (lambda d: d["humans"][0]["quantiles"].update(smell=[0.0, 1.0]), "'smell' on human texts is damaged"),
        (lambda d: d["humans"][0]["quantiles"].update(rank=5), "'rank' on human texts is damaged"),
        (lambda d: d["humans"][0]["quantiles"].update(rank=[]), "'rank' on human texts is damaged"),
        (lambda d: d["humans"][0]["quantiles"].update(rank=["a", "b"]), "'rank' on human texts is damaged"),
        (lambda d: d["humans"][0]["quantiles"].update(rank=[1.0, 0.0]), "'rank' on human texts is damaged"),
    ],
)
def test_a_damaged_detector_gives_no_verdict(damage: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    values = read_json(DEFAULT)
    damage(values)
    (tmp_path / "d.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_detector(tmp_path / "d.json")


def test_too_few_documents_are_one_sentence(pairs: list[Pair], store: Store) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(DataError, match="3 documents are too few to learn from; 10 are needed"):
        fit(tabulate(pairs[:3], store), name="x", store=store)


# ---- the baseline


def test_tfidf_is_scikit_learns(pairs: list[Pair], tmp_path: Path) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = [t for p in pairs for t in (p.human, p.machine)]
    labels, groups = [0, 1] * len(pairs), [p.document for p in pairs for _ in range(2)]
    learnt = fit_tfidf(texts, labels, groups, name="words", trained={"pairs": len(pairs)}, least=2)
    learnt.save(tmp_path / "t.json")
    again = load_tfidf(tmp_path / "t.json")
    vectorizer = text.TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    rows = vectorizer.fit_transform(texts)
    assert vectorizer.get_feature_names_out().tolist() == list(again.terms)
    expected = rows @ np.asarray(again.weights) + again.intercept
    np.testing.assert_allclose(again.scores(texts), expected, rtol=1e-9, atol=1e-9)
    assert again.scores(["zzzz"]).tolist() == [again.intercept]
    with pytest.raises(DataError, match="No word is in 500 of the texts"):
        fit_tfidf(texts, labels, groups, name="x", trained={}, least=500)
    (tmp_path / "t.json").write_text('{"kind": "tfidf"}', encoding="utf-8")
    with pytest.raises(DataError, match="holds no detector that can be used"):
        load_tfidf(tmp_path / "t.json")
    for damaged in ({"weights": (NAN, 1.0)}, {"terms": ("sea", "sea")}):
        with pytest.raises(ConfigError, match="terms or numbers are damaged"):
            TfIdf(**{"name": "x", "terms": ("sea", "ship"), "idf": (1.0, 1.0), "weights": (1.0, 1.0), "intercept": 0.0,
                     "trained": {}, **damaged})  # fmt: skip


# ---- reports


def test_a_report_judges_every_detector_on_the_same_texts(
    detector: Detector, table: Table, store: Store, tmp_path: Path
) -> None:
    detector.save(tmp_path / "d.json")
    scorers, probabilities = judged([tmp_path / "d.json"], store.reader)
    with pytest.raises(DataError, match="Two of the detectors are called 'test'"):
        judged([tmp_path / "d.json"] * 2, store.reader)
    found = judge(table, {**scorers, **zero_shot_scorers()}, probabilities)
    lines = {(line.kind, line.name): line for line in found.lines}
    assert {kind for kind, _ in lines} == {"all", "set", "generator", "corpus", "sampler", "length"}
    assert lines["sampler", "T=1.5 k=40"].pairs == lines["corpus", "two"].pairs
    whole = table.words == 0
    scores = detector.scores(table.rows)
    expected = auroc(scores[whole & (table.labels == 1)], scores[whole & (table.labels == 0)])
    assert lines["all", "all"].auroc["test"] == pytest.approx(expected)
    assert found.paired["test"] > 0.9
    assert sum(b.size for b in found.diagrams["test"]) == whole.sum()
    json.dumps(plain(found), allow_nan=False)
    text = "".join(markdown(rows) for _, rows in tables(found))
    assert "| set | pairs | test | likelihood |" in text
    assert "<svg" in diagram_svg(found.diagrams)
