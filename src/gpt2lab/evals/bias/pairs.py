"""Sentences that differ in a group alone, from files that the user has: which one does the model find likelier?

Formats and measures: CrowS-Pairs (Nangia et al. 2020, crows_pairs_anonymized.csv; its measure for masked models is
replaced by the likelihood of the whole sentence, as lm-eval's crows_pairs does), and Winogender schemas (Rudinger et
al. 2018, all_sentences.tsv and occupations-stats.tsv). Neither comes with the package.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt2lab.errors import DataError, RequestError
from gpt2lab.evals.bias.results import Estimate, Occupation, Occupations, Preference
from gpt2lab.evals.requests import Likely, LogLikelihood
from gpt2lab.evals.scorer import Scorer
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.bootstrap import intervals, sums

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences of CrowS-Pairs: the more and the less stereotypical one, and what kind of bias it is about."""

    more: str
    less: str
    kind: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A Winogender sentence with each pronoun; `own` says whether the pronoun is the occupation's."""

    occupation: str
    own: bool
    he: str
    she: str


def _rows(path: str | Path, columns: Sequence[str], delimiter: str) -> list[dict[str, str]]:
    """Return the rows of a table. Raises `DataError` where it is absent, not text, or lacks a column."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, restval="")
    names = reader.fieldnames or []
    for column in columns:
        if column not in names:
            found = ", ".join(repr(n) for n in names) or "none"
            raise DataError(f"{path} has no column {column!r}; its columns are {found}.")
    rows = list(reader)
    if not rows:
        raise DataError(f"{path} has no rows.")
    return rows


def read_crows(path: str | Path) -> list[Pair]:
    """Read pairs in CrowS-Pairs' format: a CSV file with sent_more, sent_less and bias_type. Raises `DataError`."""
    pairs = []
    for number, row in enumerate(_rows(path, ("sent_more", "sent_less", "bias_type"), ","), start=1):
        pair = Pair(row["sent_more"].strip(), row["sent_less"].strip(), row["bias_type"].strip() or "unnamed")
        if not pair.more or not pair.less:
            raise DataError(f"{path}: pair {number} lacks a sentence.")
        pairs.append(pair)
    return pairs


def read_winogender(path: str | Path) -> list[Schema]:
    """Read sentences in Winogender's format: sentid and sentence, "nurse.patient.0.female.txt". Raises `DataError`.

    The third part of an id is 0 where the pronoun is the occupation's, 1 where it is the other person's. Neutral
    sentences are left aside.
    """
    sentences: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in _rows(path, ("sentid", "sentence"), "\t"):
        parts = row["sentid"].removesuffix(".txt").split(".")
        if len(parts) != 4 or parts[2] not in ("0", "1") or parts[3] not in ("male", "female", "neutral"):
            raise DataError(
                f"{path}: {row['sentid']!r} is not the id of a sentence; one reads occupation.participant.0.female.txt."
            )
        occupation, other, answer, gender = parts
        sentences.setdefault((occupation, other, answer), {})[gender] = row["sentence"].strip()
    schemas = []
    for (occupation, other, answer), by_gender in sentences.items():
        he, she = by_gender.get("male", ""), by_gender.get("female", "")
        if not he or not she:
            lacking = "female" if he else "male"
            raise DataError(f"{path}: {occupation}.{other}.{answer} has no {lacking} sentence.")
        schemas.append(Schema(occupation, answer == "0", he, she))
    return schemas


def read_occupations(path: str | Path) -> dict[str, float]:
    """Read the percentage of women by occupation: Winogender's occupations-stats.tsv, its column bls_pct_female.

    Raises `DataError`.
    """
    women = {}
    for row in _rows(path, ("occupation", "bls_pct_female"), "\t"):
        try:
            share = float(row["bls_pct_female"])
        except ValueError:
            share = math.nan
        if not 0 <= share <= 100:
            raise DataError(f"{path}: {row['bls_pct_female']!r} for {row['occupation']} is not a percentage.")
        women[row["occupation"]] = share
    return women


def log_likelihoods(lm: LanguageModel, sentences: Sequence[str], progress: Progress | None = None) -> list[float]:
    """Return the log-probability of each sentence after <|endoftext|>, in nats; `progress` counts tokens."""
    distinct = list(dict.fromkeys(sentences))
    answers = Scorer(lm, progress=progress).answer([LogLikelihood("", sentence) for sentence in distinct])
    known = {s: a.logprob for s, a in zip(distinct, answers, strict=True) if isinstance(a, Likely)}
    return [known[sentence] for sentence in sentences]


def prefer(
    lm: LanguageModel,
    pairs: Sequence[Pair],
    *,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Preference, ...]:
    """Return how often and by how much the more stereotypical sentence is likelier: of all pairs ("all"), then by kind.

    A tie counts as half. A model without preferences is near a share of 0.5 and 0 nats.
    """
    values = log_likelihoods(lm, [sentence for p in pairs for sentence in (p.more, p.less)], progress)
    rows = [
        {"likelier": float(more > less) + 0.5 * (more == less), "nats": more - less, "n": 1.0}
        for more, less in zip(values[::2], values[1::2], strict=True)
    ]
    kinds = ["all", *sorted({pair.kind for pair in pairs})]
    found = []
    for kind in kinds:
        own = [row for pair, row in zip(pairs, rows, strict=True) if kind in ("all", pair.kind)]
        figures = {"share": lambda t: t["likelier"] / t["n"], "nats": lambda t: t["nats"] / t["n"]}
        found.append(Preference(kind, len(own), **_estimates(own, figures, resamples, seed)))
    return tuple(found)


Figures = Mapping[str, Callable[[Mapping[str, float]], float]]


def _estimates(rows: Sequence[Mapping[str, float]], figures: Figures, resamples: int, seed: int) -> dict[str, Estimate]:
    bounds, total = intervals(rows, figures, resamples=resamples, seed=seed), sums(rows)
    return {name: Estimate(of(total), bounds[name].low, bounds[name].high) for name, of in figures.items()}


def occupations(
    lm: LanguageModel,
    schemas: Sequence[Schema],
    women: Mapping[str, float] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Occupations:
    """Return how much likelier "he" makes each occupation's sentences than "she", in nats.

    Both the sentences in which the pronoun is the occupation's and those in which it is the other person's are needed:
    their difference leaves out what the model thinks of the pronoun alone. `women`: percentages for the correlation;
    every occupation must have one. Raises `DataError`.
    """
    values = log_likelihoods(lm, [sentence for s in schemas for sentence in (s.he, s.she)], progress)
    by_name: dict[str, tuple[list[float], list[float]]] = {}
    for schema, he, she in zip(schemas, values[::2], values[1::2], strict=True):
        by_name.setdefault(schema.occupation, ([], []))[0 if schema.own else 1].append(he - she)
    found = []
    for name, (own, other) in sorted(by_name.items()):
        if not own or not other:
            raise DataError(f"The occupation {name!r} has no sentence with the answer {0 if not own else 1}.")
        if women is not None and name not in women:
            raise DataError(f"The statistics have no occupation {name!r}; every one of the sentences needs its share.")
        share = women[name] if women is not None else None
        found.append(Occupation(name, math.fsum(own) / len(own), math.fsum(other) / len(other), share))
    rows = [_moments(o) for o in found]
    figures: dict[str, Callable[[Mapping[str, float]], float]] = {
        "own": lambda t: t["own"] / t["n"],
        "own_less_other": lambda t: (t["own"] - t["other"]) / t["n"],
    }
    estimates = _estimates(rows, figures, resamples, seed)
    correlation = None
    if women is not None:
        if len(found) < 3:
            raise RequestError(f"{len(found)} occupations are too few for a correlation; leave the statistics out.")
        correlation = _estimates(rows, {"r": _correlation}, resamples, seed)["r"]
    return Occupations(tuple(found), estimates["own"], estimates["own_less_other"], correlation)


def _moments(o: Occupation) -> dict[str, float]:
    women = 0.0 if o.women is None else o.women
    return {
        "n": 1.0, "own": o.own, "other": o.other, "women": women,
        "own²": o.own**2, "women²": women**2, "own·women": o.own * women,
    }  # fmt: skip


def _correlation(t: Mapping[str, float]) -> float:
    """Return Pearson's correlation from sums; 0 where one of the two does not vary."""
    n = t["n"]
    covariance = t["own·women"] - t["own"] * t["women"] / n
    spread = (t["own²"] - t["own"] ** 2 / n) * (t["women²"] - t["women"] ** 2 / n)
    return covariance / math.sqrt(spread) if spread > 1e-12 else 0.0
