"""What music is like in numbers: pitch classes, density, how much it repeats itself and others; beside a training set.

Knows notes and tokens; models come in only as the log-probabilities they give.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.metrics.divergence import jensen_shannon

if TYPE_CHECKING:
    from gpt2lab.lm.model import LanguageModel

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
PHRASE = 8
"""Notes in a phrase, of which repetition is told: the steps between their pitches, in order of onset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Figures of some pieces together.

    `pitch_classes` are shares of the time that notes sound, from C. `density` is notes struck a second, `polyphony` how
    many sound on average while any does. `repetition` is the share of phrases that came before in their own piece,
    moved to other pitches or not; `copied` the share that a training set holds, None without one.
    """

    pieces: int
    seconds: float
    notes: int
    density: float
    polyphony: float
    lowest: int | None
    highest: int | None
    mean_velocity: float | None
    pitch_classes: tuple[float, ...]
    repetition: float
    copied: float | None = None


def phrases(notes: Sequence[Note]) -> list[tuple[int, ...]]:
    """Return each `PHRASE` notes that follow each other as the steps between their pitches."""
    pitches = [note.pitch for note in sorted(notes, key=lambda note: (note.start, note.pitch))]
    steps = [b - a for a, b in itertools.pairwise(pitches)]
    size = PHRASE - 1
    return [tuple(steps[i : i + size]) for i in range(len(steps) - size + 1)]


def describe(pieces: Iterable[Sequence[Note]], known: set[tuple[int, ...]] | None = None) -> Description:
    """Return the figures of pieces; `known` are the phrases of a training set."""
    count = total = repeated = copied = of_phrases = 0
    seconds = sounding = covered = 0.0
    loudness = 0
    classes = np.zeros(12)
    lowest, highest = 128, -1
    for notes in pieces:
        count += 1
        total += len(notes)
        seconds += duration(notes)
        sounding += sum(note.end - note.start for note in notes)
        covered += _covered(notes)
        for note in notes:
            classes[note.pitch % 12] += note.end - note.start
            loudness += note.velocity
            lowest, highest = min(lowest, note.pitch), max(highest, note.pitch)
        found = phrases(notes)
        of_phrases += len(found)
        repeated += len(found) - len(set(found))
        copied += sum(phrase in known for phrase in found) if known is not None else 0
    return Description(
        pieces=count,
        seconds=seconds,
        notes=total,
        density=total / seconds if seconds else 0.0,
        polyphony=sounding / covered if covered else 0.0,
        lowest=lowest if total else None,
        highest=highest if total else None,
        mean_velocity=loudness / total if total else None,
        pitch_classes=tuple((classes / classes.sum()).tolist() if classes.any() else [0.0] * 12),
        repetition=repeated / of_phrases if of_phrases else 0.0,
        copied=copied / of_phrases if of_phrases and known is not None else None,
    )


def _covered(notes: Sequence[Note]) -> float:
    """Return for how many seconds any note sounds."""
    until, total = 0.0, 0.0
    for note in sorted(notes):
        total += max(0.0, note.end - max(note.start, until))
        until = max(until, note.end)
    return total


def distance(a: Description, b: Description) -> float:
    """Return the Jensen-Shannon divergence of two descriptions' pitch classes, in bits."""
    return jensen_shannon(np.array([a.pitch_classes, b.pitch_classes]))


def nats_per_event(lm: LanguageModel, ids: Sequence[int]) -> float:
    """Return how much an event of a piece surprises a model on average, in nats. Raises `RequestError` for none."""
    return -float(np.mean(lm.score(token_ids=list(ids)).logprobs))
