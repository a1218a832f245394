"""From questions to findings: divergences and log-odds with bootstrap intervals over templates, and their change.

Templates are what is resampled: two questions with one template are one observation, for they are anything but
independent. Knows no form of output.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.evals.bias.probes import Axis, Question
from gpt2lab.evals.bias.results import Asked, AxisFound, Change, Estimate, Odds
from gpt2lab.evals.bias.words import NextWords, Probabilities, next_words
from gpt2lab.evals.words import TokenKinds
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.bootstrap import intervals, sums
from gpt2lab.metrics.divergence import jensen_shannon, log_odds_ratio, total_variation

FEWEST_TEMPLATES = 3
"""Templates that a word must be met in before its log-odds are told."""

MOST_WORDS = 60
"""Words of an axis whose log-odds are measured, the likeliest ones."""

_LIKELIEST = 12  # words kept of each question and group
_SMALLEST = 1e-12  # keeps log-odds finite


def probe(
    lm: LanguageModel,
    axes: Sequence[Axis],
    *,
    floor: float = 1e-3,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[AxisFound, ...]:
    """Return what a model expects after every question of every axis.

    `floor`: words are followed as long as a group gives them this probability. `progress(done, total)` counts
    questions. The same model and arguments give the same bits. Raises `RequestError` or `CheckpointError`.
    """
    if lm.tokenizer is None:
        raise CheckpointError(f"The probe needs a tokenizer, but {lm.source} has none.")
    kinds = TokenKinds(lm.tokenizer, lm.config.vocab_size)
    questions = [list(axis.questions()) for axis in axes]
    total, done = sum(map(len, questions)), 0
    found = []
    for axis, asked in zip(axes, questions, strict=True):
        answers = []
        for question in asked:
            prompts = [np.asarray(lm.tokenizer.encode(prompt), np.int32) for prompt in question.prompts]
            answers.append(next_words(lm.backend, lm.tokenizer, kinds, prompts, floor=floor))
            done += 1
            if progress is not None:
                progress(done, total)
        found.append(_axis(axis, asked, answers, resamples, seed))
    return tuple(found)


def _axis(axis: Axis, questions: list[Question], answers: list[NextWords], resamples: int, seed: int) -> AxisFound:
    asked = tuple(_asked(axis.group_names, q, a) for q, a in zip(questions, answers, strict=True))
    pairs = _pairs(axis.group_names)
    values = [{"tokens": a.divergence, "words": a.word_divergence, **a.variation} for a in asked]
    means = _means([q.template for q in questions], values, resamples, seed)
    return AxisFound(
        name=axis.name,
        control=axis.control,
        groups=axis.group_names,
        templates=len(axis.templates),
        divergence=means["tokens"],
        word_divergence=means["words"],
        variation={name: means[name] for name in pairs},
        words=_words(axis.group_names, questions, answers, resamples, seed),
        questions=asked,
    )


def _pairs(groups: Sequence[str]) -> dict[str, tuple[int, int]]:
    return {f"{groups[i]} / {groups[j]}": (i, j) for i, j in itertools.combinations(range(len(groups)), 2)}


def _asked(groups: Sequence[str], question: Question, answer: NextWords) -> Asked:
    likeliest = {}
    for i, group in enumerate(groups):
        best = sorted(answer.words.items(), key=lambda item: (-item[1][i], item[0]))[:_LIKELIEST]
        likeliest[group] = {word: float(p[i]) for word, p in best}
    return Asked(
        template=question.template,
        words=question.words,
        divergence=jensen_shannon(answer.tokens),
        word_divergence=jensen_shannon(answer.outcomes),
        variation={
            name: total_variation(answer.tokens[i], answer.tokens[j]) for name, (i, j) in _pairs(groups).items()
        },
        rest=dict(zip(groups, answer.rest.tolist(), strict=True)),
        likeliest=likeliest,
    )


def _means(
    templates: Sequence[str], values: Sequence[Mapping[str, float]], resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return the mean of each number over questions, with its interval over templates."""
    names = list(values[0])
    by_template: dict[str, list[dict[str, float]]] = {}
    for template, value in zip(templates, values, strict=True):
        by_template.setdefault(template, []).append({**value, _COUNT: 1.0})
    rows = [sums(rows) for rows in by_template.values()]
    total = sums(rows)
    figures = {name: _mean_of(name) for name in names}
    bounds = intervals(rows, figures, resamples=resamples, seed=seed)
    return {name: Estimate(figures[name](total), bounds[name].low, bounds[name].high) for name in names}


_COUNT = "questions counted"


def _mean_of(name: str) -> Callable[[Mapping[str, float]], float]:
    return lambda total: total[name] / total[_COUNT]


def _words(
    groups: Sequence[str], questions: list[Question], answers: list[NextWords], resamples: int, seed: int
) -> tuple[Odds, ...]:
    met: dict[str, list[tuple[str, Probabilities]]] = {}
    for question, answer in zip(questions, answers, strict=True):
        for word, p in answer.words.items():
            met.setdefault(word, []).append((question.template, p))
    often = {w: places for w, places in met.items() if len({t for t, _ in places}) >= FEWEST_TEMPLATES}
    mass = {word: sum(float(p.mean()) for _, p in places) for word, places in often.items()}
    chosen = sorted(often, key=lambda word: (-mass[word], word))[:MOST_WORDS]
    return tuple(_odds(word, groups, often[word], resamples, seed) for word in chosen)


def _odds(word: str, groups: Sequence[str], places: list[tuple[str, Probabilities]], resamples: int, seed: int) -> Odds:
    values = []
    for _, p in places:
        safe = np.clip(p, _SMALLEST, 1 - _SMALLEST)
        others = (safe.sum() - safe) / (len(groups) - 1)
        values.append({g: log_odds_ratio(float(safe[i]), float(others[i])) for i, g in enumerate(groups)})
    templates = [template for template, _ in places]
    probability = np.mean([p for _, p in places], axis=0)
    return Odds(
        word,
        dict(zip(groups, probability.tolist(), strict=True)),
        _means(templates, values, resamples, seed),
        len(set(templates)),
    )


def changes(
    before: Sequence[AxisFound], after: Sequence[AxisFound], *, resamples: int = 1000, seed: int = 0
) -> tuple[Change, ...]:
    """Return how the divergence of every axis changed, from the differences within each question.

    Raises `RequestError` where the two were not asked the same.
    """
    found = []
    for old, new in itertools.zip_longest(before, after):
        same = old is not None and new is not None
        if not same or [(q.template, q.words) for q in old.questions] != [(q.template, q.words) for q in new.questions]:
            raise RequestError("The two models were not asked the same questions; probe both with the same axes.")
        differences = [
            {"difference": b.divergence - a.divergence} for a, b in zip(old.questions, new.questions, strict=True)
        ]
        templates = [q.template for q in new.questions]
        mean = _means(templates, differences, resamples, seed)["difference"]
        found.append(Change(new.name, old.divergence, new.divergence, mean))
    return tuple(found)
