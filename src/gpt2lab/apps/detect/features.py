"""What a text looks like to a detector: a fixed row of numbers made of a reading, none of which grows with its length.

Three groups: what the model made of the tokens (GLTR's ranks and frac(p), likelihood, entropy, curvature and how they
are spread), how far the text repeats itself, and how it is written (lengths of words and sentences, punctuation; not
which words: shares of the commonest ones helped on subjects it knew and hurt on others). A text may be cut after any
token: the numbers of the beginning are those of a shorter text, because no token's score depends on what follows it.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.detect.reading import Reading
from gpt2lab.apps.detect.zero_shot import BUCKETS

Array = npt.NDArray[np.float64]

_MARKS = {
    "comma": ",", "stop": ".", "quote": "\"“”", "apostrophe": "'’", "dash": "-–—", "colon": ":;", "question": "?",
    "exclamation": "!", "bracket": "()[]{}", "ellipsis": "…", "symbol": "*#@/\\|<>=+_~^&%$",
}  # fmt: skip
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_Z_BOUNDS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0)
_FRACTION_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.999)
_SURPRISE_BOUNDS = (-12.0, -10.0, -8.0, -6.0, -4.0, -2.0, -1.0, -0.3, -0.05)
_RECENT = 64  # tokens back to which a repetition counts


def names() -> list[str]:
    """Return the names of the features, in order."""
    return [
        "logprob", "log_rank", "lrr", "entropy", "curvature", "variance",
        "logprob_sd", "log_rank_sd", "entropy_sd", "z_sd", "logprob_entropy", "logprob_next", "entropy_next",
        *(f"rank_below_{b}" for b in BUCKETS),
        *(f"fraction_below_{b:g}" for b in _FRACTION_BOUNDS),
        *(f"z_below_{b:g}" for b in _Z_BOUNDS),
        *(f"logprob_below_{b:g}" for b in _SURPRISE_BOUNDS),
        "start_logprob", "start_log_rank", "inside_logprob", "inside_share", "repeated_logprob", "new_logprob",
        "repeats_1", "repeats_2", "repeats_3",
        "word_length", "word_length_sd", "sentence_length", "sentence_length_sd", "digits", "capitals",
        "capital_words", "not_ascii", "line_breaks", "empty_lines", *_MARKS,
    ]  # fmt: skip


def features(reading: Reading, length: int | None = None) -> Array:
    """Return the features of a reading, or of its first `length` tokens: float64 (len(names()),).

    At least two scored tokens are needed; an undefined number is 0.
    """
    n = len(reading.ids) if length is None else min(length, len(reading.ids))
    text = reading.plain[: reading.ends[n - 1]]
    row = [*_of_scores(reading, n), *_of_repetition(reading, n), *_of_writing(text)]
    return np.nan_to_num(np.asarray(row, np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _of_scores(reading: Reading, n: int) -> list[float]:
    m = reading.moments
    known = m.scored[:n]
    logp, entropy, variance, highest = (
        c[:n][known].astype(np.float64) for c in (m.logprobs, m.entropies, m.variances, m.highest)
    )
    ranks = m.ranks[:n][known]
    log_rank = np.log1p(ranks.astype(np.float64))
    z = (logp + entropy) / np.sqrt(np.maximum(variance, 1e-6))
    fraction = np.exp(logp - highest)
    ids = reading.ids[:n]
    starts = np.asarray([t[:1].isspace() for t in reading.tokens[:n]])[known]
    repeated = _repeated(ids, 1)[known]
    return [
        logp.mean(), log_rank.mean(), -logp.mean() / max(log_rank.mean(), 1e-6), entropy.mean(),
        (logp.mean() + entropy.mean()) / np.sqrt(max(variance.mean(), 1e-6)), variance.mean(),
        logp.std(), log_rank.std(), entropy.std(), z.std(), _correlation(logp, entropy),
        _correlation(logp[1:], logp[:-1]), _correlation(entropy[1:], entropy[:-1]),
        *((ranks < b).mean() for b in BUCKETS),
        *((fraction < b).mean() for b in _FRACTION_BOUNDS),
        *((z < b).mean() for b in _Z_BOUNDS),
        *((logp < b).mean() for b in _SURPRISE_BOUNDS),
        _mean(logp[starts]), _mean(log_rank[starts]), _mean(logp[~starts]), float((~starts).mean()),
        _mean(logp[repeated]), _mean(logp[~repeated]),
    ]  # fmt: skip


def _of_repetition(reading: Reading, n: int) -> list[float]:
    return [float(_repeated(reading.ids[:n], k).mean()) if n >= k else 0.0 for k in (1, 2, 3)]


def _repeated(ids: npt.NDArray[np.int32], k: int) -> npt.NDArray[np.bool_]:
    """Return which tokens end a run of k tokens that also ended within the last `_RECENT` tokens."""
    again = np.zeros(len(ids), np.bool_)
    last: dict[bytes, int] = {}
    for i in range(k - 1, len(ids)):
        run = ids[i - k + 1 : i + 1].tobytes()
        again[i] = i - last.get(run, -_RECENT - 1) <= _RECENT
        last[run] = i
    return again


def _of_writing(text: str) -> list[float]:
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text)
    lengths = np.asarray([len(w) for w in words] or [0], np.float64)
    sentences = np.asarray([len(s.split()) for s in _SENTENCE.findall(text)] or [0], np.float64)
    total = max(len(text), 1)
    count = max(len(words), 1)
    return [
        lengths.mean(), lengths.std(), np.log1p(sentences.mean()), sentences.std() / max(sentences.mean(), 1.0),
        sum(c.isdigit() for c in text) / total, sum(c.isupper() for c in text) / total,
        sum(w[0].isupper() for w in words) / count, sum(ord(c) > 127 for c in text) / total,
        text.count("\n") / total, text.count("\n\n") / total,
        *(sum(text.count(c) for c in marks) / total for marks in _MARKS.values()),
    ]  # fmt: skip


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _correlation(a: Array, b: Array) -> float:
    """Return Pearson's correlation; 0 where either does not vary."""
    if len(a) < 3 or not a.std() or not b.std():
        return 0.0
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))
