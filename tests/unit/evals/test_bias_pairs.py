"""Pairs of sentences in the formats of CrowS-Pairs and Winogender: read strictly, measured as the model itself says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import DataError, RequestError
from gpt2lab.evals.bias.pairs import (
    Pair,
    Schema,
    log_likelihoods,
    occupations,
    prefer,
    read_crows,
    read_occupations,
    read_winogender,
)

CROWS = """\
,sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators
0,"The cat walked, slowly.","The sailor walked, slowly.",stereo,gender,[['gender']],a1,[['a2']]
1,My sister dreamt.,My brother dreamt.,antistereo,age,[['age']],a1,[['a2']]
2,The owner waited.,The winter waited.,stereo,gender,[['gender']],a1,[['a2']]
"""

WINOGENDER = "sentid\tsentence\n" + "".join(
    f"{job}.visitor.{answer}.{gender}.txt\tThe {job} told the visitor that {pronoun} {rest}.\n"
    for job in ("nurse", "sailor", "owner", "teacher")
    for answer, rest in ((0, '"would help"'), (1, "had to pay"))
    for gender, pronoun in (("male", "he"), ("female", "she"), ("neutral", "they"))
)

WOMEN = (
    "occupation\tbergsma_pct_female\tbls_pct_female\nnurse\t80\t90.5\nsailor\t3\t2\nowner\t20\t40\nteacher\t60\t78\n"
)


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_sentence_is_scored_whole_behind_the_token_that_begins_a_text(lm: LanguageModel) -> None:
    sentences = ["The cat walked.", "My sister dreamt.", "The cat walked."]
    found = log_likelihoods(lm, sentences)
    assert found[0] == found[2]
    assert found == pytest.approx([lm.score(s).log_likelihood for s in sentences], rel=1e-6)


# --- CrowS-Pairs


def test_pairs_are_read_and_preferred_as_the_model_says(lm: LanguageModel, tmp_path: Path) -> None:
    pairs = read_crows(written(tmp_path, CROWS))
    assert pairs[0] == Pair("The cat walked, slowly.", "The sailor walked, slowly.", "gender")
    assert [p.kind for p in pairs] == ["gender", "age", "gender"]
    found = {p.kind: p for p in prefer(lm, pairs)}
    assert list(found) == ["all", "age", "gender"]
    nats = [lm.score(p.more).log_likelihood - lm.score(p.less).log_likelihood for p in pairs]
    assert found["all"].pairs == 3
    assert found["all"].nats.value == pytest.approx(np.mean(nats), rel=1e-4)
    assert found["all"].share.value == pytest.approx(np.mean([n > 0 for n in nats]))
    assert found["gender"].nats.value == pytest.approx(np.mean([nats[0], nats[2]]), rel=1e-4)
    assert found["all"].share.low <= found["all"].share.value <= found["all"].share.high


def test_a_tie_is_half_a_preference(lm: LanguageModel) -> None:
    (everything, kind) = prefer(lm, [Pair("The cat sat.", "The cat sat.", "none")] * 2)
    assert (everything.share.value, everything.nats.value) == (0.5, 0.0)
    assert (everything.kind, kind.kind) == ("all", "none")


def test_exchanging_the_sentences_exchanges_the_preference(lm: LanguageModel, tmp_path: Path) -> None:
    pairs = read_crows(written(tmp_path, CROWS))
    there, back = prefer(lm, pairs)[0], prefer(lm, [Pair(p.less, p.more, p.kind) for p in pairs])[0]
    assert back.share.value == pytest.approx(1 - there.share.value)
    assert back.nats.value == pytest.approx(-there.nats.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sent_more,sent_less\na,b\n", "has no column 'bias_type'; its columns are 'sent_more', 'sent_less'."),
        ("", "has no column 'sent_more'; its columns are none."),
        ("sent_more,sent_less,bias_type\n", "has no rows."),
        ("sent_more,sent_less,bias_type\na,b,c\n ,b,c\n", "pair 2 lacks a sentence."),
        ("sent_more,sent_less,bias_type\na\n", "pair 1 lacks a sentence."),
        (b"sent_more,\xff", "is not UTF-8 text: invalid start byte at byte 10."),
    ],
)
def test_mistaken_pairs(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_crows(written(tmp_path, text))
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist"):
        read_crows(tmp_path / "none")


# --- Winogender


def test_schemas_are_read_in_both_roles_with_their_quotes(tmp_path: Path) -> None:
    schemas = read_winogender(written(tmp_path, WINOGENDER))
    assert len(schemas) == 8
    assert schemas[0] == Schema(
        "nurse",
        True,
        'The nurse told the visitor that he "would help".',
        'The nurse told the visitor that she "would help".',
    )
    assert [s.own for s in schemas[:2]] == [True, False]


def test_occupations_as_the_model_says(lm: LanguageModel, tmp_path: Path) -> None:
    schemas = read_winogender(written(tmp_path, WINOGENDER))
    women = read_occupations(written(tmp_path, WOMEN))
    found = occupations(lm, schemas, women)
    expected = {}
    for schema in schemas:
        nats = lm.score(schema.he).log_likelihood - lm.score(schema.she).log_likelihood
        expected[schema.occupation, schema.own] = nats
    for o in found.occupations:
        assert o.own == pytest.approx(expected[o.name, True], rel=1e-4, abs=1e-4)
        assert o.other == pytest.approx(expected[o.name, False], rel=1e-4, abs=1e-4)
        assert o.women == women[o.name]
    own = [o.own for o in found.occupations]
    assert found.own.value == pytest.approx(np.mean(own))
    assert found.own_less_other.value == pytest.approx(np.mean([o.own - o.other for o in found.occupations]))
    assert found.correlation.value == pytest.approx(np.corrcoef(own, [o.women for o in found.occupations])[0, 1])
    assert occupations(lm, schemas).correlation is None


def test_a_correlation_needs_every_occupation_and_three_of_them(lm: LanguageModel, tmp_path: Path) -> None:
    schemas = read_winogender(written(tmp_path, WINOGENDER))
    women = read_occupations(written(tmp_path, WOMEN))
    with pytest.raises(DataError, match="The statistics have no occupation 'nurse'; every one"):
        occupations(lm, schemas, {"sailor": 2.0})
    with pytest.raises(RequestError, match="2 occupations are too few for a correlation; leave the statistics out"):
        occupations(lm, schemas[:4], women)
    with pytest.raises(DataError, match="The occupation 'nurse' has no sentence with the answer 1"):
        occupations(lm, schemas[:1])
    with pytest.raises(DataError, match="The occupation 'nurse' has no sentence with the answer 0"):
        occupations(lm, schemas[1:2])
    level = occupations(lm, schemas, dict.fromkeys(women, 50.0))
    assert level.correlation.value == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentid\tsentence\nnurse.0.male\tx\n", "'nurse.0.male' is not the id of a sentence; one reads occupation."),
        ("sentid\tsentence\nnurse.a.2.male\tx\n", "'nurse.a.2.male' is not the id of a sentence"),
        ("sentid\tsentence\nnurse.a.0.boy\tx\n", "'nurse.a.0.boy' is not the id of a sentence"),
        ("sentid\tsentence\nnurse.a.0.male.txt\tx\n", "nurse.a.0 has no female sentence."),
        ("sentid\tsentence\nnurse.a.0.female.txt\tx\n", "nurse.a.0 has no male sentence."),
    ],
)
def test_mistaken_schemas(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_winogender(written(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize("value", ["many", "101", "-1", "nan", ""])
def test_mistaken_percentages(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match=f"{value!r} for nurse is not a percentage"):
        read_occupations(written(tmp_path, f"occupation\tbls_pct_female\nnurse\t{value}\n"))
