"""Fields as tokens: nothing a text holds can end its field, and Grover's table is Grover's."""

from __future__ import annotations

import calendar
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt2lab.apps.articles.codec import Codec, grover_tokenizer, with_fields
from gpt2lab.apps.articles.fields import FIELD_TOKENS, FIELDS, PADDING, field_named
from gpt2lab.apps.articles.records import article_of
from gpt2lab.checkpoint import load
from gpt2lab.errors import CheckpointError, RequestError, TokenizerError
from gpt2lab.tokenizer import Tokenizer

HOSTILE = [
    *FIELD_TOKENS,
    PADDING,
    "<|endoftext|>",
    "<|resetcontext|>",
    "<|",
    "|>",
    "<|endof",
    "\x00",
    "\ufffd",
    "🦭",
    "\n",
]
TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), min_size=1, max_size=6).map("".join)
RECORDS = st.dictionaries(st.sampled_from(FIELDS), TEXTS.filter(bool))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=RECORDS, order=st.permutations(FIELDS))
def test_every_record_comes_back_whatever_its_texts_hold(codec: Codec, texts: Any, order: Any) -> None:
    texts = {f: t.encode("utf-8", "replace").decode() for f, t in texts.items()}
    ids = codec.encode(texts, order)
    assert codec.decode(ids) == texts
    special = set(codec.tokenizer.special_tokens.values())
    assert sum(i in special for i in ids) == 2 * len(texts), "a text held a token of a field"


def test_a_field_that_was_cut_has_the_text_there_is(codec: Codec) -> None:
    ids = codec.piece("article", "the old sailor")[:-1]
    whole = codec.piece("title", "a grey cat")
    assert codec.decode([*ids, codec.padding, *whole]) == {"article": "the old sailor", "title": "a grey cat"}
    assert codec.decode([5, 6, *whole, 7]) == {"title": "a grey cat"}
    assert codec.decode(ids) == {"article": "the old sailor"}


def test_a_prompt_has_the_other_fields_in_canonical_order(codec: Codec) -> None:
    texts = {"title": "a cat", "domain": "a.example", "article": "the sailor", "date": "May 01, 2019"}
    found = codec.context(texts, "title", 1000)
    assert found.cut == 0
    assert found.ids[0] == codec.tokenizer.bos_id
    assert found.ids[-1] == codec.begin["title"]
    assert list(codec.decode(found.ids[:-1]).items()) == [(f, texts[f]) for f in ("domain", "date", "article")]


def test_a_prompt_that_is_too_long_loses_the_end_of_the_body(codec: Codec) -> None:
    body = "the old sailor wrote a letter " * 20
    texts = {"domain": "a.example", "article": body, "summary": "a grey cat"}
    whole = codec.context(texts, "title", 10_000)
    for most in (60, 80, 120):
        found = codec.context(texts, "title", most)
        assert len(found.ids) == most
        back = codec.decode(found.ids[:-1])
        assert (back["domain"], back["summary"]) == ("a.example", "a grey cat")
        assert body.startswith(back["article"]) and back["article"]
        assert codec.padding in found.ids
        assert found.cut == len(whole.ids) - (len(found.ids) - 1)
    assert codec.context(texts, "title", 4).ids[-1] == codec.begin["title"]
    assert len(codec.context(texts, "title", 4).ids) == 4


def test_all_special_tokens_but_the_end_of_the_target_are_foreign(codec: Codec) -> None:
    foreign = set(codec.foreign("date", codec.tokenizer.vocab_size + 3))
    special = set(codec.tokenizer.special_tokens.values())
    assert special - foreign == {codec.end["date"]}
    assert foreign - special == {codec.tokenizer.vocab_size + i for i in range(3)}


def test_a_model_without_fields_is_told_so(random_model: Path) -> None:
    tokenizer = load(random_model).tokenizer
    assert tokenizer is not None
    with pytest.raises(CheckpointError, match=r"knows no fields of articles .* gpt2lab article train"):
        Codec(tokenizer)
    again = with_fields(with_fields(tokenizer))
    assert again.vocab_size == tokenizer.vocab_size + 13
    assert again.pad_id == again.id_of(PADDING)


def test_the_names_of_fields() -> None:
    assert [field_named(n) for n in ("title", "headline", "text", "author")] == ["title", "title", "article", "authors"]
    with pytest.raises(RequestError, match=r"'tittle' is not a field of an article. Did you mean 'title'\? Fields: "):
        field_named("tittle")


# ---- Grover's table --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(shared_data: Path) -> Tokenizer:
    return Tokenizer.from_folder(shared_data / "gpt2_bpe")


def literal_port(encoder: dict[str, int], gpt2: Tokenizer, item: dict[str, Any]) -> dict[str, list[int]]:
    """What the released encoder.py makes of a record, step by step; GPT-2's own merging is taken as read."""
    table = {token: number + 1 for token, number in encoder.items()}
    table["<|padding|>"] = 0
    del table["<|endoftext|>"]
    special: dict[str, int] = {}
    for name in ("domain", "date", "authors", "title", "article", "summary"):
        for part in ("begin", "endof"):
            special[part + name] = len(table)
            table[f"<|{part}{name}|>"] = len(table)
    table["<|resetcontext|>"] = len(table)
    assert (len(table), special["begindomain"], special["endofsummary"]) == (50270, 50257, 50268)

    def piece(name: str, text: str) -> list[int]:
        return [special["begin" + name], *(i + 1 for i in gpt2.encode(text)), special["endof" + name]]

    made = {"article": piece("article", item["text"]), "domain": piece("domain", item["domain"])}
    made["title"] = piece("title", item["title"])
    if item["summary"] and len(item["summary"]) > 50:
        made["summary"] = piece("summary", item["summary"])
    month, day, year = item["publish_date"].split("-")
    made["date"] = piece("date", f"{calendar.month_name[int(month)]} {day}, {year}")
    if len(", ".join(item["authors"])) > 5:
        made["authors"] = piece("authors", ", ".join(item["authors"]))
    return made


def test_grovers_table_and_pieces(gpt2: Tokenizer, shared_data: Path) -> None:
    grover = grover_tokenizer(gpt2)
    codec = Codec(grover)
    assert grover.vocab_size == 50270
    assert (codec.padding, codec.begin["domain"], codec.end["summary"]) == (0, 50257, 50268)
    assert grover.id_of("<|resetcontext|>") == 50269
    assert "<|endoftext|>" not in grover.vocab
    assert codec.start == []
    encoder = json.loads((shared_data / "gpt2_bpe" / "encoder.json").read_text(encoding="utf-8"))
    for name in ("grover_april2019_set_mini", "grover_realnews_tiny"):
        for line in (shared_data / "news" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            texts = article_of(item).texts()
            assert {f: codec.piece(f, t) for f, t in texts.items()} == literal_port(encoder, gpt2, item)
            assert codec.decode(codec.encode(texts)) == texts


def test_grovers_table_is_saved_and_found_again(gpt2: Tokenizer, tmp_path: Path) -> None:
    grover = grover_tokenizer(gpt2)
    grover.save(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    assert dict(again.vocab) == dict(grover.vocab)
    assert again.encode("Sea lions, 1,700 of them <|endofarticle|>") == grover.encode(
        "Sea lions, 1,700 of them <|endofarticle|>"
    )


def test_grovers_table_needs_gpt2s(codec: Codec) -> None:
    with pytest.raises(TokenizerError, match="made of GPT-2's own vocabulary of 50257 tokens; this one has"):
        grover_tokenizer(codec.tokenizer)
