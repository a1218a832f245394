"""Writing a field of an article from the others: one call for a command, a server route or a notebook.

Knows a `LanguageModel` that has learnt fields. The target is written until its own end token; every other special token
is forbidden while it is, so that no field can begin within another (Zellers et al. 2019, section 3, and the released
contextual_generate.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.fields import FIELDS, Field, field_named
from gpt2lab.apps.articles.records import Article
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import End, Job, Output
from gpt2lab.engine.params import SamplingParams, check_names, check_whole
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.seeds import next_seed

TOP_P = 0.95
"""What Grover samples with unless told otherwise."""

ROOM: dict[Field, int] = {"domain": 24, "date": 24, "authors": 64, "title": 96, "article": 256, "summary": 192}
"""Tokens that a prompt leaves free in the window for a field, at most half of it. The body may go on to the window's
end, another field ends there even if its end token did not come."""

_OWN = ("logit_bias", "stop_ids", "max_new_tokens", "top_p", "seed", "num_beams")
OPTIONS = tuple(name for name in SamplingParams.names() if name not in _OWN)
"""What else of `SamplingParams` may be chosen."""


@dataclass(frozen=True, slots=True)
class Written:
    """One text for a field.

    token_ids, logprobs: its tokens with the model's own log-probability of each, the end token's last if it came.
    complete: whether it came. cut: tokens of the other fields that did not fit into the prompt. seed, sample: what
    reproduces it; top_p: what it was sampled with.
    """

    target: Field
    text: str
    token_ids: list[int]
    logprobs: list[float]
    complete: bool
    cut: int
    seed: int
    sample: int
    top_p: float

    @property
    def probabilities(self) -> list[float]:
        """The model's own probability of each token."""
        return [math.exp(p) for p in self.logprobs]


def write_fields(
    lm: LanguageModel,
    articles: Sequence[Article],
    target: str,
    *,
    samples: int = 1,
    top_p: float | Sequence[float] = TOP_P,
    seed: int | None = None,
    length: int | None = None,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> list[list[Written]]:
    """Return `samples` texts for the field `target` of every article, from whichever other fields it has.

    `top_p` may be one for each article. `length` bounds the new tokens; by default `ROOM` does, and for the body the
    model's window. `options` are those of `SamplingParams` (temperature, top_k, min_new_tokens …). The same seed gives
    the same texts whatever stands beside an article. `progress(n)` reports n more tokens. Raises `CheckpointError` when
    the model knows no fields, `RequestError` for what cannot be asked.
    """
    check_whole("samples", samples, 1)
    each = [top_p] * len(articles) if isinstance(top_p, int | float) else list(top_p)
    if len(each) != len(articles):
        raise RequestError(f"top_p has {len(each)} numbers for {len(articles)} articles; give one for each, or one.")
    field = field_named(target)
    codec = Codec(_tokenizer(lm))
    seed = next_seed() if seed is None else seed
    jobs: list[Job] = []
    cuts: list[int] = []
    for article, p in zip(articles, each, strict=True):
        job, cut = field_job(lm, codec, article, field, top_p=p, seed=seed, length=length, **options)
        jobs += [dataclasses.replace(job, sample=sample) for sample in range(samples)]
        cuts += [cut] * samples
    batch = Batch(lm.backend, jobs, batch_size=batch_size, prefixes=lm.prefixes)
    ends: dict[int, End | None] = {}
    for step in batch:
        ends[step.job] = step.end
        if progress is not None:
            progress(len(step.ids))
    made = [
        _written(batch.output(i), ends[i], job, field, codec, cut)
        for i, (job, cut) in enumerate(zip(jobs, cuts, strict=True))
    ]
    return [made[i : i + samples] for i in range(0, len(made), samples)]


def field_job(
    lm: LanguageModel,
    codec: Codec,
    article: Article,
    field: Field,
    *,
    seed: int,
    top_p: float = TOP_P,
    length: int | None = None,
    **options: Any,
) -> tuple[Job, int]:
    """Return what the engine is asked for a field of an article, and how many tokens of the other fields it leaves out.

    See `write_fields`; the job's text ends with "eos" where the field's end token came.
    """
    if length is not None:
        check_whole("length", length, 1)
    check_names(options, OPTIONS)
    window = lm.config.n_positions
    room = min(ROOM[field] if length is None else length, window // 2)
    context = codec.context(article.texts(), field, window - room)
    banned = dict.fromkeys(codec.foreign(field, lm.config.vocab_size), -math.inf)
    params = SamplingParams(
        **options, top_p=top_p, seed=seed, logit_bias=banned, stop_ids=(codec.end[field],),
        max_new_tokens=length or (room if field != "article" else window - len(context.ids) + 1),
    )  # fmt: skip
    return Job(np.asarray(context.ids, np.int32), params), context.cut


def write_field(lm: LanguageModel, record: Mapping[str, str], target: str, **options: Any) -> list[Written]:
    """Return texts for `target` of one article given as texts by field names; empty ones are missing.

    `options` are those of `write_fields`. This is what a server route or a page of five boxes calls. Raises what
    `write_fields` raises.
    """
    return write_fields(lm, [article_from(record)], target, **options)[0]


def complete(lm: LanguageModel, article: Article, targets: Sequence[str] | None = None, **options: Any) -> Article:
    """Return the article with `targets` written one after another, each from all that is there by then.

    By default they are the fields of metadata and the body that are missing, in canonical order.
    """
    if targets is None:
        targets = [f for f in FIELDS if f != "summary" and f not in article.texts()]
    for target in targets:
        ((written,),) = write_fields(lm, [article], target, **{**options, "samples": 1})
        article = article.with_text(written.target, written.text)
    return article


def grover_keys(samples: Sequence[Written]) -> dict[str, Any]:
    """Return what Grover's script adds to a record for the texts of one field: gens_…, gensraw_…, probs_…, top_ps."""
    target = samples[0].target
    return {
        f"gens_{target}": [w.text for w in samples],
        f"gensraw_{target}": [w.token_ids for w in samples],
        f"probs_{target}": [w.probabilities for w in samples],
        "top_ps": [w.top_p for w in samples],
    }


def article_from(texts: Mapping[str, str]) -> Article:
    """Return an article from texts under the names of fields ("article" or "text", "title" or "headline" …)."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        field = field_named(name)
        if not isinstance(text, str):
            raise RequestError(f"The field {name!r} must be text, not {type(text).__name__}.")
        if field in found:
            raise RequestError(f"The field {field!r} is given twice.")
        found[field] = text.strip()
    return dataclasses.replace(Article(), **found)


def _written(output: Output, end: End | None, job: Job, field: Field, codec: Codec, cut: int) -> Written:
    ids, logprobs = list(output.ids), list(output.logprobs)
    if end is not None:
        ids.append(end.id)
        logprobs.append(end.logprob)
    return Written(
        target=field,
        text=codec.tokenizer.decode(output.ids),
        token_ids=ids,
        logprobs=logprobs,
        complete=output.finish == "eos",
        cut=cut,
        seed=job.params.seed,
        sample=job.sample,
        top_p=job.params.top_p,
    )


def _tokenizer(lm: LanguageModel) -> Any:
    if lm.tokenizer is None:
        raise CheckpointError(f"{lm.source} has no tokenizer, so it can write no articles.")
    return lm.tokenizer
