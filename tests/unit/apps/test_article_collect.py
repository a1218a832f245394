"""From pages, archives and records to distinct articles with a split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab.apps.articles.collect import CollectOptions, collect, to_lines
from gpt2lab.apps.articles.pages import tidied
from gpt2lab.apps.articles.records import Article
from gpt2lab.errors import ConfigError, DataError

BODY = " ".join(f"Sentence number {i} says that sea lions came back to the pier." for i in range(30))


def record(n: int, **changed: object) -> dict[str, object]:
    words = " ".join(f"Story {n} has a sentence {i} of its own, told on day {n * 31 + i}." for i in range(20))
    return {"url": f"https://site{n % 5}.example/a{n}", "domain": f"site{n % 5}.example", "title": f"Title {n}",
            "text": words, "publish_date": f"0{1 + n % 9}-1{n % 9}-2019", **changed}  # fmt: skip


def written(folder: Path, *records: dict[str, object], name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def test_copies_by_address_beginning_and_words(tmp_path: Path) -> None:
    pytest.importorskip("datasketch")
    first = record(1)
    text = str(first["text"])
    path = written(
        tmp_path, first, record(2), record(3, url="https://site1.example/a1?from=mail#top"),
        record(4, text=text[:100] + " and something else " * 20), record(5, text="Exclusive: " + text),
    )  # fmt: skip
    found = collect([path], CollectOptions(near_copies=0.6))
    assert found.left_out == {"near copy": 1, "same address": 1, "same beginning": 1}
    assert [a.title for a in found.articles] == ["Title 1", "Title 2"]
    assert len(collect([path]).articles) == 3


def test_what_is_no_article_is_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path, record(1), record(2, text="short"), record(3, title="x"), record(4, publish_date=None),
        record(5, text=None),
    )  # fmt: skip
    found = collect([path], CollectOptions(least_title=5, need_date=True))
    assert found.left_out == {"no date": 1, "no text": 1, "short text": 1, "short title": 1}
    assert len(found.articles) == 1


def test_only_the_sites_of_a_table(tmp_path: Path) -> None:
    path = written(
        tmp_path, record(1), record(2), record(3, url="https://news.site3.example/x"), record(8),
    )  # fmt: skip
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"site1.example": True, "site3.example": ["news"]}), encoding="utf-8")
    found = collect([path], CollectOptions(domains=str(table)))
    assert [a.title for a in found.articles] == ["Title 1", "Title 3"]
    assert found.left_out == {"other site": 2}
    table.write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match=r"is no table of sites; write \{domain: true\}"):
        collect([path], CollectOptions(domains=str(table)))


def test_splits(tmp_path: Path) -> None:
    path = written(tmp_path, *(record(n) for n in range(300)))
    by_article = collect([path], CollectOptions(val_share=0.1)).articles
    held_out = {a.title for a in by_article if a.split == "val"}
    assert 10 <= len(held_out) <= 55
    shuffled = written(tmp_path, *(record(n) for n in reversed(range(300))), name="b.jsonl")
    again = collect([shuffled], CollectOptions(val_share=0.1)).articles
    assert {a.title for a in again if a.split == "val"} == held_out, "it depends on the order of the input"
    by_domain = collect([path], CollectOptions(val_share=0.4, split_by="domain")).articles
    sides = {a.split: {b.domain for b in by_domain if b.split == a.split} for a in by_domain}
    assert not sides.get("val", set()) & sides["train"]
    by_date = collect([path], CollectOptions(val_share=0.2, split_by="date")).articles
    days = {s: {str(a.to_record()["publish_date"]) for a in by_date if a.split == s} for s in ("train", "val")}
    assert len([a for a in by_date if a.split == "val"]) == 60
    assert min(days["val"]) >= max(days["train"])


def test_records_go_out_with_realnewss_keys(tmp_path: Path) -> None:
    path = written(tmp_path, record(1, id=9))
    (line,) = to_lines(collect([path], CollectOptions(val_share=0)).articles)
    assert json.loads(line) == {**record(1, id=9), "split": "train"}


def test_tidying() -> None:
    body = "Seals return\nBy Ann Lee\nAdvertisement\n\n\nThey came back.\nRELATED: more seals\n  It rained.  "
    made = tidied(Article(title="Seals Return", article=body, authors="Politics, www.a.example", summary="They came…"))
    assert made == Article(title="Seals Return", article="They came back.\nIt rained.", authors="Ann Lee")
    kept = Article(title="x", article="By the sea they came back.\nIt rained.", authors="Bo Li", summary="They came.")
    assert tidied(kept) == kept


def page(title: str, body: str) -> str:
    paragraphs = "".join(f"<p>{line}</p>" for line in body.split("\n"))
    return (
        f'<html><head><title>{title}</title><meta name="author" content="Ann Lee">'
        '<meta property="article:published_time" content="2019-04-19T10:00:00Z">'
        '<meta name="description" content="What happened at the pier when the sea lions came back to it at last.">'
        f"</head><body><nav>Home News Sport</nav><article><h1>{title}</h1>{paragraphs}</article>"
        "<footer>All rights</footer></body></html>"
    )


def test_a_page_becomes_an_article(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    (tmp_path / "page.html").write_text(page("Sea lions return", BODY + "\n" + BODY[::-1]), encoding="utf-8")
    (article,) = collect([tmp_path / "page.html"]).articles
    assert (article.title, article.authors, article.date) == ("Sea lions return", "Ann Lee", "April 19, 2019")
    assert article.article.startswith("Sentence number 0")
    assert "All rights" not in article.article
    assert article.summary.startswith("What happened at the pier")


def test_an_archive_gives_addresses_domains_and_days(tmp_path: Path) -> None:
    pytest.importorskip("fastwarc")
    pytest.importorskip("trafilatura")
    parts = []
    for n, status in enumerate((200, 404, 200)):
        html = page(f"Story {n} of the pier", f"{n} " + BODY).encode()
        http = f"HTTP/1.1 {status} OK\r\nContent-Type: text/html\r\nContent-Length: {len(html)}\r\n\r\n".encode() + html
        parts.append(
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://www.bbc.co.uk/news/{n}?a=1\r\n"
            f"WARC-Date: 2019-04-24T06:43:30Z\r\nWARC-Record-ID: <urn:uuid:{n:08}-0000-0000-0000-000000000000>\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n".encode()
            + http + b"\r\n\r\n"
        )  # fmt: skip
    (tmp_path / "crawl.warc").write_bytes(b"".join(parts))
    found = collect([tmp_path / "crawl.warc"])
    assert [(a.url, a.domain) for a in found.articles] == [
        ("https://www.bbc.co.uk/news/0", "bbc.co.uk"), ("https://www.bbc.co.uk/news/2", "bbc.co.uk"),
    ]  # fmt: skip
    assert found.articles[0].to_record()["warc_date"] == "20190424064330"


def test_mistakes(tmp_path: Path) -> None:
    broken = tmp_path / "a.jsonl"
    broken.write_text(json.dumps(record(1)) + '\n{"text": 5}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: its article is not text but int\."):
        collect([broken])
    assert collect([broken], CollectOptions(skip_bad=True)).left_out == {"broken": 1}
    text = tmp_path / "a.txt"
    text.write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="holds no articles; give web pages, WARC archives or JSON records"):
        collect([text])
    for wrong in ({"least_text": -1}, {"val_share": 0.5}, {"near_copies": 0.1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CollectOptions(**wrong)
