"""Before anything is timed: do the engines compute the same in fp32? By logits, or by tokens where there are none.

The reference is transformers in fp32. Peers that keep keys and values in less than fp32 are allowed more than we are.
Greedy tokens may part where the reference itself sees a tie: both within the tolerance of its largest logit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import workload
from benchmarks.checkpoints import ConversionError
from benchmarks.client import Worker, WorkerError
from benchmarks.engines import Engine
from benchmarks.session import Choose, Place, load_arguments, loaded
from benchmarks.summary import first_difference, gap_explains
from benchmarks.workload import Case

REFERENCE = Engine("transformers", "fp32")
TOLERANCE = 1e-3
"""The largest difference of a logit that ours may have."""

PEERS_TOLERANCE = 3e-2
"""The same for peers, several of which keep keys and values in 8 or 16 bits."""

_CASE = Case(group="decode", context=48, new=16)


class Disagreement(Exception):
    """Our fp32 logits are not those of transformers; nothing is worth timing."""


def agreement(
    engines: Sequence[Engine], size: str, place: Place, choose: Choose, say: Callable[[str], None]
) -> dict[str, str]:
    """Return, for each fp32 engine beside the reference, in words how its output compares.

    Raises `Disagreement` where ours differs, and `WorkerError` or `ConversionError` where the reference does not run.
    """
    case = replace(_CASE, size=size)
    (prompt,) = workload.prompts(case, 1)
    findings: dict[str, str] = {}
    with _loaded(place, REFERENCE, case, choose) as reference:
        for engine in (e for e in engines if e.width == "fp32" and e != REFERENCE):
            try:
                with _loaded(place, engine, case, choose) as worker:
                    findings[engine.name] = _compare(reference, worker, engine, prompt, case.new)
            except (ConversionError, WorkerError) as error:
                findings[engine.name] = f"could not be compared: {error}"
            say(f"    {engine.name}: {findings[engine.name]}")
    return findings


def _loaded(place: Place, engine: Engine, case: Case, choose: Choose) -> Any:
    return loaded(place, engine, load_arguments(place, engine, case, choose(engine, "single")[1]))


def _compare(reference: Worker, worker: Worker, engine: Engine, prompt: Sequence[int], new: int) -> str:
    given = worker.call("logits", ids=prompt).value
    if given is not None:
        expected = np.array(reference.call("logits", ids=prompt).value)
        difference = float(np.abs(np.array(given) - expected).max())
        allowed = TOLERANCE if engine.ours else PEERS_TOLERANCE
        words = f"logits differ by at most {difference:.1e}"
        if difference <= allowed:
            return words
        if engine.ours:
            raise Disagreement(f"{engine.name}: {words} from those of transformers; {allowed:.0e} is allowed.")
        return f"{words}: MORE than the {allowed:.0e} that is allowed"
    return _compare_tokens(reference, worker, prompt, new)


def _compare_tokens(reference: Worker, worker: Worker, prompt: Sequence[int], new: int) -> str:
    theirs, expected = (_greedy(one, prompt, new) for one in (worker, reference))
    place = first_difference(theirs, expected)
    if place is None:
        return f"all {new} greedy tokens are equal"
    logits = reference.call("logits", ids=[*prompt, *expected[:place]]).value[-1]
    words = f"greedy tokens part at number {place + 1} of {new}"
    if gap_explains(logits, theirs[place], expected[place], PEERS_TOLERANCE):
        return f"{words}, at a tie"
    return f"{words}: NOT a tie"


def _greedy(worker: Worker, prompt: Sequence[int], new: int) -> list[int]:
    answer: Mapping[str, Any] = worker.call("decode_json", prompts=[prompt], new=new).value
    tokens: list[int] = answer["tokens"][0]
    return tokens
