"""Notes as a sequence of events and back (Oore et al. 2018, "This time with feeling", section 3).

Times are rounded to the nearest 10 ms. In one step note-offs come first, then note-ons, each upwards in pitch; a
velocity is said when it changes. Knows no files; the sustain pedal has been applied to the notes (`notes.sustained`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.music.notes import Note, Notes
from gpt2lab.apps.music.vocabulary import (
    MOST_STEPS,
    STEPS_PER_SECOND,
    MusicVocabulary,
    bin_velocity,
    velocity_bin,
)

IntArray = npt.NDArray[np.int64]


class Decoded(NamedTuple):
    """Notes of a sequence of events, and what was wrong in it: notes never ended, note-offs of nothing."""

    notes: Notes
    hanging: int
    stray: int


def encode(notes: Iterable[Note], music: MusicVocabulary) -> list[int]:
    """Return the events of notes as ids; pitches that the vocabulary does not have are left out.

    The first note's time from the beginning is kept. Of notes of one pitch in one step, one is kept.
    """
    actions: list[tuple[int, int, int, int]] = []  # step, 0 off or 1 on, pitch, velocity bin
    for start, end, pitch, number in _on_grid(notes, music):
        actions.append((start, 1, pitch, number))
        actions.append((end, 0, pitch, 0))
    ids: list[int] = []
    now, loudness = 0, 0
    for step, on, pitch, number in sorted(actions):
        ids += _shifts(step - now, music)
        now = step
        place = pitch - music.pitches.start
        if not on:
            ids.append(music.first_off + place)
            continue
        if number != loudness:
            ids.append(music.first_velocity + number - 1)
            loudness = number
        ids.append(music.first_on + place)
    return ids


def _on_grid(notes: Iterable[Note], music: MusicVocabulary) -> list[tuple[int, int, int, int]]:
    """Return (first step, last step, pitch, velocity bin) of notes, at least a step long and no two at once."""
    following: dict[int, int] = {}
    found = []
    for note in sorted(notes, reverse=True):
        start = round(note.start * STEPS_PER_SECOND)
        if note.pitch not in music.pitches or following.get(note.pitch) == start:
            continue
        end = max(start + 1, round(note.end * STEPS_PER_SECOND))
        found.append((start, min(end, following.get(note.pitch, end)), note.pitch, velocity_bin(note.velocity)))
        following[note.pitch] = start
    return found


def _shifts(steps: int, music: MusicVocabulary) -> list[int]:
    """Return the time shifts that make `steps`."""
    whole, rest = divmod(steps, MOST_STEPS)
    return [music.first_shift + MOST_STEPS - 1] * whole + ([music.first_shift + rest - 1] if rest else [])


def decode(ids: Sequence[int], music: MusicVocabulary) -> Decoded:
    """Return the notes of events. Any sequence has some: what never ends, ends with the piece.

    Everything else than events, such as the end of a piece, is passed over.
    """
    done: list[Note] = []
    sounding: dict[int, tuple[int, int]] = {}  # pitch -> step, velocity
    now, loudness, stray = 0, 80, 0

    def end(pitch: int) -> None:
        start, velocity = sounding.pop(pitch)
        done.append(Note(start / STEPS_PER_SECOND, max(now, start + 1) / STEPS_PER_SECOND, pitch, velocity))

    for token in ids:
        if music.first_on <= token < music.first_off:
            pitch = token - music.first_on + music.pitches.start
            if pitch in sounding:
                end(pitch)
            sounding[pitch] = now, loudness
        elif music.first_off <= token < music.first_shift:
            pitch = token - music.first_off + music.pitches.start
            if pitch in sounding:
                end(pitch)
            else:
                stray += 1
        elif music.first_shift <= token < music.first_velocity:
            now += token - music.first_shift + 1
        elif music.first_velocity <= token < music.after_events:
            loudness = bin_velocity(token - music.first_velocity + 1)
    hanging = len(sounding)
    for pitch in list(sounding):
        end(pitch)
    return Decoded(tuple(sorted(done, key=lambda note: (note.start, note.pitch))), hanging, stray)


def steps_of(ids: npt.ArrayLike, music: MusicVocabulary) -> IntArray:
    """Return how many steps of time each token is; 0 for all that are no time shifts."""
    array = np.asarray(ids, np.int64)
    shift = (array >= music.first_shift) & (array < music.first_velocity)
    steps: IntArray = np.where(shift, array - music.first_shift + 1, 0)
    return steps


def transpose_ids(ids: IntArray, semitones: int, music: MusicVocabulary) -> IntArray:
    """Return the events `semitones` higher, or as they are when a pitch would leave the vocabulary."""
    notes = (ids >= music.first_on) & (ids < (music.first_off if music.is_grid else music.first_shift))
    places = (ids[notes] - music.first_on) % len(music.pitches) + semitones
    if places.size == 0 or places.min() < 0 or places.max() >= len(music.pitches):
        return ids
    moved = ids.copy()
    moved[notes] += semitones
    return moved


def stretch_ids(ids: IntArray, factor: float, music: MusicVocabulary) -> IntArray:
    """Return the events with each pause between them `factor` times as long, rounded to whole steps, none 0."""
    steps = steps_of(ids, music)
    if factor == 1.0 or not steps.any():
        return ids
    parts: list[IntArray] = []
    begins = np.flatnonzero(np.diff(np.concatenate([[0], (steps > 0).astype(np.int64)])) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([(steps > 0).astype(np.int64), [0]])) == -1) + 1
    before = 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        parts.append(ids[before:begin])
        wanted = max(1, round(int(steps[begin:end].sum()) * factor))
        parts.append(np.asarray(_shifts(wanted, music), np.int64))
        before = end
    return np.concatenate([*parts, ids[before:]])
