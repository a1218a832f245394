"""Short answers against the right ones: exact match and F1 of words, as the benchmarks of questions count them.

Sources: the evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016), of CoQA (Reddy et al. 2019) and of EleutherAI's
lm-eval (its tasks nq_open and coqa). All return 0 to 1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LEADING_ARTICLES = re.compile(r"\b(?:The |the |An |A |The |a |an )")


def normalised(text: str) -> str:
    """Return a text as SQuAD compares it: lower case, no punctuation, no articles, single blanks."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(given: str, right: str) -> float:
    """Return 1 if an answer is the right one, as SQuAD compares them."""
    return float(normalised(given) == normalised(right))


def exact_match_lm_eval(given: str, right: str) -> float:
    """Return 1 if an answer is the right one as lm-eval's nq_open compares them: white space counts."""
    return float(_lm_eval_form(given) == _lm_eval_form(right))


def _lm_eval_form(text: str) -> str:
    return _LEADING_ARTICLES.sub("", text).lower().translate(_PUNCTUATION)


def f1(given: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of an answer's words; of empty ones whether both are empty."""
    ours, theirs = normalised(given).split(), normalised(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


Measure = Callable[[str, str], float]


def best(measure: Measure, given: str, right: Sequence[str]) -> float:
    """Return the best of an answer's measures against several right ones."""
    return max(measure(given, one) for one in right)


def leave_one_out(measure: Measure, given: str, right: Sequence[str]) -> float:
    """Return the mean, over the right answers, of the best measure against all others, as CoQA's script has it.

    People are measured against the others' answers, so a model is too; a single right answer stands for itself.
    """
    if len(right) == 1:
        return measure(given, right[0])
    others = ([one for j, one in enumerate(right) if j != i] for i in range(len(right)))
    return sum(best(measure, given, rest) for rest in others) / len(right)
