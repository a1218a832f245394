"""From web pages to articles: what a page says of itself, and its main text, as `trafilatura` finds them.

Knows one page at a time. The tidying afterwards removes what RealNews's own pipeline found to be no part of an article
(realnews/dedupe_crawl.py of its code).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from gpt2lab.apps.articles.dates import MONTHS, date_text
from gpt2lab.apps.articles.records import Article
from gpt2lab.errors import MissingExtraError

_MOST_NAME_WORDS = 9  # more is no name
_NO_AUTHORS = re.compile(r"^(https?:|www\.|min read)|\.com\b", re.IGNORECASE)
_NO_NAMES = frozenset(name.casefold() for name in ("arts", "politics", "sports", *MONTHS))
_ADVERTISEMENTS = re.compile(r"^(advertisement|share this:?|\[?related:.*|read more:.*|see also:.*)$", re.IGNORECASE)


def article_of_page(html: bytes, url: str = "") -> Article | None:
    """Return the article on a page, None where it has no main text. Raises `MissingExtraError` without trafilatura."""
    try:
        import trafilatura
    except ImportError:
        raise MissingExtraError("Reading web pages", "corpus") from None
    import logging

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is nothing to tell of
    found: Any = trafilatura.bare_extraction(html, url=url or None, include_comments=False, with_metadata=True)
    if found is None or not (found.text or "").strip():
        return None
    address = url or found.url or ""
    return tidied(
        Article(
            domain=domain_of(address),
            date=date_text(found.date or ""),
            authors=(found.author or "").replace("; ", ", "),
            title=found.title or "",
            article=found.text,
            summary=found.description or "",
            url=without_query(address),
        )
    )


def tidied(article: Article) -> Article:
    """Return an article without what is none of it.

    Lines of advertisement, a title repeated at the head of the body, a by-line there (which names the authors if nobody
    else does), names that are none, a summary that breaks off, and more than one line break in a row.
    """
    lines = [line.strip() for line in article.article.split("\n")]
    lines = [line for line in lines if line and not _ADVERTISEMENTS.match(line)]
    if lines and article.title and lines[0].casefold() == article.title.strip().casefold():
        del lines[0]
    authors = [name for name in article.authors.split(", ") if _may_be_author(name)]
    if not authors and len(lines) > 1 and lines[0].startswith("By ") and len(lines[0].split()) <= 6:
        authors = [lines[0][3:].strip()]
        del lines[0]
    summary = "" if article.summary.rstrip().endswith(("...", "…")) else article.summary.strip()
    made = article
    for field, text in (
        ("article", "\n".join(lines)), ("authors", ", ".join(authors)), ("title", article.title.strip()),
        ("summary", summary),
    ):  # fmt: skip
        made = made.with_text(field, text)  # type: ignore[arg-type]
    return made


def domain_of(url: str) -> str:
    """Return the registered domain of an address, "bbc.co.uk" of "https://www.bbc.co.uk/news", "" where it has none."""
    try:
        from tld import get_fld
    except ImportError:
        raise MissingExtraError("Telling the domain of an address", "corpus") from None
    return get_fld(url, fail_silently=True, fix_protocol=True) or ""


def without_query(url: str) -> str:
    """Return an address without what stands behind ? and #: the name of the page, not of the visit."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _may_be_author(name: str) -> bool:
    name = name.strip()
    return (
        bool(name)
        and len(name.split()) <= _MOST_NAME_WORDS
        and not _NO_AUTHORS.search(name)
        and name.casefold() not in _NO_NAMES
    )
