"""How a text is read: places, blanks, measurements kept in a file, zero-shot values by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.apps.detect.features import features, names
from gpt2lab.apps.detect.reading import Reader, flattened
from gpt2lab.apps.detect.store import Store
from gpt2lab.apps.detect.zero_shot import METHODS, bucket_shares, measure, two_sided
from gpt2lab.engine.moments import Moments
from gpt2lab.errors import CheckpointError, DataError, RequestError
from gpt2lab.lm.model import LanguageModel

TEXT = ' The  old sailor\n\nwalked\tslowly to "the harbour". Naïve plans 🙂. '


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


def test_white_space_becomes_single_blanks_whose_places_are_known() -> None:
    plain, places = flattened(TEXT)
    assert plain == " ".join(TEXT.split())
    for i, character in enumerate(plain):
        assert TEXT[places[i]] == character or (character == " " and TEXT[places[i]].isspace())
    assert flattened("  \n") == ("", [4 - 1])


def test_spans_are_those_of_the_text_as_given(lm: LanguageModel) -> None:
    reading = Reader(lm).read(TEXT)
    covered = sorted({place for a, b in reading.spans for place in range(a, b)})
    assert "".join(TEXT[place] for place in covered).split() == TEXT.split()
    assert reading.words == len(TEXT.split())
    assert reading.ends[-1] == len(reading.plain)
    as_given = Reader(lm, layout=True).read(TEXT)
    assert as_given.plain == TEXT
    assert len(as_given.ids) > len(reading.ids)


def test_cutting_after_words(lm: LanguageModel) -> None:
    reading = Reader(lm).read(TEXT)
    words = reading.plain.split()
    for n in range(1, len(words) + 1):
        assert reading.plain[: reading.ends[reading.tokens_of(n) - 1]].split()[:n] == words[:n]
    assert reading.tokens_of(999) == len(reading.ids)


def test_features_of_a_beginning_are_those_of_the_shorter_text(lm: LanguageModel) -> None:
    whole = Reader(lm).read(TEXT * 2)
    cut = whole.tokens_of(8)
    alone = Reader(lm).read(whole.plain[: whole.ends[cut - 1]])
    assert alone.ids.tolist() == whole.ids[:cut].tolist()
    np.testing.assert_allclose(features(alone), features(whole, cut), rtol=1e-4, atol=1e-5)
    assert len(features(whole)) == len(names()) == len(set(names()))
    assert np.isfinite(features(whole)).all()


def test_layout_says_nothing_unless_asked(lm: LanguageModel) -> None:
    flat = " ".join(TEXT.split())
    np.testing.assert_array_equal(features(Reader(lm).read(TEXT)), features(Reader(lm).read(flat)))


def moments(logprobs: list[float], ranks: list[int], entropies: list[float], variances: list[float]) -> Moments:
    rows = [np.asarray(v, np.float32) for v in (logprobs, entropies, variances)]
    return Moments(
        rows[0], np.asarray(ranks, np.int32), rows[1], np.full(len(ranks), -0.5, np.float32), -rows[1], rows[2],
        np.zeros((len(ranks), 0), np.int32), np.zeros((len(ranks), 0), np.float32),
    )  # fmt: skip


def test_the_methods_are_the_papers_formulas() -> None:
    m = moments([math.nan, -1.0, -3.0], [-1, 0, 99], [math.nan, 2.0, 1.0], [math.nan, 1.0, 3.0])
    found = measure(m)
    assert list(found) == list(METHODS)
    assert found["likelihood"] == -2.0
    assert found["rank"] == -50.5
    assert found["log_rank"] == pytest.approx(-math.log(100) / 2)
    assert found["lrr"] == pytest.approx(2.0 / (math.log(100) / 2))
    assert found["entropy"] == 1.5
    assert found["fast_detectgpt"] == pytest.approx((-4.0 + 3.0) / 2.0)
    assert found["binoculars"] == pytest.approx(-2.0 / 1.5)
    assert bucket_shares(m).tolist() == [0.5, 0.5, 0, 0]


def test_a_text_without_a_scored_token_has_no_values() -> None:
    assert all(math.isnan(v) for v in measure(moments([math.nan], [-1], [math.nan], [math.nan])).values())


def test_two_sides_of_the_ordinary() -> None:
    humans = list(np.linspace(0, 1, 41))
    assert two_sided(0.5, humans) == (0.5, 1.0)
    assert two_sided(0.95, humans) == pytest.approx((0.95, 0.1))
    assert two_sided(0.05, humans) == pytest.approx((0.05, 0.1))
    assert two_sided(7.0, humans) == pytest.approx((1.0, 1 / 41))


def test_measurements_are_kept_and_taken_up(lm: LanguageModel, tmp_path: Path) -> None:
    reader = Reader(lm)
    texts = [TEXT, "a grey cat", TEXT]
    fresh = list(Store(reader, tmp_path / "m.npz").read(texts))
    counted: list[int] = []
    again = list(Store(reader, tmp_path / "m.npz").read(texts, lambda done, total: counted.append(done)))
    assert not counted
    for a, b in zip(fresh, again, strict=True):
        np.testing.assert_array_equal(a.moments.logprobs, b.moments.logprobs)
        np.testing.assert_array_equal(features(a), features(b))
    with pytest.raises(DataError, match="measurements of another model or precision"):
        Store(Reader(lm, layout=True), tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="holds no measurements, or is damaged"):
        Store(reader, tmp_path / "m.npz")


def test_what_cannot_be_read_is_one_sentence(lm: LanguageModel) -> None:
    with pytest.raises(RequestError, match="no text to measure; give at least one character that is no blank"):
        Reader(lm).read(" \n")
    with pytest.raises(CheckpointError, match="Detection needs a tokenizer"):
        Reader(LanguageModel(lm.backend, None, source="it"))
    with pytest.raises(RequestError, match="have different vocabularies"):
        Reader(lm, LanguageModel.load("tiny", threads=1))
    with pytest.raises(RequestError, match="measurements are those of another text"):
        Reader(lm).reread("a grey cat", Reader(lm).read("my sister waited").moments)


def test_a_second_model_changes_binoculars_alone(lm: LanguageModel) -> None:
    tiny = LanguageModel.load("tiny", threads=1)
    assert tiny.tokenizer is not None
    alone, both = Reader(tiny).read(TEXT), Reader(tiny, tiny).read(TEXT)
    for name, value in measure(alone.moments).items():
        assert measure(both.moments)[name] == pytest.approx(value, rel=1e-4)
    back = Reader(tiny, tiny).alone(both)
    np.testing.assert_array_equal(back.moments.means, alone.moments.means)
