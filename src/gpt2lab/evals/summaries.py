"""CNN/DailyMail: news articles, summarised because "TL;DR:" stands behind them.

After Radford et al. 2019, section 3.6: 100 tokens, each drawn from the two likeliest, of which the first three
sentences are the summary. Formats: .story files of Hermann et al. 2015 (an article, then "@highlight" before each
line of its summary) in a .tar archive, JSON lines of article and highlights, or abisee/cnn_dailymail of the hub. ROUGE
is rouge-score's, over sentences on lines (rougeLsum) with stemming; the published test set is the non-anonymized one.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.figures import percent
from gpt2lab.evals.place import HubData, Place, check_counts, is_parquet, parquet_rows, read_text
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Generate, Request, Written
from gpt2lab.evals.task import Provenance, Task
from gpt2lab.files import parse_json, sha256_of
from gpt2lab.lm.prompts import HINT, summary_prompt
from gpt2lab.metrics.bootstrap import Row
from gpt2lab.metrics.texts import ROUGE, rouge, sentences

FILES = ("cnn_dailymail_test.jsonl", "cnn_stories.tar.xz", "cnn_stories.tgz", "stories.tar.xz", "stories.tgz")
HUB = HubData("abisee/cnn_dailymail", "3.0.0", "test")
COUNT = 11_490
_MARK = "@highlight"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarySettings:
    """hint: what stands behind the article ("" for none). top_k, max_new_tokens, seed: how the summary is drawn.
    sentences: how many of it are kept. words: only the first so many words of the article are read (0: all of them, and
    a longer article loses its beginning to the model's window)."""

    hint: str = HINT
    top_k: int = 2
    max_new_tokens: int = 100
    seed: int = 0
    sentences: int = 3
    words: int = 0

    def __post_init__(self) -> None:
        for name, least in (("top_k", 1), ("max_new_tokens", 1), ("sentences", 1), ("words", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least {least}.")


@dataclass(frozen=True, slots=True)
class Story:
    """An article and the lines of its summary by an editor."""

    article: str
    highlights: tuple[str, ...]


PRESETS: Mapping[str, Mapping[str, SummarySettings]] = {"cnndm": {"paper": SummarySettings()}}


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Story]:
    """Return the task; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return Summaries(name, preset, config, place)


class Summaries(Task[Story]):
    """A document is an article; what is asked is what follows the hint."""

    figures = {  # noqa: RUF012 - nobody changes it
        "rouge": percent("rouge", "articles"),
        **{name: percent(name, "articles") for name in ROUGE},
    }
    main = "rouge"
    settings: SummarySettings

    def __init__(self, name: str, preset: str, settings: SummarySettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place

    def load(self, limit: int | None = None) -> tuple[Sequence[Story], Provenance]:
        """See `Task.load`."""
        path = self._place.find(self.name, FILES, HUB)
        if is_parquet(path):
            records = parquet_rows(path, ("article", "highlights"))
            stories = [Story(r["article"], tuple(r["highlights"].split("\n"))) for r in records]
        else:
            stories = _of_lines(path) if path.suffix == ".jsonl" else _of_archive(path)
        counts = {"articles": len(stories)}
        official = check_counts(path, counts, {"articles": COUNT}, refuse=self._place.official)
        return stories[:limit], Provenance(str(path), sha256_of(path), official, counts)

    def prompt(self, article: str) -> str:
        """Return the article, cut to the first `words`, and the hint."""
        if self.settings.words:
            article = " ".join(article.split()[: self.settings.words])
        return summary_prompt(article, self.settings.hint)

    def requests(self, document: Story) -> Sequence[Request]:
        """See `Task.requests`."""
        options = {"top_k": self.settings.top_k, "temperature": 1.0, "seed": self.settings.seed}
        return [Generate(self.prompt(document.article), (), self.settings.max_new_tokens, options)]

    def rows(self, document: Story, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        (written,) = answers
        assert isinstance(written, Written)
        summary = sentences(written.text)[: self.settings.sentences]
        scores = rouge("\n".join(summary), "\n".join(document.highlights))
        return [{"articles": 1.0, "rouge": sum(scores.values()) / len(scores), **scores}]


# ---- files ----------------------------------------------------------------------------------------------------


def _of_lines(path: Path) -> list[Story]:
    stories = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            record = parse_json(line)
            article, highlights = record["article"], record["highlights"]
            lines = tuple(line for line in highlights.split("\n") if line.strip())
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DataError(f"{path} is damaged: line {number} has no article and highlights.") from None
        if not isinstance(article, str) or not article.strip() or not lines:
            raise DataError(f"{path} is damaged: line {number} has an empty article or summary.")
        stories.append(Story(article, lines))
    return stories


def _of_archive(path: Path) -> list[Story]:
    """Return the stories of an archive, in the order of their names."""
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".story") else None
                if content is not None:
                    texts[Path(member.name).name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path} is not a whole archive: {error}.") from None
    if not texts:
        raise DataError(f"{path} holds no .story files.")
    return [_story(path, name, texts[name]) for name in sorted(texts)]


def _story(path: Path, name: str, data: bytes) -> Story:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} in {path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    article, *highlights = (part.strip() for part in text.split(_MARK))
    if not article or not highlights or not all(highlights):
        raise DataError(f"{name} in {path} is damaged: a story is an article with {_MARK} and a line behind it.")
    return Story("\n".join(line for line in article.splitlines() if line.strip()), tuple(highlights))
