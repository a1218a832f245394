"""Chorales on a grid of sixteenths: four voices, of each the pitch that sounds, as tokens and back.

The tokens of a sixteenth follow each other, soprano first, as Huang et al. (2018, section 3.1) put the voices of the
JSB chorales in a row. A pitch that goes on and one that is struck again look alike on such a grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from gpt2lab.apps.music.notes import Note, Notes
from gpt2lab.apps.music.vocabulary import VOICES, MusicVocabulary

Row = tuple[int | None, ...]
"""The pitch of each voice in one sixteenth, soprano first; None is a rest."""

SECONDS_PER_ROW = 0.15
"""The length of a sixteenth when a chorale is played: 100 quarters a minute."""

SECONDS_PER_BEAT = 4 * SECONDS_PER_ROW


def beat_of(music: MusicVocabulary) -> float | None:
    """Return how many seconds a quarter note lasts in pieces of a vocabulary, None where it knows no beat.

    A MIDI file has to say so: whoever reads it on a grid goes by its beats.
    """
    return SECONDS_PER_BEAT if music.is_grid else None


def encode(rows: Iterable[Row], music: MusicVocabulary) -> list[int]:
    """Return the tokens of a chorale; pitches outside the vocabulary are rests."""
    rest = music.first_off
    return [
        rest if pitch is None or pitch not in music.pitches else music.first_on + pitch - music.pitches.start
        for row in rows
        for pitch in row
    ]


def decode(ids: Sequence[int], music: MusicVocabulary) -> list[Row]:
    """Return the rows of a chorale; what is no cell of the grid is passed over, and a last row that is not whole."""
    cells = [i for i in ids if music.first_on <= i <= music.first_off]
    pitches = [None if i == music.first_off else i - music.first_on + music.pitches.start for i in cells]
    return [tuple(pitches[i : i + VOICES]) for i in range(0, len(pitches) - VOICES + 1, VOICES)]


def notes_of(rows: Sequence[Row], *, seconds: float = SECONDS_PER_ROW, velocity: int = 80) -> Notes:
    """Return a chorale as notes; equal pitches that follow each other in a voice are one. Channels are the voices."""
    notes = []
    for voice in range(VOICES):
        place = 0
        for pitch, group in itertools.groupby(row[voice] for row in rows):
            count = len(list(group))
            if pitch is not None:
                notes.append(Note(place * seconds, (place + count) * seconds, pitch, velocity, voice))
            place += count
    return tuple(sorted(notes, key=lambda note: (note.start, note.channel)))


def rows_of(notes: Sequence[Note], *, seconds: float = SECONDS_PER_ROW) -> list[Row]:
    """Return notes on the grid, `seconds` a row.

    Voices are the channels where these are among 0 … 3 and several; else the notes of a row are dealt out as
    `voiced` does it.
    """
    count = max((round(note.end / seconds) for note in notes), default=0)
    channels = {note.channel for note in notes}
    if len(channels) > 1 and max(channels) < VOICES:
        grid: list[list[int | None]] = [[None] * VOICES for _ in range(count)]
        for note in sorted(notes):
            for row in range(round(note.start / seconds), round(note.end / seconds)):
                grid[row][note.channel] = note.pitch
        return [tuple(row) for row in grid]
    chords: list[set[int]] = [set() for _ in range(count)]
    for note in notes:
        for row in range(round(note.start / seconds), round(note.end / seconds)):
            chords[row].add(note.pitch)
    return voiced([sorted(chord, reverse=True) for chord in chords])


def melody_rows(notes: Sequence[Note], *, seconds: float = SECONDS_PER_ROW) -> list[int | None]:
    """Return the highest pitch of every row of the grid, None where nothing sounds."""
    rows: list[int | None] = [None] * max((round(note.end / seconds) for note in notes), default=0)
    for note in sorted(notes):
        for place in range(round(note.start / seconds), round(note.end / seconds)):
            rows[place] = max(rows[place] or 0, note.pitch)
    return rows


def voiced(chords: Iterable[Sequence[int]]) -> list[Row]:
    """Return chords of up to four pitches, highest voice first, with rests put where the voices have least to move.

    Of more than four pitches the outer ones and those next to the highest stay.
    """
    rows: list[Row] = []
    last = [72, 67, 60, 48]  # where a choir's voices lie
    for chord in chords:
        pitches = list(chord) if len(chord) <= VOICES else [*chord[: VOICES - 1], chord[-1]]
        choices = itertools.combinations(range(VOICES), len(pitches))
        best = min(choices, key=lambda places: sum(abs(last[v] - p) for v, p in zip(places, pitches, strict=True)))
        row: list[int | None] = [None] * VOICES
        for voice, pitch in zip(best, pitches, strict=True):
            row[voice] = last[voice] = pitch
        rows.append(tuple(row))
    return rows
