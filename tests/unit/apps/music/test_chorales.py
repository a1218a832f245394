"""The grid of chorales: tokens and notes and back, rests in the right voice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.apps.music import chorales
from gpt2lab.apps.music.notes import Note
from gpt2lab.apps.music.vocabulary import VOCABULARIES

GRID = VOCABULARIES["chorales"]
cells = st.one_of(st.none(), st.integers(0, 127))
grids = st.lists(st.tuples(cells, cells, cells, cells), max_size=20)


@given(grids)
def test_tokens_are_the_grid_again(rows: list[chorales.Row]) -> None:
    ids = chorales.encode(rows, GRID)
    assert len(ids) == 4 * len(rows)
    assert chorales.decode([*ids, GRID.end_id, 60], GRID) == rows


def test_the_names_of_a_row() -> None:
    assert [GRID.names[i] for i in chorales.encode([(72, None, 60, 48)], GRID)] == [
        "PITCH_72", "REST", "PITCH_60", "PITCH_48",
    ]  # fmt: skip


def test_equal_pitches_in_a_row_are_one_note() -> None:
    rows = [(72, None, 60, 48), (72, 67, 60, 50), (None, 67, 60, 50)]
    notes = chorales.notes_of(rows, seconds=1.0)
    assert notes == (
        Note(0, 2, 72, 80, 0), Note(0, 3, 60, 80, 2), Note(0, 1, 48, 80, 3), Note(1, 3, 67, 80, 1),
        Note(1, 3, 50, 80, 3),
    )  # fmt: skip
    assert chorales.rows_of(notes, seconds=1.0) == rows


@given(grids)
def test_notes_are_the_grid_again(rows: list[chorales.Row]) -> None:
    again = chorales.rows_of(chorales.notes_of(rows))
    used = {voice for row in rows for voice, pitch in enumerate(row) if pitch is not None}
    if len(used) > 1:  # one voice alone is dealt out as a melody
        assert again == rows[: len(again)]
        assert all(pitch is None for row in rows[len(again) :] for pitch in row)


def test_a_missing_voice_rests_where_the_others_move_least() -> None:
    assert chorales.voiced([[72, 67, 60, 48], [72, 60, 48], [71, 66], []]) == [
        (72, 67, 60, 48), (72, None, 60, 48), (71, 66, None, None), (None, None, None, None),
    ]  # fmt: skip
    assert chorales.voiced([[80, 75, 70, 65, 60]]) == [(80, 75, 70, 60)]


def test_a_melody_is_what_is_highest() -> None:
    notes = [Note(0.0, 0.3, 60), Note(0.15, 0.3, 48), Note(0.45, 0.6, 50), Note(0.45, 0.6, 55)]
    assert chorales.melody_rows(notes) == [60, 60, None, 55]
    assert chorales.melody_rows([]) == []
