"""Which events may come next, so that whatever a model writes is music that can be played.

In a performance a note is struck only while its pitch is silent, let go only while it sounds, and lasts a step at
least and five seconds at most, for a model cannot let go what began before its window; a velocity is followed by a
note; when the time or the tokens come to an end, everything that sounds is let go and the piece ends. On a grid the
voices follow each other and a piece ends behind a whole row. A given melody is kept to the event: its notes are
forced when their time has come. Rules are `gpt2lab.engine.guided.Rule`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.music.notes import Note
from gpt2lab.apps.music.vocabulary import MOST_STEPS, STEPS_PER_SECOND, VOICES, MusicVocabulary, velocity_bin
from gpt2lab.errors import RequestError

Mask = npt.NDArray[np.bool_]

LONGEST_NOTE = 5 * STEPS_PER_SECOND
"""Steps that a note sounds at most, if it is none of a melody. Of the piano performances' notes 99.5 % are shorter."""


@dataclass(frozen=True)
class _Forced:
    """What a melody does at a step: a pitch is struck with a velocity bin, or let go (bin 0)."""

    step: int
    pitch: int
    bin: int


class PerformanceRule:
    """Keeps events playable, for `steps` steps of time and at most `budget` tokens.

    Without `may_end` the piece does not end before its time is over. `melody` notes begin at the step they say.
    """

    def __init__(
        self, music: MusicVocabulary, *, steps: int, budget: int, melody: Sequence[Note] = (), may_end: bool = False
    ) -> None:
        self._music, self._steps, self._left, self._may_end = music, steps, budget, may_end
        self._forced = _events_of(melody, music)
        self._kept: set[int] = set()  # pitches of the melody that sound
        self._since: dict[int, int] = {}  # sounding pitch -> step of its onset
        self._now, self._bin, self._behind_velocity = 0, 0, False
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether the end has come."""
        return self._ended

    def allowed(self) -> Mask:
        """Return which tokens may come next."""
        mask = np.zeros(self._music.size, np.bool_)
        due = self._forced[0] if self._forced and self._forced[0].step <= self._now else None
        overdue = [pitch for pitch, since in self._others if since + LONGEST_NOTE <= self._now]
        if due is not None:
            mask[self._next_of(due)] = True
        elif overdue:
            for pitch in overdue:
                mask[self._music.first_off + pitch - self._music.pitches.start] = True
        elif self._closing:
            self._allow_closing(mask)
        else:
            self._allow_free(mask)
        return mask

    def prime(self, tokens: Sequence[int]) -> None:
        """Take note of a beginning that is given; it costs nothing, and what is wrong in it is passed over."""
        for token in tokens:
            self._left += 1
            self.accept(token)
        self._ended = False

    def accept(self, token: int) -> None:
        """Take note of a token that came."""
        music = self._music
        self._left -= 1
        self._behind_velocity = music.first_velocity <= token < music.after_events
        if token == music.end_id:
            self._ended = True
        elif self._behind_velocity:
            self._bin = token - music.first_velocity + 1
        elif music.first_shift <= token < music.first_velocity:
            self._now += token - music.first_shift + 1
        elif music.first_off <= token < music.first_shift:
            self._silence(token - music.first_off + music.pitches.start)
        elif music.first_on <= token < music.first_off:
            self._strike(token - music.first_on + music.pitches.start)

    @property
    def _others(self) -> list[tuple[int, int]]:
        """What sounds and is none of the melody: pitch and step of its onset."""
        return [(pitch, since) for pitch, since in self._since.items() if pitch not in self._kept]

    @property
    def _closing(self) -> bool:
        melody = 4 * len(self._forced) + (self._forced[-1].step - self._now) // MOST_STEPS + 1 if self._forced else 0
        return self._now >= self._steps or self._left <= len(self._since) + 2 + melody

    def _strike(self, pitch: int) -> None:
        self._since[pitch] = self._now
        due = self._forced[0] if self._forced else None
        if due is not None and due.bin and due.step <= self._now and due.pitch == pitch:
            self._kept.add(pitch)
            self._forced.pop(0)

    def _silence(self, pitch: int) -> None:
        self._since.pop(pitch, None)
        self._kept.discard(pitch)
        due = self._forced[0] if self._forced else None
        if due is not None and not due.bin and due.step <= self._now and due.pitch == pitch:
            self._forced.pop(0)

    def _next_of(self, due: _Forced) -> int:
        """Return the token that brings a forced event nearer."""
        place = due.pitch - self._music.pitches.start
        if not due.bin or due.pitch in self._since:
            return self._music.first_off + place
        if due.bin != self._bin:
            return self._music.first_velocity + due.bin - 1
        return self._music.first_on + place

    def _allow_closing(self, mask: Mask) -> None:
        """Let everything go but the melody, which is played to its end; then end."""
        music = self._music
        others = self._others
        ripe = [pitch for pitch, since in others if since < self._now]
        if ripe:
            for pitch in ripe:
                mask[music.first_off + pitch - music.pitches.start] = True
        elif self._forced:
            mask[music.first_shift + min(MOST_STEPS, self._forced[0].step - self._now) - 1] = True
        elif others:
            mask[music.first_shift] = True
        else:
            mask[music.end_id] = True

    def _allow_free(self, mask: Mask) -> None:
        music, low = self._music, self._music.pitches.start
        mask[music.first_on : music.first_off] = True
        for pitch, since in self._since.items():
            mask[music.first_on + pitch - low] = False
            mask[music.first_off + pitch - low] = since < self._now and pitch not in self._kept
        if self._behind_velocity and mask[music.first_on : music.first_off].any():
            mask[music.first_off : music.first_shift] = False
            return
        if mask[music.first_on : music.first_off].any():
            mask[music.first_velocity : music.after_events] = True
        until = min(
            [self._steps, *(event.step for event in self._forced[:1]), *(s + LONGEST_NOTE for _, s in self._others)]
        )
        mask[music.first_shift : music.first_shift + min(MOST_STEPS, until - self._now)] = True
        mask[music.end_id] = self._may_end and not self._since and not self._forced


def _events_of(melody: Sequence[Note], music: MusicVocabulary) -> list[_Forced]:
    """Return a melody's events in order; at one step pitches are let go before others are struck."""
    events = []
    for note in melody:
        if note.pitch not in music.pitches:
            raise RequestError(
                f"The melody's pitch {note.pitch} is none of the model's: "
                f"{music.pitches.start} to {music.pitches.stop - 1}."
            )
        start = round(note.start * STEPS_PER_SECOND)
        end = max(start + 1, round(note.end * STEPS_PER_SECOND))
        events.append(_Forced(start, note.pitch, velocity_bin(note.velocity)))
        events.append(_Forced(end, note.pitch, 0))
    return sorted(events, key=lambda event: (event.step, event.bin > 0, event.pitch))


class ChoraleRule:
    """Keeps a grid whole for `rows` rows. `given` fixes cells of the grid: None leaves one open, -1 is a rest."""

    def __init__(
        self, music: MusicVocabulary, *, rows: int, given: Sequence[Sequence[int | None]] = (), may_end: bool = False
    ) -> None:
        self._music, self._rows, self._given, self._may_end = music, rows, given, may_end
        self._cells, self._ended = 0, False

    @property
    def complete(self) -> bool:
        """Whether the end has come, or all rows are there."""
        return self._ended or self._cells >= self._rows * VOICES

    def allowed(self) -> Mask:
        """Return which tokens may come next."""
        music = self._music
        mask = np.zeros(music.size, np.bool_)
        row, voice = divmod(self._cells, VOICES)
        fixed = self._given[row][voice] if row < len(self._given) else None
        if fixed is not None:
            mask[music.first_off if fixed < 0 else music.first_on + fixed - music.pitches.start] = True
            return mask
        mask[music.first_on : music.first_off + 1] = True
        mask[music.end_id] = self._may_end and voice == 0
        return mask

    def prime(self, tokens: Sequence[int]) -> None:
        """Take note of a beginning that is given."""
        for token in tokens:
            self.accept(token)
        self._ended = False

    def accept(self, token: int) -> None:
        """Take note of a token that came."""
        if token == self._music.end_id:
            self._ended = True
        else:
            self._cells += 1


def soprano_of(melody: Sequence[int | None]) -> list[list[int | None]]:
    """Return what `ChoraleRule` is given to keep a melody, a pitch or a rest a row, and leave the other voices open."""
    return [[-1 if pitch is None else pitch, None, None, None] for pitch in melody]
