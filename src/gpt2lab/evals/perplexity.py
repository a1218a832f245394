"""Perplexity and bits of running text: WikiText-2, WikiText-103, the Penn Treebank, enwik8, text8, One Billion Words.

What decides such a figure is stated by the settings: how the text is written, what is read as one text, how windows
move, whether <|endoftext|> comes first, and which units the likelihood is divided by. docs/evaluation.md compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gpt2lab.errors import ConfigError
from gpt2lab.evals import corpora
from gpt2lab.evals.corpora import Segment, Text
from gpt2lab.evals.detokenize import Style
from gpt2lab.evals.figures import bits, perplexity
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import chosen
from gpt2lab.evals.requests import Answer, Request, Rolled, Rolling, Rule
from gpt2lab.evals.styles import BILLION, PTB, WIKITEXT, plain_ptb, plain_wikitext
from gpt2lab.evals.task import NATS, Figure, Provenance, Task
from gpt2lab.metrics.bootstrap import Row

Written = Literal["text", "tokens", "megatron", "lm-eval", "joined"]
Unit = Literal["words", "tokens", "bytes", "characters"]

BLOCK = 512
"""Tokens from which on consecutive lines make a row of the bootstrap: neighbours in a text are no strangers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How running text is measured.

    corpus: one of gpt2lab.evals.corpora. written: "text" (our de-tokenizer, which can be undone), "tokens" (as the file
    has it), "megatron" and "lm-eval" (their de-tokenizers), "joined" (the hub's rows with two line ends between them,
    as transformers' page has it). together: what is read as one text. stride: tokens by which windows move ("half" a
    window; None: a whole one). bos: read after <|endoftext|>. rule: see gpt2lab.engine.windows. unit: what the main
    figure counts.
    """

    corpus: str
    written: Written = "text"
    together: Literal["corpus", "pages", "lines"] = "corpus"
    stride: int | Literal["half"] | None = None
    bos: bool = True
    rule: Rule = "sliding"
    unit: Unit = "words"

    def __post_init__(self) -> None:
        if isinstance(self.stride, int) and self.stride < 1:
            raise ConfigError(f"stride = {self.stride} must be at least 1.")
        if self.corpus not in corpora.CORPORA:
            raise ConfigError(f"corpus = {self.corpus!r} is not one of {', '.join(corpora.CORPORA)}.")


PAPER_STRIDE = 32
"""What one of the paper's authors named as the stride for WikiText, as quoted in karpathy/llm.c, pull request 374."""

_WIKI2 = TextSettings(corpus="wikitext2", stride=PAPER_STRIDE)
_RAW = replace(_WIKI2, corpus="wikitext2_raw", stride=None)
_MEGATRON: Any = {"written": "megatron", "bos": False, "stride": None}

PRESETS: Mapping[str, Mapping[str, TextSettings]] = {
    "wikitext2": {
        "paper": _WIKI2,
        "hf": replace(_RAW, written="joined", bos=False, rule="of_tokens", unit="tokens"),
        "lm-eval": replace(_RAW, written="lm-eval", together="pages", rule="filled"),
        "megatron": replace(_WIKI2, **_MEGATRON),
    },
    "wikitext103": {
        "paper": replace(_WIKI2, corpus="wikitext103"),
        "megatron": replace(_WIKI2, corpus="wikitext103", **_MEGATRON),
    },
    "ptb": {
        "paper": replace(_WIKI2, corpus="ptb"),
        "megatron": replace(_WIKI2, corpus="ptb", **_MEGATRON),
    },
    "enwik8": {"paper": TextSettings(corpus="enwik8", written="tokens", stride="half", unit="bytes")},
    "text8": {"paper": TextSettings(corpus="text8", written="tokens", stride="half", unit="characters")},
    "1bw": {"paper": TextSettings(corpus="1bw", together="lines")},
}

_STYLES: Mapping[str, Style] = {
    "wikitext2": WIKITEXT, "wikitext2_raw": WIKITEXT, "wikitext103": WIKITEXT, "ptb": PTB, "1bw": BILLION,
}  # fmt: skip
_BYTES = ("enwik8", "text8")

_FIGURES: Mapping[str, Figure] = {
    "word_perplexity": perplexity("words"),
    "token_perplexity": perplexity("tokens"),
    "byte_perplexity": perplexity("bytes"),
    "bits_per_byte": bits("bytes"),
    "bits_per_character": bits("characters"),
}
_MAIN = {"words": "word_perplexity", "tokens": "token_perplexity", "bytes": "bits_per_byte",
         "characters": "bits_per_character"}  # fmt: skip
_RECIPE = "recipe_"  # of the names of numbers as transformers' recipe weighs them


def make(name: str, preset: str | None, place: Place, settings: Mapping[str, Any]) -> Task[Text]:
    """Return the task of a corpus; see `gpt2lab.evals.registry`."""
    preset, config = chosen(name, PRESETS[name], preset, settings)
    return TextTask(name, preset, config, place)


class TextTask(Task[Text]):
    """How well a model expects a corpus."""

    settings: TextSettings

    def __init__(self, name: str, preset: str, settings: TextSettings, place: Place) -> None:
        super().__init__(name, preset, settings)
        self._place = place
        self.figures = dict(_FIGURES)
        if settings.corpus in _BYTES:
            del self.figures["word_perplexity"]
        if settings.rule == "of_tokens":
            self.figures = {"token_perplexity": perplexity(f"{_RECIPE}tokens", nats=f"{_RECIPE}{NATS}")}
        self.main = _MAIN[settings.unit]

    def load(self, limit: int | None = None) -> tuple[Sequence[Text], Provenance]:
        """See `Task.load`."""
        corpus = self.settings.corpus
        if corpus in _BYTES:
            data, provenance = corpora.load_bytes(corpus, self._place, limit)
            return [_bytes(data)], provenance
        lines, provenance = corpora.load_lines(corpus, self._place, limit)
        return self._texts(lines), provenance

    def _texts(self, lines: list[str]) -> list[Text]:
        settings = self.settings
        units = [{"words": corpora.words_of(line), **_size((line + "\n").encode())} for line in lines]
        if settings.written == "lm-eval":
            return [_page(page) for page in corpora.pages(lines)]
        if settings.written == "megatron":
            return [_megatron("".join(f"{line}\n" for line in lines), settings.corpus)]
        if settings.written == "joined":  # the hub's rows: "" for an empty line, else the line with its end
            rows = [line + "\n" if line.strip() else "" for line in lines]
            return [_text([row + ("\n\n" if i + 1 < len(rows) else "") for i, row in enumerate(rows)], units)]
        style = _STYLES[settings.corpus]
        written = [style.detokenize(line) if settings.written == "text" else line for line in lines]
        if settings.together == "lines":
            return [_text([line], [size]) for line, size in zip(written, units, strict=True) if line.strip()]
        return [_text([f"{line}\n" for line in written], units)]

    def requests(self, document: Text) -> Sequence[Request]:
        """See `Task.requests`."""
        s = self.settings
        return [Rolling(document.text, bos=s.bos, stride=s.stride, rule=s.rule)]

    def rows(self, document: Text, answers: Sequence[Answer]) -> Sequence[Row]:
        """See `Task.rows`."""
        (answer,) = answers
        assert isinstance(answer, Rolled)
        if self.settings.rule == "of_tokens":
            return list(_recipe_rows(answer))
        return list(_block_rows(document, answer))


def _block_rows(document: Text, answer: Rolled) -> Iterator[Row]:
    """Yield the numbers of consecutive segments that have at least `BLOCK` tokens together."""
    logprobs = np.where(np.isnan(answer.logprobs), 0, answer.logprobs).astype(np.float64)
    counted = np.isfinite(answer.logprobs)
    ends = np.searchsorted(answer.ends, [s.end for s in document.segments], side="right")  # tokens up to each end
    begin, units = 0, dict[str, float]()
    for i, (segment, end) in enumerate(zip(document.segments, ends.tolist(), strict=True)):
        for name, count in segment.units.items():
            units[name] = units.get(name, 0) + count
        final = i + 1 == len(document.segments)
        end = len(logprobs) if final else end
        if end - begin >= BLOCK or final:
            nats = -float(logprobs[begin:end].sum())
            yield {NATS: nats, "tokens": float(counted[begin:end].sum()), **units}
            begin, units = end, {}


def _recipe_rows(answer: Rolled) -> Iterator[Row]:
    """Yield for every window what transformers' recipe adds up: its mean loss, weighed by one token fewer than the
    window is the first to contain, also where the first of these does count."""
    contained = 0
    for first, end in answer.windows:
        new, contained = end - contained, end
        if end == first or new == 1:
            continue
        nats = -float(answer.logprobs[first:end].sum(dtype=np.float64))
        yield {
            NATS: nats,
            "tokens": float(end - first),
            f"{_RECIPE}{NATS}": nats / (end - first) * (new - 1),
            f"{_RECIPE}tokens": float(new - 1),
        }


def _size(data: bytes) -> dict[str, int]:
    return {"bytes": len(data), "characters": len(data) - sum(0x80 <= byte < 0xC0 for byte in data)}


def _bytes(data: bytes) -> Text:
    parts = [data[i : i + corpora.KILOBYTE] for i in range(0, len(data), corpora.KILOBYTE)]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return Text(
        data.decode("utf-8", "surrogateescape"),
        tuple(Segment(end, _size(part)) for end, part in zip(ends, parts, strict=True)),
    )


def _text(parts: Sequence[str], units: Sequence[Mapping[str, int]]) -> Text:
    ends = np.cumsum([len(part.encode("utf-8", "surrogateescape")) for part in parts])
    return Text("".join(parts), tuple(Segment(int(e), u) for e, u in zip(ends, units, strict=True)))


def _page(page: str) -> Text:
    """Return an article as lm-eval reads it: words and bytes are those of the article as the file has it."""
    units = {"words": corpora.blanks_between(page), **_size(page.encode())}
    return _text([plain_wikitext(page)], [units])


def _megatron(text: str, corpus: str) -> Text:
    """Return a corpus as Megatron-LM reads it: its first word counts as little as the first token does.

    Its de-tokenizer pairs quotes across lines, so lines share in the units by their length.
    """
    written = plain_ptb(text) if corpus == "ptb" else plain_wikitext(text)
    parts = written.split("\n")
    parts = [f"{part}\n" for part in parts[:-1]] + parts[-1:]
    totals = {"words": len(text.strip().split(" ")) - 1, **_size(text.encode())}
    whole = _text(parts, [{}] * len(parts))
    ends = [segment.end for segment in whole.segments]
    shares = {name: _shares(total, ends) for name, total in totals.items()}
    return replace(
        whole,
        segments=tuple(Segment(end, {name: shares[name][i] for name in shares}) for i, end in enumerate(ends)),
    )


def _shares(total: int, ends: Sequence[int]) -> list[int]:
    """Return whole numbers with this sum, in proportion to the lengths of parts that end at `ends`."""
    upto = [total * end // ends[-1] for end in ends]
    return [b - a for a, b in zip([0, *upto], upto, strict=False)]
