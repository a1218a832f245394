"""Pairs from files of every form, and every mistake in them as one sentence with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from gpt2lab.apps.seq2seq.derive import DeriveOptions, derived
from gpt2lab.apps.seq2seq.pairs import Pair, divided, read_pairs, read_side
from gpt2lab.apps.seq2seq.settings import seq2seq_recipe
from gpt2lab.errors import ConfigError, DataError

WANTED = [Pair("a grey cat", "eine graue Katze"), Pair("the café", "das\u2028Café")]


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_pairs_are_the_same_from_every_form(tmp_path: Path) -> None:
    plain = "".join(f"{p.source}\t{p.target}\r\n" for p in WANTED)
    named = "n\tde\ten\n" + "".join(f"{i}\t{p.target}\t{p.source}\n" for i, p in enumerate(WANTED))
    lines = "".join(json.dumps({"source": p.source, "more": 1, "target": p.target}) + "\n\n" for p in WANTED)
    one = written(tmp_path, "x.en", "".join(f"{p.source}\n" for p in WANTED))
    other = written(tmp_path, "x.de.gz", gzip.compress("".join(f"{p.target}\n" for p in WANTED).encode()))
    assert read_pairs([written(tmp_path, "a.tsv", "\ufeff" + plain)]) == WANTED
    assert read_pairs([written(tmp_path, "b.tsv", named)], source="en", target="de") == WANTED
    assert read_pairs([written(tmp_path, "c.jsonl", lines)]) == WANTED
    assert read_pairs([one, other]) == WANTED
    sources = [p.source for p in WANTED]
    targets = [p.target for p in WANTED]
    assert read_side(one) == read_side(tmp_path / "b.tsv", name="en") == sources
    for name in ("a.tsv", "c.jsonl"):
        assert (read_side(tmp_path / name), read_side(tmp_path / name, name="target")) == (sources, targets)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "x\ty\nx\n", r"a\.tsv, line 2 has 1 columns; two are needed"),
        ("a.tsv", "x\ty\tz\n", r"a\.tsv, line 1 has 3 columns; two are needed, source and target"),
        ("a.tsv", "source\ttarget\nx\n", r"a\.tsv, line 2 has 1 columns, too few for 'source' and 'target'"),
        ("a.tsv", "x\ty\n\nx\t \n", r"a\.tsv, line 3: the target is empty; leave the pair out"),
        ("a.tsv", b"x\ty\n\xff\ty\n", r"a\.tsv, line 2 is not UTF-8 text"),
        ("a.jsonl", '{"source": "x"}', r"a\.jsonl, line 1 has no text under 'target'; it has: 'source'"),
        ("a.jsonl", '{"source": "", "target": "y"}', r"a\.jsonl, line 1: the source is empty"),
        ("a.jsonl", '["x", "y"]', r"a\.jsonl, line 1 is no JSON object with 'source' and 'target'"),
        ("a.jsonl", "x", r"a\.jsonl, line 1 is not JSON"),
        ("a.jsonl", '{"source": ' + "9" * 5000 + "}", r"a\.jsonl, line 1 is not JSON: a number has too many digits"),
        ("a.jsonl", "\n", r"a\.jsonl hold no pairs"),
        ("a.txt", "x\n", r"Pairs come from one \.tsv or \.jsonl file, or from two files .* not from .*a\.txt"),
    ],
)
def test_a_mistake_names_file_and_line(name: str, text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs([written(tmp_path, name, text)])


def test_mistakes_in_files_of_lines_and_in_columns(tmp_path: Path) -> None:
    one, other = written(tmp_path, "x.en", "a\nb\n"), written(tmp_path, "x.de", "c\n")
    with pytest.raises(DataError, match=r"x\.en has 2 lines and .*x\.de 1; each line needs its own"):
        read_pairs([one, other])
    with pytest.raises(DataError, match=r"x\.de, line 2: the target is empty"):
        read_pairs([one, written(tmp_path, "x.de", "c\n \n")])
    table = written(tmp_path, "x.tsv", "en\tde\na\tb\n")
    with pytest.raises(DataError, match=r"x\.tsv, line 1 names no columns 'english' and 'de'; it has: 'en', 'de'"):
        read_pairs([table], source="english", target="de")
    with pytest.raises(DataError, match=r"short\.tsv, line 2 has no column 'de'; it has 1 columns"):
        read_side(written(tmp_path, "short.tsv", "en\tde\na\n"), name="de")
    with pytest.raises(DataError, match=r"no\.tsv does not exist"):
        read_pairs([tmp_path / "no.tsv"])


def test_what_is_held_out_does_not_depend_on_the_order() -> None:
    pairs = [Pair(f"source {n // 2}", f"target {n}") for n in range(400)]
    training, held_out = divided(pairs, 0.1)
    assert 40 <= len(held_out) <= 41 and len(training) + len(held_out) == 400
    assert {p.source for p in training}.isdisjoint(p.source for p in held_out)
    assert set(divided(pairs[::-1], 0.1)[1]) == set(held_out)
    with pytest.raises(DataError, match="Of 1 pairs none is left to learn"):
        divided(pairs[:1], 0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "music"}, r'\[task\] must say kind = "seq2seq"'),
        ({}, r"Missing key 'task\.train'"),
        ({"noise": 1.0}, r"task\.noise = 1\.0 must be in \[0, 1\)"),
        ({"label_smoothing": -0.1}, r"task\.label_smoothing = -0\.1 must be in"),
        ({"source_weight": -1}, r"task\.source_weight = -1\.0 must not be negative"),
        ({"beams": 0}, r"task\.beams = 0 must be at least 1"),
        ({"target_tokens": 1}, r"task\.target_tokens = 1 must be at least 2"),
        ({"validation_share": 0.5}, r"task\.validation_share = 0\.5 must be between 0 and 0\.5"),
        ({"delimiter": "<|endoftext|>"}, r"must be two different tokens"),
        ({"metric": "bleurt"}, r"task\.metric = 'bleurt' is not one of 'bleu', 'rouge'"),
    ],
)
def test_an_impossible_setting_is_one_sentence(values: dict[str, object], message: str) -> None:
    given = {"kind": "seq2seq", **({"train": ["a.tsv"]} if values else {}), **values}
    with pytest.raises(ConfigError, match=message):
        seq2seq_recipe(given)


def test_first_sentences_and_titles_are_derived(tmp_path: Path) -> None:
    body = "It rained on the harbour. The sailor slept. Mr. Hyde walked on\nand on, all night. The cat did not."
    records = [{"title": "The  Rain", "text": f"CHAPTER I\n\n{body}\n\nToo short. Much."}, {"title": "x", "text": body}]
    path = written(tmp_path, "books.jsonl", "".join(json.dumps(r) + "\n" for r in records))
    found = list(derived(path, DeriveOptions(least=40, most=200)))
    rest = "The sailor slept. Mr. Hyde walked on and on, all night. The cat did not."
    assert [pair for pair, _ in found] == [Pair(rest, "It rained on the harbour.")] * 2
    assert len({name for _, name in found}) == 2
    assert len(list(derived(path, DeriveOptions(least=40, most=200, every=2)))) == 1
    (first, _), _ = derived(path, DeriveOptions(target="title", least=10, most=20))
    assert first == Pair(records[0]["text"][:20], "The Rain")
    with pytest.raises(DataError, match=r"books\.jsonl, line 1 has no text under 'title'"):
        list(derived(written(tmp_path, "books.jsonl", '{"text": "x"}'), DeriveOptions(target="title")))
    with pytest.raises(DataError, match=r"books\.jsonl, line 1 is not JSON"):
        list(derived(written(tmp_path, "books.jsonl", "x"), DeriveOptions()))
    for wrong, message in (({"least": 9, "most": 8}, "From 9 to 8 characters"), ({"every": 0}, "every = 0")):
        with pytest.raises(ConfigError, match=message):
            DeriveOptions(**wrong)  # type: ignore[arg-type]
