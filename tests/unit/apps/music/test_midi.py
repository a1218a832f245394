"""MIDI files: what is written is read again, every piece of the data, and nothing that is damaged does harm."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mido", reason="MIDI files need mido")

import mido

from gpt2lab.apps.music import chorales, midi, performance
from gpt2lab.apps.music.notes import Note
from gpt2lab.apps.music.sources import read_pieces
from gpt2lab.apps.music.vocabulary import VOCABULARIES, velocity_bin
from gpt2lab.errors import DataError

PERFORMANCE = VOCABULARIES["performance"]
NOTES = (Note(0.0, 0.5, 60, 80, 0), Note(0.0, 1.0, 67, 3, 1), Note(0.5, 1.25, 60, 127, 0), Note(2.0, 2.001, 21, 1, 0))


def file_of(messages: list[mido.Message | mido.MetaMessage], *, kind: int = 0, division: int = 480) -> bytes:
    file = mido.MidiFile(type=kind, ticks_per_beat=division)
    file.tracks.append(mido.MidiTrack(messages))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def test_what_is_written_is_read_again() -> None:
    data = midi.write(NOTES, names=["left", "right"])
    assert midi.read(data).notes == NOTES
    assert data == midi.write(reversed(NOTES), names=["left", "right"])
    assert midi.read(midi.write([])).notes == ()


def test_tempo_running_status_and_notes_without_end() -> None:
    data = file_of([
        mido.MetaMessage("set_tempo", tempo=1_000_000),
        mido.Message("note_on", note=60, velocity=64, time=480),
        mido.MetaMessage("set_tempo", tempo=500_000),
        mido.Message("note_on", note=60, velocity=0, time=480),
        mido.Message("note_on", note=62, velocity=64),
        mido.Message("note_on", note=62, velocity=65, time=480),
        mido.Message("note_on", note=70, velocity=65, channel=9),
        mido.Message("note_off", note=1, time=480),
    ])  # fmt: skip
    assert midi.read(data).notes == (Note(1.0, 1.5, 60, 64), Note(1.5, 2.0, 62, 64), Note(2.0, 2.5, 62, 65))
    assert midi.read(data, seconds_per_beat=1.0).notes[0] == Note(1.0, 2.0, 60, 64)


def test_the_pedal_holds_notes() -> None:
    data = file_of([
        mido.Message("control_change", control=64, value=127),
        mido.Message("note_on", note=60, velocity=64),
        mido.Message("note_off", note=60, time=480),
        mido.Message("control_change", control=64, value=63, time=480),
    ])  # fmt: skip
    read = midi.read(data)
    assert read.notes == (Note(0.0, 1.0, 60, 64),)
    assert [(p.time, p.down) for p in read.pedals] == [(0.0, True), (1.0, False)]


def test_ticks_of_frames() -> None:
    data = bytearray(
        file_of([mido.Message("note_on", note=60, velocity=64), mido.Message("note_off", note=60, time=40)])
    )
    data[12:14] = bytes([256 - 25, 40])  # 25 frames a second, 40 ticks a frame
    assert midi.read(bytes(data)).notes == (Note(0.0, 0.04, 60, 64),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged or no MIDI file: it is cut short"),
        (b"RIFF" + bytes(40), "is damaged or no MIDI file: MThd not found"),
        (b"\xff" * 5000, "is no MIDI file: it holds thousands of bytes"),
        (file_of([mido.Message("note_on", note=60, time=2**28 - 1)], division=1), "is longer than 24 hours"),
        (file_of([mido.Message("note_on", note=60)])[:-3], "is damaged or no MIDI file"),
    ],
    ids=["empty", "another file", "noise", "centuries", "cut"],
)
def test_what_cannot_be_read_is_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        midi.read(data, "song.mid")
    assert str(caught.value).startswith("song.mid ")
    assert "\n" not in str(caught.value)


def test_a_division_of_zero() -> None:
    data = bytearray(file_of([mido.Message("note_on", note=60)]))
    data[12:14] = b"\0\0"
    with pytest.raises(DataError, match="0 ticks in a quarter note"):
        midi.read(bytes(data), "song.mid")


def damaged(seed: int) -> Iterator[bytes]:
    """Cut, change, repeat and mix the bytes of a file."""
    r = random.Random(seed)
    whole = midi.write(
        [Note(i / 7, i / 7 + r.random(), r.randint(0, 127), r.randint(1, 127), i % 3) for i in range(40)]
    )
    while True:
        data = bytearray(whole[: r.randint(0, len(whole))] if r.random() < 0.5 else whole)
        for _ in range(r.randint(0, 8)):
            if data:
                data[r.randrange(len(data))] = r.randrange(256)
        if r.random() < 0.2:
            place = r.randint(0, len(data))
            data[place:place] = bytes(r.choices(range(256), k=r.randint(1, 50)))
        yield bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_music_or_one_sentence(seed: int) -> None:
    outcomes = set()
    for data, _ in zip(damaged(seed), range(100), strict=False):
        try:
            notes = midi.read(data, "song.mid").notes
        except DataError as error:
            assert str(error).startswith("song.mid ")
            assert "\n" not in str(error)
            outcomes.add("refused")
        else:
            decoded = performance.decode(performance.encode(notes, PERFORMANCE), PERFORMANCE)
            assert decoded.hanging == 0
            outcomes.add("read")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("archive", ["nottingham_midi.tar.xz", "piano_performances.tar.xz"])
def test_pieces_of_the_data_survive_events_and_files(shared_data: Path, archive: str) -> None:
    step = 90 if "nottingham" in archive else 167
    pieces = list(read_pieces([shared_data / "music" / archive], PERFORMANCE, every=step))
    assert len(pieces) >= 3
    for piece in pieces:
        check_round_trip(piece.notes)


def check_round_trip(notes: tuple[Note, ...]) -> None:
    """Events and files keep every onset to 5 ms and every bin of velocity; a pedal's notes end where it says."""
    decoded = performance.decode(performance.encode(notes, PERFORMANCE), PERFORMANCE)
    first = {(round(n.start * 100), n.pitch): n for n in reversed(notes)}
    assert len(decoded.notes) == len(first)
    for note in decoded.notes:
        near = [n for n in notes if n.pitch == note.pitch and abs(n.start - note.start) <= 0.005 + 1e-9]
        assert any(velocity_bin(n.velocity) == velocity_bin(note.velocity) for n in near)
        assert any(abs(n.end - note.end) <= 0.0151 for n in near)
    written = midi.read(midi.write(decoded.notes)).notes
    assert [(n.pitch, n.velocity) for n in written] == [(n.pitch, n.velocity) for n in decoded.notes]
    assert all(
        abs(a.start - b.start) < 1e-6 and abs(a.end - b.end) < 1e-6 for a, b in zip(written, decoded.notes, strict=True)
    )


def test_every_chorale_survives(shared_data: Path) -> None:
    music, count = VOCABULARIES["chorales"], 0
    for piece in read_pieces([shared_data / "music" / "jsb_chorales" / "jsb-chorales-16th.json"], music):
        assert piece.rows is not None
        ids = chorales.encode(piece.rows, music)
        assert chorales.decode(ids, music) == list(piece.rows)
        count += 1
        if count % 40 == 0:
            file = midi.write(chorales.notes_of(piece.rows), seconds_per_beat=chorales.beat_of(music))
            rows = chorales.rows_of(midi.read(file).notes)
            assert rows == list(piece.rows)[: len(rows)]
            assert midi.read(file, seconds_per_beat=chorales.beat_of(music)).notes == midi.read(file).notes
            assert all(cell is None for row in piece.rows[len(rows) :] for cell in row)
    assert count == 229 + 76 + 77
