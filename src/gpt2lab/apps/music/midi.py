"""MIDI files as notes and back. The bytes are the library's (mido); times, pedals and what is refused are decided here.

Whatever the bytes are, `read` returns or raises a `DataError` of one sentence. Standard MIDI Files 1.0 (RP-001).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gpt2lab.apps.music.notes import Note, Notes, Pedal, sustained
from gpt2lab.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import mido

_SUSTAIN, _DRUMS = 64, 9
_DEFAULT_TEMPO = 500_000
MOST_HOURS = 24
"""No piece may be longer."""

_NO_DATA = re.compile(
    rb"[\x80-\xff]{4096}"
)  # no delta time is that long, and the library would add up its bits for ever


@dataclass(frozen=True)
class Performance:
    """What a MIDI file holds: notes as long as they sound, in order of start, and where the pedal moved."""

    notes: Notes
    pedals: tuple[Pedal, ...] = ()


class _Timed(NamedTuple):
    ticks: int
    order: int
    message: Any


def read(data: bytes, name: str = "The MIDI file", *, seconds_per_beat: float | None = None) -> Performance:
    """Return the notes of a MIDI file's bytes; drums are left out, the sustain pedal holds notes.

    Times follow the file's tempo, or are `seconds_per_beat` a quarter where that is given. Raises `DataError` with
    `name` for what is no whole MIDI file, and for one longer than `MOST_HOURS`.
    """
    mido = _library()
    if _NO_DATA.search(data):
        raise DataError(f"{name} is no MIDI file: it holds thousands of bytes in a row that are none of its messages.")
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        timed = _merged(file)
    except (
        Exception
    ) as error:  # whatever a damaged file makes of the library: OSError, EOFError, ValueError, KeyError …
        reason = str(error) or ("it is cut short" if isinstance(error, EOFError) else type(error).__name__)
        raise DataError(f"{name} is damaged or no MIDI file: {reason.splitlines()[0].rstrip('.')}.") from None
    fixed = seconds_per_beat if file.ticks_per_beat > 0 else None
    return _performance(timed, _Clock(file.ticks_per_beat, name, fixed), name)


def _library() -> Any:
    try:
        import mido
    except ModuleNotFoundError:
        raise MissingExtraError("Reading and writing MIDI files", "music") from None
    return mido


def _merged(file: mido.MidiFile) -> list[_Timed]:
    """Return the messages of all tracks in order of time; tracks of format 2 follow each other."""
    timed: list[_Timed] = []
    offset = 0
    for track in file.tracks:
        ticks = offset
        for message in track:
            ticks += message.time
            if message.type in ("note_on", "note_off", "control_change", "set_tempo"):
                timed.append(_Timed(ticks, len(timed), message))
        if file.type == 2:
            offset = ticks
    return sorted(timed, key=lambda entry: entry[:2])


class _Clock:
    """Turns ticks that only grow into seconds, without adding up errors."""

    def __init__(self, division: int, name: str, fixed: float | None) -> None:
        if division == 0:
            raise DataError(f"{name} is damaged: it has 0 ticks in a quarter note.")
        self._division, self._fixed, self._name = division, fixed, name
        self._since, self._before = 0, 0.0  # ticks and seconds at the last change of tempo
        self._tempo = _DEFAULT_TEMPO

    def change(self, ticks: int, tempo: int) -> None:
        """Go on with `tempo` microseconds a quarter from `ticks` on."""
        self._before, self._since = self.at(ticks), ticks
        self._tempo = tempo

    def at(self, ticks: int) -> float:
        """Return the seconds at `ticks`."""
        passed = ticks - self._since
        if self._fixed is not None:
            seconds = passed * self._fixed / self._division
        elif self._division > 0:
            seconds = passed * self._tempo / (1_000_000 * self._division)
        else:  # frames a second in the upper byte, negative, and ticks a frame in the lower
            frames, parts = 256 - ((self._division >> 8) & 0xFF), self._division & 0xFF
            seconds = passed / (frames * max(parts, 1))
        if self._before + seconds > 3600 * MOST_HOURS:
            raise DataError(f"{self._name} is longer than {MOST_HOURS} hours; it is damaged, or not one piece.")
        return self._before + seconds


def _performance(timed: Iterable[_Timed], clock: _Clock, name: str) -> Performance:
    sounding: dict[tuple[int, int], tuple[float, int]] = {}
    notes: list[Note] = []
    pedals: list[Pedal] = []
    now = 0.0
    for entry in timed:
        message, now = entry.message, clock.at(entry.ticks)
        if message.type == "set_tempo":
            clock.change(entry.ticks, message.tempo)
        elif message.type == "control_change":
            if message.control == _SUSTAIN:
                pedals.append(Pedal(now, message.value >= 64, message.channel))
        elif message.channel != _DRUMS:
            key = message.channel, message.note
            if (begun := sounding.pop(key, None)) is not None:
                notes.append(Note(begun[0], now, message.note, begun[1], message.channel))
            if message.type == "note_on" and message.velocity:
                sounding[key] = now, message.velocity
    for (channel, pitch), (start, velocity) in sounding.items():
        notes.append(Note(start, now, pitch, velocity, channel))
    lasting = [note for note in notes if note.end > note.start]
    return Performance(sustained(lasting, pedals, now), tuple(pedals))


def write(
    notes: Iterable[Note], *, seconds_per_beat: float | None = None, program: int = 0, names: Iterable[str] = ()
) -> bytes:
    """Return a MIDI file of format 1 with a track for each channel, times to the millisecond.

    A quarter note lasts `seconds_per_beat`, half a second where that is None. `program` is the instrument of General
    MIDI (0: piano); `names` those of the tracks, in order of channel.
    """
    mido = _library()
    given = sorted(notes)
    milliseconds = 500 if seconds_per_beat is None else round(seconds_per_beat * 1000)
    file = mido.MidiFile(type=1, ticks_per_beat=milliseconds)  # a tick is a millisecond
    head = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=milliseconds * 1000)])
    file.tracks.append(head)
    titles = [*names]
    for number, channel in enumerate(sorted({note.channel for note in given})):
        track = mido.MidiTrack()
        if number < len(titles):
            track.append(mido.MetaMessage("track_name", name=titles[number]))
        track.append(mido.Message("program_change", program=program, channel=channel))
        track.extend(_messages(mido, [note for note in given if note.channel == channel]))
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _messages(mido: Any, notes: Iterable[Note]) -> list[Any]:
    """Return the messages of one channel; what ends at a time comes before what begins then."""
    actions = []
    for note in notes:
        start, end = round(note.start * 1000), round(note.end * 1000)
        actions.append((start, 1, note.pitch, note.velocity, note.channel))
        actions.append((max(end, start + 1), 0, note.pitch, 0, note.channel))
    messages, before = [], 0
    for ticks, on, pitch, velocity, channel in sorted(actions):
        kind = "note_on" if on else "note_off"
        messages.append(mido.Message(kind, note=pitch, velocity=velocity, channel=channel, time=ticks - before))
        before = ticks
    return messages
