"""Records of many makes become articles, and go back without a loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab.apps.articles.dates import date_text, record_date
from gpt2lab.apps.articles.records import Article, article_of, read_articles
from gpt2lab.errors import DataError


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("04-19-2019", "April 19, 2019"), ("4-9-2019", "April 9, 2019"), ("12-01-2000", "December 01, 2000"),
        ("2019-04-19", "April 19, 2019"), ("2019-04-19T11:22:33Z", "April 19, 2019"),
        ("2019-04-19 11:22", "April 19, 2019"), (1474490291000, "September 21, 2016"),
        (1474490291, "September 21, 2016"), (1474490291.5, "September 21, 2016"), (-86400, "December 31, 1969"),
        ("last Tuesday", "last Tuesday"), (" April 19, 2019 ", "April 19, 2019"), (None, ""), ("", ""),
    ],
)  # fmt: skip
def test_dates(given: object, text: str) -> None:
    assert date_text(given) == text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("13-19-2019", "no month 13"),
        (True, "not text or a number but bool"),
        (["x"], "but list"),
        (1e300, "no number of"),
        (10**400, "no number of"),
    ],
)
def test_what_is_no_date(given: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        date_text(given)


def test_a_date_goes_back() -> None:
    assert record_date("April 19, 2019") == "04-19-2019"
    assert record_date("April 9, 2019") == "04-09-2019"
    assert record_date("last Tuesday") == "last Tuesday"


def test_keys_of_many_makes() -> None:
    by_realnews = {
        "domain": "a.example", "publish_date": "04-19-2019", "authors": ["Ann Lee", "Bo Li"], "title": "Seals",
        "text": "They came.", "summary": None,
    }  # fmt: skip
    by_others = {
        "domain": "a.example", "date": 1555632000000, "author": "Ann Lee, Bo Li", "headline": "Seals",
        "body": "They came.",
    }  # fmt: skip
    expected = {
        "domain": "a.example", "date": "April 19, 2019", "authors": "Ann Lee, Bo Li", "title": "Seals",
        "article": "They came.",
    }  # fmt: skip
    assert article_of(by_realnews).texts() == article_of(by_others).texts() == expected
    assert list(article_of(by_realnews).texts()) == list(expected), "canonical order"


def test_noise_is_left_out_of_the_article_and_kept_in_the_record() -> None:
    record = {"authors": ["Bo"], "summary": "too short to be one", "text": "x", "odd": [1, {"a": 2}]}
    article = article_of(record)
    assert article.texts() == {"article": "x"}
    assert article.to_record() == record


def test_a_change_is_written_with_realnewss_keys_and_nothing_else_changes() -> None:
    record = {"headline": "Seals", "date": 1555632000000, "text": "They came.", "id": 7}
    changed = article_of(record).with_text("title", "Lions").with_text("authors", "Ann Lee, Bo Li")
    assert changed.to_record() == {
        "title": "Lions", "date": 1555632000000, "text": "They came.", "id": 7, "authors": ["Ann Lee", "Bo Li"],
    }  # fmt: skip
    assert Article(date="April 19, 2019", title="x").to_record() == {"publish_date": "04-19-2019", "title": "x"}


def test_the_records_of_the_data_go_back(shared_data: Path) -> None:
    for name in ("grover_april2019_set_mini", "grover_realnews_tiny"):
        lines = (shared_data / "news" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        for line, article in zip(lines, read_articles(lines, name), strict=True):
            assert article.to_record() == json.loads(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"title": 3}', "news, line 2: its title is not text but int."),
        ('{"authors": [1]}', "news, line 2: its authors is not a list of names but list."),
        ("[1]", "news, line 2: an object with the fields of an article is needed, not list."),
        ("{", "news, line 2: it is not JSON: "),
        ('{"publish_date": "99-01-2019"}', "news, line 2: its date '99-01-2019' has no month 99"),
    ],
)
def test_a_broken_record_is_named(line: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        list(read_articles(["{}", line], "news"))
    assert str(error.value).startswith(said)
    assert str(error.value).endswith(".")


def test_bytes_that_are_no_text_are_named() -> None:
    with pytest.raises(DataError, match=r"news, line 1: it is not UTF-8 text: .* at its byte 11\."):
        list(read_articles([b'{"title": "\xff"}'], "news"))


def test_lone_surrogates_become_text() -> None:
    assert article_of({"title": "a\ud800b"}).title == "a\ufffdb"
