"""Notes as sound: a small additive synthesiser, and WAV files. The same notes give the same bytes.

A struck string is a sum of partials that fade, the higher the sooner, each a little sharper than a multiple of the
first (Fletcher and Rossing 1998, "The Physics of Musical Instruments", chapter 12); a pipe's partials stay. With a
SoundFont the program fluidsynth plays instead, where it is installed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.music import midi
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.errors import ConfigError, RequestError, nearest

Samples = npt.NDArray[np.float64]

RATE = 44100
_TAIL = 0.5  # seconds behind the last note
_PEAK = 0.9  # of what 16 bits can hold
_MOST_SECONDS = 3600
_RELEASE = {"piano": 0.12, "organ": 0.06}  # seconds in which a note that is let go fades
INSTRUMENTS = tuple(_RELEASE)


@dataclass(frozen=True)
class _Partial:
    frequency: float
    amplitude: float
    decay: float  # 1 / seconds


def synthesise(notes: Iterable[Note], *, instrument: str = "piano", rate: int = RATE) -> Samples:
    """Return the sound of notes as samples in -1 … 1, (n,), as loud as can be; silence for none.

    Raises `ConfigError` for an unknown instrument or a rate outside 8,000 … 192,000, `RequestError` for an hour.
    """
    if instrument not in INSTRUMENTS:
        raise ConfigError(
            f"Unknown instrument {instrument!r}.{nearest(instrument, INSTRUMENTS)} Known: {', '.join(INSTRUMENTS)}."
        )
    if not 8000 <= rate <= 192_000:
        raise ConfigError(f"rate = {rate} must be from 8000 to 192000 samples a second.")
    given = sorted(notes)
    if duration(given) > _MOST_SECONDS:
        raise RequestError(f"{duration(given):.0f} seconds are more than an hour, which is the most that is rendered.")
    sound = np.zeros(int((duration(given) + _TAIL) * rate) + 1)
    for note in given:
        start = int(note.start * rate)
        played = _played(note, instrument, rate)[: len(sound) - start]
        sound[start : start + len(played)] += played
    loudest = float(np.abs(sound).max())
    return sound * (_PEAK / loudest) if loudest else sound


def _played(note: Note, instrument: str, rate: int) -> Samples:
    """Return the sound of one note from its beginning until it has faded."""
    release = _RELEASE[instrument]
    held = note.end - note.start
    t = np.arange(int((held + release) * rate)) / rate  # (n,)
    sound = np.zeros(len(t))
    for partial in _partials(note, instrument, rate):
        sound += partial.amplitude * np.exp(-partial.decay * t) * np.sin(2 * np.pi * partial.frequency * t)
    attack = 0.004 if instrument == "piano" else 0.03
    envelope = np.minimum(1.0, t / attack) * np.clip((held + release - t) / release, 0.0, 1.0)
    faded: Samples = sound * envelope * (note.velocity / 127) ** 1.5
    return faded


def _partials(note: Note, instrument: str, rate: int) -> list[_Partial]:
    """Return the partials below half the rate; a string that is struck harder has stronger high ones."""
    first = 440.0 * 2 ** ((note.pitch - 69) / 12)
    found = []
    for number in range(1, 13):
        if instrument == "piano":
            frequency = number * first * (1 + 4e-4 * number * number) ** 0.5
            bright = 1.5 - 0.6 * note.velocity / 127
            amplitude, decay = number**-bright, (0.5 + first / 700) * (1 + 0.25 * number)
        else:
            frequency, amplitude, decay = (
                number * first,
                {1: 1.0, 2: 0.6, 3: 0.25, 4: 0.35, 8: 0.12}.get(number, 0.0),
                0.0,
            )
        if amplitude and frequency < rate / 2:
            found.append(_Partial(frequency, amplitude, decay))
    return found


def wav_bytes(sound: Samples, rate: int = RATE) -> bytes:
    """Return samples as a WAV file of 16 bits, one channel."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(np.round(np.clip(sound, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def soundfont_bytes(notes: Iterable[Note], font: str | Path, *, rate: int = RATE) -> bytes:
    """Return a WAV file that fluidsynth makes of notes with a SoundFont.

    Raises `ConfigError` where the program or the font is missing, or the program fails.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise ConfigError(
            "A SoundFont needs the program fluidsynth, which is not installed; without one the built-in sound is used."
        )
    if not Path(font).is_file():
        raise ConfigError(f"The SoundFont {font} does not exist.")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "music.mid", Path(folder) / "music.wav"
        source.write_bytes(midi.write(notes))
        command = [program, "-ni", "-q", "-r", str(rate), "-F", str(target), str(font), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not target.is_file():
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ConfigError(f"fluidsynth could not play with {font}: {reason}.")
        return target.read_bytes()
