"""Where the commands of music read and write: MIDI, WAV, pictures, and several of them by number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpt2lab.cli import console
from gpt2lab.errors import ConfigError

if TYPE_CHECKING:
    from gpt2lab.apps.music.notes import Notes

SUFFIXES = (".mid", ".midi", ".wav", ".svg", ".png")


def numbered(path: str, number: int, count: int) -> str:
    """Return `path` for the only one of `count`, else with a number from 1 before its ending."""
    if count == 1:
        return path
    if path == console.STDIN:
        raise ConfigError(f"{count} pieces do not go into one stream; give --out FILE, which is numbered.")
    target = Path(path)
    return str(target.with_name(f"{target.stem}-{number + 1}{target.suffix}"))


def write_bytes(path: str, data: bytes) -> None:
    """Write to a file whole or not at all, or to stdout for "-"."""
    with console.open_output(path, "wb") as f:
        f.write(data)


def check_suffixes(paths: list[str]) -> None:
    """Raise `ConfigError` for a file whose ending says nothing that can be written."""
    for path in paths:
        if path != console.STDIN and Path(path).suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path} ends in none of {', '.join(SUFFIXES)}, which say what is to be written.")


def check_outputs(paths: list[str], count: int, *, instrument: str, rate: int, soundfont: str | None) -> None:
    """Raise what writing `count` pieces to `paths` would, before there are any."""
    check_suffixes(paths)
    for path in paths:
        rendered((), path, instrument=instrument, rate=rate, soundfont=soundfont)  # as silence shows, any music can be
        console.check_output(numbered(path, 0, count))


def read_notes(path: str, *, beat: float | None = None) -> Notes:
    """Return the notes of a MIDI file, or of stdin for "-"; a quarter lasts `beat` seconds where that is given."""
    from gpt2lab.apps.music import midi

    return midi.read(console.read_bytes(path), console.named(path), seconds_per_beat=beat).notes


def rendered(
    notes: Notes, path: str, *, instrument: str, rate: int, soundfont: str | None, beat: float | None = None
) -> bytes:
    """Return notes as the bytes of the file that `path` asks for by its ending; "-" is MIDI, a quarter `beat` long."""
    from gpt2lab.apps.music import midi, roll, synthesiser

    suffix = Path(path).suffix.lower()
    if suffix == ".wav":
        if soundfont is not None:
            return synthesiser.soundfont_bytes(notes, soundfont, rate=rate)
        return synthesiser.wav_bytes(synthesiser.synthesise(notes, instrument=instrument, rate=rate), rate)
    if suffix == ".svg":
        return roll.svg(notes, Path(path).stem).encode()
    if suffix == ".png":
        return roll.png(notes, Path(path).stem)
    return midi.write(notes, seconds_per_beat=beat)
