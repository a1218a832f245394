"""Pieces from where music lies: MIDI files, folders and archives of them, and chorales in JSON.

A piece has a name, the group that it is held out with, and either notes or rows of a grid. Files are read one by one.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gpt2lab.apps.music import chorales, midi, performance
from gpt2lab.apps.music.chorales import Row
from gpt2lab.apps.music.notes import Notes
from gpt2lab.apps.music.vocabulary import MusicVocabulary
from gpt2lab.errors import DataError
from gpt2lab.files import parse_json

MIDI_SUFFIXES = (".mid", ".midi")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
_SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
_MOST_BYTES = 50_000_000  # of one MIDI file


@dataclass(frozen=True)
class Piece:
    """Music with its name; `split` is "train", "validation" or "test" where a published one says so, else ""."""

    name: str
    notes: Notes = ()
    rows: tuple[Row, ...] | None = None
    split: str = ""

    @property
    def folder(self) -> str:
        """The folder that the piece lies in, inside its archive or on the disk."""
        return str(PurePosixPath(self.name).parent)


def encode(piece: Piece, music: MusicVocabulary) -> list[int]:
    """Return a piece as tokens of a vocabulary, without the end."""
    if music.is_grid:
        return chorales.encode(piece.rows if piece.rows is not None else chorales.rows_of(piece.notes), music)
    return performance.encode(chorales.notes_of(piece.rows) if piece.rows is not None else piece.notes, music)


def read_pieces(
    inputs: Sequence[str | Path], music: MusicVocabulary, *, bad: dict[str, int] | None = None, every: int = 1
) -> Iterator[Piece]:
    """Yield the pieces of files, folders and archives in the order of their names; of MIDI files every `every`-th.

    Raises `DataError` for what is missing or damaged, and where there is no music at all; with `bad`, damaged MIDI
    files are passed over and counted there.
    """
    count = 0
    for given in inputs:
        for name, data in _files(Path(given)):
            count += 1
            if (count - 1) % every:
                continue
            if name.lower().endswith(".json"):
                yield from _chorales(name, data)
                continue
            try:
                piece = _piece(name, data, music)
            except DataError:
                if bad is None:
                    raise
                bad["damaged"] = bad.get("damaged", 0) + 1
            else:
                yield piece
    if not count:
        raise DataError(f"There is no MIDI file in {', '.join(map(str, inputs))}; {_looked_for()}.")


def _piece(name: str, data: bytes, music: MusicVocabulary) -> Piece:
    if music.is_grid:
        return Piece(name, rows=tuple(chorales.rows_of(_on_beat(data, name))))
    return Piece(name, notes=midi.read(data, name).notes)


def _on_beat(data: bytes, name: str) -> Notes:
    """Return the notes of a MIDI file with each sixteenth of its own beat as long as a row of the grid."""
    return midi.read(data, name, seconds_per_beat=chorales.SECONDS_PER_BEAT).notes


def _looked_for() -> str:
    return f"looked for {', '.join(MIDI_SUFFIXES)} in folders and archives ({', '.join(ARCHIVES)}), and .json"


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    lowered = path.name.lower()
    if path.is_dir():
        for found in sorted(p for p in path.rglob("*") if p.suffix.lower() in MIDI_SUFFIXES):
            yield found.relative_to(path).as_posix(), found.read_bytes()
    elif not path.is_file():
        raise DataError(f"{path} does not exist.")
    elif lowered.endswith(ARCHIVES):
        yield from _archive(path)
    elif lowered.endswith((*MIDI_SUFFIXES, ".json")):
        yield path.name, path.read_bytes()
    else:
        raise DataError(f"{path} is no music that can be read; {_looked_for()}.")


def _archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the MIDI files of an archive, read into memory; nothing is unpacked onto the disk."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in sorted(n for n in archive.namelist() if n.lower().endswith(MIDI_SUFFIXES)):
                    with archive.open(name) as member:
                        yield name, member.read(_MOST_BYTES)
            return
        with tarfile.open(path) as tar:
            inside = [m for m in tar.getmembers() if m.isfile() and m.name.lower().endswith(MIDI_SUFFIXES)]
            for entry in sorted(inside, key=lambda m: m.name):
                file = tar.extractfile(entry)
                assert file is not None
                yield entry.name, file.read(_MOST_BYTES)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{path} is not a whole archive: {error}.") from None


def _chorales(name: str, data: bytes) -> Iterator[Piece]:
    """Yield the chorales of a JSON object {"train": [[[pitch, …], …], …], "valid": …, "test": …}."""
    try:
        values: Any = parse_json(data)
    except ValueError as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None
    if not isinstance(values, dict) or not set(values) <= set(_SPLITS):
        raise DataError(f'{name} must hold an object of splits: {{"train": …, "valid": …, "test": …}}.')
    for split in values:
        if not isinstance(values[split], list):
            raise DataError(f"{name}: {split} is no list of pieces.")
        for number, chords in enumerate(values[split]):
            if not isinstance(chords, list) or not all(_is_chord(chord) for chord in chords):
                raise DataError(f"{name}: piece {number} of {split} is no list of chords of MIDI pitches.")
            kept = [[int(p) for p in chord if p >= 0] for chord in chords]
            yield Piece(f"{name}/{split}/{number}", rows=tuple(chorales.voiced(kept)), split=_SPLITS[split])


def _is_chord(value: Any) -> bool:
    """Say whether `value` is a list of whole numbers below 128; some files write them as floats, or rests as -1."""
    return isinstance(value, list) and all(
        p <= 127 if type(p) is int else type(p) is float and p.is_integer() and p <= 127 for p in value
    )
