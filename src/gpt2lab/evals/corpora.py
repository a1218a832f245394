"""Running text to be measured: the files of the corpora, line by line, with the units that are counted in them.

Knows the files and how their text may be written, no figures. What is counted are the units of the original: words and
one end mark for every line, as the literature counts WikiText and the Penn Treebank, whatever the text looks like that
the model reads.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpt2lab.errors import DataError
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.task import Provenance
from gpt2lab.files import sha256_of


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text: where it ends in the text's bytes, and the units that it counts for."""

    end: int
    units: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is read as one, and its parts in order."""

    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of a corpus: names they have, the hub's dataset and its column of lines, the published counts.

    hub_counts: those of the hub's dataset, where it holds more than the file. last: the bytes at the end of the file
    that are the test, of a file of `whole` bytes. origin: where the files are.
    """

    files: tuple[str, ...]
    hub: HubData | None = None
    column: str = "text"
    margin: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    hub_counts: Mapping[str, int] | None = None
    whole: int | None = None
    last: int | None = None
    origin: str = ""


KILOBYTE = 1024
"""Bytes of a part of a corpus that has no lines."""

_WIKITEXT = "Salesforce/wikitext"

CORPORA = {
    "wikitext2": Corpus(
        ("wiki.test.tokens", "wikitext-2/wiki.test.tokens", "test.txt"),
        HubData(_WIKITEXT, "wikitext-2-v1", "test"),
        counts={"lines": 4358, "words with one end mark a line": 245_569},
    ),
    "wikitext2_raw": Corpus(
        ("wiki.test.raw", "wikitext-2-raw/wiki.test.raw"),
        HubData(_WIKITEXT, "wikitext-2-raw-v1", "test"),
        counts={"lines": 4358, "words with one end mark a line": 245_569},
    ),
    "wikitext103": Corpus(
        ("wikitext-103/wiki.test.tokens", "wiki.test.tokens"),
        HubData(_WIKITEXT, "wikitext-103-v1", "test"),
        counts={"lines": 4358, "words with one end mark a line": 245_569},
    ),
    "ptb": Corpus(
        ("ptb.test.txt", "simple-examples/data/ptb.test.txt"),
        HubData("ptb-text-only/ptb_text_only", "penn_treebank", "test"),
        column="sentence",
        counts={"lines": 3761, "words with one end mark a line": 82_430},
    ),
    "enwik8": Corpus(
        ("enwik8", "enwik8.zip", "enwik5"),
        whole=100_000_000,
        last=5_000_000,
        origin="http://mattmahoney.net/dc/enwik8.zip",
    ),
    "text8": Corpus(
        ("text8", "text8.zip"), whole=100_000_000, last=5_000_000, origin="http://mattmahoney.net/dc/text8.zip"
    ),
    "1bw": Corpus(
        (
            "news.en.heldout-00000-of-00050",
            "1-billion-word-language-modeling-benchmark-r13output/heldout-monolingual.tokenized.shuffled/"
            "news.en.heldout-00000-of-00050",
        ),
        HubData("billion-word-benchmark/lm1b", "plain_text", "test"),
        margin=False,
        hub_counts={"lines": 306_688},  # all fifty held-out files
        origin="https://www.statmt.org/lm-benchmark/",
    ),
}
"""The corpora by name. Counts: Merity et al. 2017 (WikiText), Mikolov et al. 2010 (the Penn Treebank), Mahoney (enwik8
and text8: the last 5,000,000 bytes are the test)."""


def load_lines(name: str, place: Place, limit: int | None) -> tuple[list[str], Provenance]:
    """Return the first `limit` lines of a corpus without their ends. Raises `DataError`."""
    corpus = CORPORA[name]
    path = place.find(name, corpus.files, corpus.hub, origin=corpus.origin)
    wanted = corpus.counts
    if is_parquet(path):
        wanted = wanted if corpus.hub_counts is None else corpus.hub_counts
        rows = [row[corpus.column] for row in parquet_rows(path, [corpus.column])]
        lines = [_line(row, corpus.margin) for row in rows]
    else:
        text = read_text(path)
        if not text.endswith("\n"):
            raise DataError(f"{path} ends in the middle of a line; it is damaged.")
        lines = text.split("\n")[:-1]
    counts = {"lines": len(lines), "words with one end mark a line": sum(words_of(line) for line in lines)}
    official = check_counts(path, counts, wanted, refuse=place.official)
    return lines[:limit], Provenance(str(path), sha256_of(path), official, counts)


def _line(row: str, margin: bool) -> str:
    """Return a row of the hub's form of a corpus as the line of the original file that it was made of."""
    words = row.removesuffix("\n").strip(" ")
    if not margin:
        return words
    return f" {words} " if words else " "


def words_of(line: str) -> int:
    """Return the number of words of a line of tokens, with one for its end."""
    return len(line.split()) + 1


def load_bytes(name: str, place: Place, limit: int | None) -> tuple[bytes, Provenance]:
    """Return the test part of a corpus that is counted in bytes: its first `limit` kilobytes. Raises `DataError`."""
    corpus = CORPORA[name]
    path = place.find(name, corpus.files, corpus.hub, origin=corpus.origin)
    if is_parquet(path):
        raise DataError(f"{path} is a table, but {name} is measured byte by byte; give the file itself.")
    data = _unzipped(path) if zipfile.is_zipfile(path) else path.read_bytes()
    wanted = {"bytes": corpus.whole} if corpus.whole else {}
    official = check_counts(path, {"bytes": len(data)}, wanted, refuse=place.official)
    if official and corpus.last:
        data = data[-corpus.last :]
    counts = {"bytes": len(data)}
    if limit is not None:
        data = data[: limit * KILOBYTE]
    return data, Provenance(str(path), sha256_of(path), official, counts)


def _unzipped(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0])
    except (zipfile.BadZipFile, IndexError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a whole zip archive: {error}.") from None


def pages(lines: Sequence[str]) -> list[str]:
    """Return WikiText's lines as articles, as lm-eval's dataset has them: each begins with a heading of first order."""
    found: list[list[str]] = [[]]
    for line in [*lines, ""]:
        bare = line.replace("= = =", "===").replace("= =", "==").strip()
        if bare.startswith("= ") and bare.endswith(" ="):
            if "\n".join(found[-1]).strip():
                found.append([])
            else:
                found[-1] = []
        found[-1].append(line)
    return ["\n".join(page) for page in found]


def blanks_between(text: str) -> int:
    """Return how many pieces white space cuts a text into, empty ones at its ends included: lm-eval's words."""
    return len(re.split(r"\s+", text))
