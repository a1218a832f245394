"""What music is here: notes in seconds, and what the sustain pedal makes of them. Knows no files and no tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Note(NamedTuple):
    """A pitch (MIDI number, 60 is middle C) struck with a velocity (1 … 127) from `start` to `end`, in seconds.

    `channel` tells voices or instruments apart where that matters.
    """

    start: float
    end: float
    pitch: int
    velocity: int = 80
    channel: int = 0


class Pedal(NamedTuple):
    """The sustain pedal of a channel goes down or up at a time in seconds."""

    time: float
    down: bool
    channel: int = 0


Notes = tuple[Note, ...]
"""Notes in order of start, then pitch."""


def duration(notes: Iterable[Note]) -> float:
    """Return when the last note ends, in seconds."""
    return max((note.end for note in notes), default=0.0)


def transposed(notes: Iterable[Note], semitones: int) -> Notes:
    """Return the notes `semitones` higher; those that leave 0 … 127 are dropped."""
    moved = (note._replace(pitch=note.pitch + semitones) for note in notes)
    return tuple(note for note in moved if 0 <= note.pitch <= 127)


def stretched(notes: Iterable[Note], factor: float) -> Notes:
    """Return the notes with all times multiplied by `factor`."""
    return tuple(note._replace(start=note.start * factor, end=note.end * factor) for note in notes)


def cut(notes: Iterable[Note], start: float = 0.0, end: float = math.inf) -> Notes:
    """Return what begins in [start, end) seconds, moved to begin at 0; notes that sound on are ended at `end`."""
    inside = (note for note in notes if start <= note.start < end)
    return tuple(note._replace(start=note.start - start, end=min(note.end, end) - start) for note in inside)


def sustained(notes: Sequence[Note], pedals: Sequence[Pedal], last: float | None = None) -> Notes:
    """Return the notes as long as they sound: let go under a pedal, one goes on until the pedal goes up.

    A pitch that is struck again ends there in any case; a pedal that never goes up does so at `last` (None: when the
    last note is let go).
    """
    final = max([last or 0.0, duration(notes), *(pedal.time for pedal in pedals)])
    longer: list[Note] = []
    for channel in sorted({note.channel for note in notes}):
        down = _intervals([pedal for pedal in pedals if pedal.channel == channel], final)
        own = sorted(note for note in notes if note.channel == channel)
        longer += _without_overlap([_held(note, down) for note in own])
    return tuple(sorted(longer, key=lambda note: (note.start, note.pitch, note.channel)))


def _intervals(pedals: Sequence[Pedal], final: float) -> list[tuple[float, float]]:
    """Return when the pedal was down, as intervals in order."""
    found: list[tuple[float, float]] = []
    since: float | None = None
    for pedal in pedals:
        if pedal.down and since is None:
            since = pedal.time
        elif not pedal.down and since is not None:
            found.append((since, pedal.time))
            since = None
    if since is not None:
        found.append((since, final))
    return found


def _held(note: Note, down: Sequence[tuple[float, float]]) -> Note:
    import bisect

    place = bisect.bisect_right(down, (note.end, math.inf)) - 1
    if place >= 0 and down[place][0] <= note.end < down[place][1]:
        return note._replace(end=down[place][1])
    return note


def _without_overlap(notes: Sequence[Note]) -> list[Note]:
    """End each note where its pitch is struck again; of two that begin together the one that lasts longer stays."""
    following: dict[int, Note] = {}
    kept: list[Note] = []
    for note in reversed(notes):
        later = following.get(note.pitch)
        if later is not None and later.start == note.start:
            continue
        if later is not None and later.start < note.end:
            note = note._replace(end=later.start)
        following[note.pitch] = note
        kept.append(note)
    return kept
