"""Notes and events: round trips, the pedal, the vocabularies of the paper and of Magenta, variations of events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.apps.music import performance
from gpt2lab.apps.music.notes import Note, Pedal, cut, stretched, sustained, transposed
from gpt2lab.apps.music.vocabulary import VOCABULARIES, velocity_bin, vocabulary, vocabulary_of
from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import Vocabulary

PERFORMANCE, MAGENTA = VOCABULARIES["performance"], VOCABULARIES["magenta"]


def test_the_vocabularies_have_the_published_sizes_and_ids() -> None:
    assert PERFORMANCE.size - 1 == 388
    assert (MAGENTA.size, MAGENTA.after_events - MAGENTA.first_on) == (310, 308)
    assert PERFORMANCE.names[60] == "NOTE_ON_60"
    assert PERFORMANCE.names[128 + 60] == "NOTE_OFF_60"
    assert PERFORMANCE.names[256 + 99] == "TIME_SHIFT_100"
    assert PERFORMANCE.names[356] == "VELOCITY_1"
    # score2perf: 0 and 1 are reserved, then note-ons from A0
    assert MAGENTA.names[:3] == ("<pad>", "<EOS>", "NOTE_ON_21")
    assert MAGENTA.names[2 + 88] == "NOTE_OFF_21"
    assert MAGENTA.names[-1] == "VELOCITY_32"
    assert (PERFORMANCE.end_id, MAGENTA.end_id) == (388, 1)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_vocabulary_is_found_again_from_a_tokenizer(name: str) -> None:
    tokenizer = vocabulary(name).tokenizer()
    assert vocabulary_of(tokenizer) is VOCABULARIES[name]
    assert tokenizer.eos_id == VOCABULARIES[name].end_id
    names = VOCABULARIES[name].names
    assert tokenizer.encode(" ".join(names)) == list(range(len(names)))


def test_other_vocabularies_are_not_of_music() -> None:
    with pytest.raises(TokenizerError, match="This is no model of music"):
        vocabulary_of(Tokenizer(Vocabulary(kind="words", vocab={"a": 0})))
    with pytest.raises(TokenizerError, match="This is no model of music"):
        vocabulary_of(None)
    with pytest.raises(TokenizerError, match=r"Unknown vocabulary of music 'magentas'\. Did you mean 'magenta'"):
        vocabulary("magentas")


def test_events_of_a_chord_are_those_of_the_paper() -> None:
    notes = [Note(0.0, 1.5, 60, 80), Note(0.0, 1.5, 64, 80), Note(0.5, 1.5, 67, 80), Note(2.5, 3.0, 65, 100)]
    names = [PERFORMANCE.names[i] for i in performance.encode(notes, PERFORMANCE)]
    assert names == [
        "VELOCITY_20", "NOTE_ON_60", "NOTE_ON_64", "TIME_SHIFT_50", "NOTE_ON_67", "TIME_SHIFT_100", "NOTE_OFF_60",
        "NOTE_OFF_64", "NOTE_OFF_67", "TIME_SHIFT_100", "VELOCITY_25", "NOTE_ON_65", "TIME_SHIFT_50", "NOTE_OFF_65",
    ]  # fmt: skip


times = st.floats(0, 30, allow_nan=False)
notes_drawn = st.lists(
    st.tuples(times, st.floats(0.001, 5), st.integers(21, 108), st.integers(1, 127)).map(
        lambda t: Note(t[0], t[0] + t[1], t[2], t[3])
    ),
    max_size=60,
)


@given(notes_drawn, st.sampled_from(["performance", "magenta"]))
def test_what_is_encoded_is_heard_again(notes: list[Note], name: str) -> None:
    music = vocabulary(name)
    played = sustained(notes, [])
    decoded = performance.decode(performance.encode(played, music), music)
    assert (decoded.hanging, decoded.stray) == (0, 0)
    wanted = {}  # of notes of a pitch that begin in one step, one stays
    for note in played:
        wanted[round(note.start * 100), note.pitch] = note
    found = {(round(note.start * 100), note.pitch): note for note in decoded.notes}
    assert len(decoded.notes) == len(found)
    assert found.keys() == wanted.keys()
    for key, note in found.items():
        assert abs(note.start - wanted[key].start) <= 0.005 + 1e-9
    bins = {key: {velocity_bin(n.velocity) for n in played if (round(n.start * 100), n.pitch) == key} for key in found}
    assert all(velocity_bin(found[key].velocity) in bins[key] for key in found)


@given(notes_drawn)
def test_events_of_decoded_events_are_the_same_events(notes: list[Note]) -> None:
    ids = performance.encode(notes, PERFORMANCE)
    assert performance.encode(performance.decode(ids, PERFORMANCE).notes, PERFORMANCE) == ids


@given(st.lists(st.integers(0, 388), max_size=200))
def test_any_sequence_of_events_is_music(ids: list[int]) -> None:
    decoded = performance.decode(ids, PERFORMANCE)
    assert all(note.end > note.start for note in decoded.notes)
    again = performance.decode(performance.encode(decoded.notes, PERFORMANCE), PERFORMANCE)
    assert (again.hanging, again.stray) == (0, 0)


def test_a_pedal_holds_what_is_let_go_until_it_goes_up_or_the_pitch_is_struck_again() -> None:
    notes = [Note(0.0, 0.5, 60), Note(0.2, 0.6, 64), Note(1.0, 1.2, 60), Note(3.0, 3.5, 60), Note(0.1, 0.4, 67, 80, 1)]
    pedals = [Pedal(0.3, True), Pedal(0.4, True), Pedal(2.0, False), Pedal(3.2, True)]
    ends = {(n.start, n.pitch): n.end for n in sustained(notes, pedals, last=9.0)}
    assert ends == {(0.0, 60): 1.0, (0.2, 64): 2.0, (1.0, 60): 2.0, (3.0, 60): 9.0, (0.1, 67): 0.4}


def test_cutting_moving_and_stretching_notes() -> None:
    notes = (Note(0.0, 1.0, 60), Note(1.0, 3.0, 127), Note(5.0, 6.0, 62))
    assert cut(notes, 1.0, 2.0) == (Note(0.0, 1.0, 127),)
    assert transposed(notes, 1) == (Note(0.0, 1.0, 61), Note(5.0, 6.0, 63))
    assert stretched(notes[2:], 0.5) == (Note(2.5, 3.0, 62),)


@given(notes_drawn, st.integers(-3, 3))
def test_moving_events_is_moving_notes(notes: list[Note], semitones: int) -> None:
    ids = np.array(performance.encode(notes, PERFORMANCE), np.int64)
    moved = performance.transpose_ids(ids, semitones, PERFORMANCE)
    assert moved.tolist() == performance.encode(transposed(notes, semitones), PERFORMANCE)


def test_events_that_would_leave_the_vocabulary_stay() -> None:
    ids = np.array(performance.encode([Note(0, 1, 108)], MAGENTA), np.int64)
    assert performance.transpose_ids(ids, 1, MAGENTA) is ids


@given(notes_drawn)
def test_stretched_events_are_the_same_ones_later(notes: list[Note]) -> None:
    ids = np.array(performance.encode(notes, PERFORMANCE), np.int64)
    twice = performance.stretch_ids(ids, 2.0, PERFORMANCE)
    assert performance.steps_of(twice, PERFORMANCE).sum() == 2 * performance.steps_of(ids, PERFORMANCE).sum()
    events = [i for i in twice.tolist() if not 256 <= i < 356]
    assert events == [i for i in ids.tolist() if not 256 <= i < 356]
    assert performance.stretch_ids(ids, 1.0, PERFORMANCE) is ids
