"""A corpus of news made of files on this machine: pages, archives and records in, distinct articles with a split out.

What Grover's authors did for RealNews with rented machines (Zellers et al. 2019, section 3): parse, keep what has
enough of an article, leave out copies by address and by the first 100 characters, divide. Reading and near copies are
those of `gpt2lab.data`.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gpt2lab.apps.articles.pages import article_of_page, domain_of, tidied, without_query
from gpt2lab.apps.articles.records import Article, article_of, parsed
from gpt2lab.data.duplicates import NearCopies, Signatures
from gpt2lab.data.fields import Fields
from gpt2lab.data.ngrams import text_hash, word_hashes
from gpt2lab.data.readers import Record, read_records
from gpt2lab.data.sources import Source, find_sources
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import read_json

BEGINNING = 100
"""Characters of a body by which copies are told."""

Domains = Mapping[str, bool | Sequence[str]]
"""Domain -> True, or the subdomains of it that are wanted ("" for none): Grover's table of news sites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """What makes an article, and how articles are divided. Raises `ConfigError` when a value is impossible.

    least_text, least_title: characters a body and a title must have; need_date: whether a date must be known (RealNews
    wants 1000, 30 and yes). domains: a file with the table of the sites that are wanted. near_copies: bodies whose
    estimated share of common runs of five words with an earlier one is that or more are left out; None: only those
    with the same address or beginning are. val_share of the articles are for validation; split_by: a hash of the
    "article" decides, of its "domain" (so that no site is in both), or its "date": the latest are for validation.
    """

    least_text: int = 200
    least_title: int = 1
    need_date: bool = False
    domains: str | None = None
    near_copies: float | None = None
    val_share: float = 0.05
    split_by: Literal["article", "domain", "date"] = "article"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for name in ("least_text", "least_title"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)} must not be negative.")
        if not 0 <= self.val_share < 0.5:
            raise ConfigError(f"val_share = {self.val_share} must be between 0 and 0.5.")
        if self.near_copies is not None and not 0.3 <= self.near_copies <= 1:
            raise ConfigError(f"near_copies = {self.near_copies} must be between 0.3 and 1.")


@dataclass(frozen=True, slots=True)
class Collection:
    """The articles that were kept, each with its split, and how many were left out for which reason."""

    articles: list[Article]
    left_out: dict[str, int]


def collect(
    inputs: Sequence[str | Path], options: CollectOptions | None = None, progress: Callable[[int], None] | None = None
) -> Collection:
    """Return the distinct articles of files, folders and patterns (.html, .warc, .jsonl, .json, each also compressed).

    `progress(n)` is told how many were read. Raises `DataError` for what is missing, of another kind or broken, naming
    the place, and `MissingExtraError` for pages without `gpt2lab[corpus]`.
    """
    options = options or CollectOptions()
    allowed = _domains(options.domains)
    left_out: Counter[str] = Counter()
    kept: list[Article] = []
    seen: set[int] = set()
    for number, article in enumerate(_articles(inputs, options.skip_bad, left_out), start=1):
        if progress is not None:
            progress(number)
        reason = _unfit(article, options, allowed) or _copy(article, seen)
        if reason:
            left_out[reason] += 1
        else:
            kept.append(article)
    if options.near_copies is not None and kept:
        copies = _near_copies(kept, options.near_copies)
        left_out["near copy"] += int(copies.sum())
        kept = [article for article, copy in zip(kept, copies, strict=True) if not copy]
    return Collection(_divided(kept, options), dict(sorted((+left_out).items())))


def _articles(inputs: Sequence[str | Path], skip_bad: bool, left_out: Counter[str]) -> Iterator[Article]:
    sources, _ = find_sources(inputs)
    for source in sources:
        if source.kind not in ("html", "warc", "jsonl", "json"):
            raise DataError(f"{source.path} holds no articles; give web pages, WARC archives or JSON records.")
        for record in read_records(source, Fields()):
            try:
                article = _article(source, record)
            except DataError as error:
                if not skip_bad:
                    raise DataError(f"{source.path}, {record.place}: {error}.") from None
                left_out["broken"] += 1
                continue
            if article is None:
                left_out["no text"] += 1
            else:
                yield article


def _article(source: Source, record: Record) -> Article | None:
    content = record.content
    if source.kind in ("html", "warc"):
        assert isinstance(content, bytes)
        page = article_of_page(content, record.url)
        if page is None or not record.fetched:
            return page
        return dataclasses.replace(page, record={"warc_date": record.fetched})
    article = tidied(article_of(parsed(content) if isinstance(content, bytes) else content))
    if not article.article:
        return None
    if article.url and not article.domain:
        article = article.with_text("domain", domain_of(article.url))
    return article


def _unfit(article: Article, options: CollectOptions, allowed: Domains | None) -> str:
    """Return why an article is not wanted, "" if it is."""
    if len(article.article) < options.least_text:
        return "short text"
    if len(article.title) < options.least_title:
        return "short title"
    if options.need_date and not article.date:
        return "no date"
    if allowed is not None and not _wanted(article, allowed):
        return "other site"
    return ""


def _wanted(article: Article, allowed: Domains) -> bool:
    subdomains = allowed.get(article.domain, False)
    if isinstance(subdomains, bool):
        return subdomains
    host = article.url.partition("://")[2].partition("/")[0]
    return host.removesuffix(article.domain).removesuffix(".") in subdomains


def _copy(article: Article, seen: set[int]) -> str:
    """Return which copy of an earlier article this is, "" if it is none, and remember it then."""
    url, beginning = (
        text_hash(f"{kind} {text}") if text else None
        for kind, text in (("url", without_query(article.url)), ("text", article.article[:BEGINNING]))
    )
    if url in seen:
        return "same address"
    if beginning in seen:
        return "same beginning"
    seen.update(number for number in (url, beginning) if number is not None)
    return ""


def _near_copies(articles: Sequence[Article], threshold: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    maker = Signatures(threshold)
    signatures, bands = maker.of([word_hashes(article.article) for article in articles])
    found = NearCopies(signatures, threshold, np.zeros(len(articles), bool))
    for band in bands.T:
        found.add_band(band)
    return found.copies()


def _divided(articles: Sequence[Article], options: CollectOptions) -> list[Article]:
    """Return the articles with "train" or "val" in their split, in the order they had."""
    if options.split_by == "date":
        latest = sorted(range(len(articles)), key=lambda i: (_day(articles[i]), i), reverse=True)
        chosen = set(latest[: round(len(articles) * options.val_share)])
        held_out = [i in chosen for i in range(len(articles))]
    else:
        keys = [a.domain if options.split_by == "domain" else (a.url or a.article[:BEGINNING]) for a in articles]
        held_out = [text_hash(f"split {key}") < options.val_share * 2**64 for key in keys]
    return [
        dataclasses.replace(article, split="val" if held else "train")
        for article, held in zip(articles, held_out, strict=True)
    ]


def _day(article: Article) -> str:
    """Return a date in an order of time; articles without one come first."""
    month, _, rest = str(article.to_record().get("publish_date") or "").partition("-")
    day, _, year = rest.partition("-")
    return f"{year}-{month}-{day}" if year.isdigit() else ""


def _domains(path: str | None) -> Domains | None:
    if path is None:
        return None
    table = read_json(path)
    if not isinstance(table, dict) or not all(isinstance(v, bool | list) for v in table.values()):
        raise DataError(f"{path} is no table of sites; write {{domain: true}} or {{domain: [subdomains]}} for each.")
    return table


def to_lines(articles: Sequence[Article]) -> Iterator[str]:
    """Yield each article as a line of JSON with RealNews's keys."""
    for article in articles:
        yield json.dumps(article.to_record(), ensure_ascii=False) + "\n"
