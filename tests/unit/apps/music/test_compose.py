"""Whatever a model wants to write, what comes out is whole: ends, voices, melodies and beginnings are kept."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.apps.music import chorales, performance
from gpt2lab.apps.music.compose import Composition, Wish, compose, melody_of
from gpt2lab.apps.music.grammar import PerformanceRule
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.apps.music.vocabulary import VOCABULARIES
from gpt2lab.errors import RequestError, TokenizerError
from gpt2lab.lm.model import LanguageModel

PERFORMANCE, GRID = VOCABULARIES["performance"], VOCABULARIES["chorales"]
MELODY = (Note(0.0, 0.5, 60, 81), Note(0.5, 1.0, 64, 81), Note(1.25, 2.0, 62, 101))


def check_whole(made: Composition, seconds: float) -> None:
    """No note hangs, none is let go that does not sound, time only grows and is not longer than wanted."""
    decoded = performance.decode(made.ids, PERFORMANCE)
    assert (decoded.hanging, decoded.stray) == (0, 0)
    assert decoded.notes == made.notes
    assert duration(made.notes) <= seconds + 1e-9
    struck: set[int] = set()
    for token in made.ids:
        if PERFORMANCE.first_on <= token < PERFORMANCE.first_off:
            assert token not in struck
            struck.add(token)
        elif token < PERFORMANCE.first_shift:
            struck.remove(token - 128)


def test_pieces_from_nothing_are_whole(performer: LanguageModel) -> None:
    made = compose(performer, Wish(seconds=2.0), samples=40, seed=3, batch_size=16)
    for piece in made:
        check_whole(piece, 2.0)
        assert len(piece.logprobs) == len(piece.ids)
    assert len({tuple(piece.ids) for piece in made}) == 40


def test_a_thousand_pieces_are_whole(performer: LanguageModel) -> None:
    made = compose(performer, Wish(seconds=0.3, most_tokens=24), samples=1000, seed=5, batch_size=250, top_p=0.98)
    for piece in made:
        check_whole(piece, 0.3)
        assert len(piece.ids) <= 24
    assert len({tuple(piece.ids) for piece in made}) > 990


def test_a_grid_of_few_tokens_has_whole_rows(chorister: LanguageModel) -> None:
    (piece,) = compose(chorister, Wish(seconds=30.0, most_tokens=11), seed=1)
    assert len(piece.ids) == 8


def test_batches_change_nothing(performer: LanguageModel) -> None:
    alone = compose(performer, Wish(seconds=1.0), samples=3, seed=1, batch_size=1)
    together = compose(performer, Wish(seconds=1.0), samples=3, seed=1, batch_size=3)
    assert alone == together


@pytest.mark.parametrize("options", [{"temperature": 0.7, "top_k": 5}, {"top_p": 0.8}, {"temperature": 0.0}])
def test_sampling_options_keep_it_whole(performer: LanguageModel, options: dict[str, float]) -> None:
    (made,) = compose(performer, Wish(seconds=1.5), seed=2, **options)
    check_whole(made, 1.5)


def test_a_melody_is_kept_to_the_note(performer: LanguageModel) -> None:
    for piece in compose(performer, Wish(seconds=3.0, melody=MELODY), samples=5, seed=4):
        check_whole(piece, 3.0)
        assert set(MELODY) <= set(piece.notes)
        assert len(piece.notes) > len(MELODY)


def test_a_beginning_is_continued(performer: LanguageModel) -> None:
    (piece,) = compose(performer, Wish(seconds=3.0, primer=MELODY[:2]), seed=4)
    check_whole(piece, 3.0)
    assert piece.notes[0] == MELODY[0]
    assert (0.5, 64) in {(note.start, note.pitch) for note in piece.notes}
    assert 0 < piece.primed < len(piece.ids)
    assert len(piece.logprobs) == len(piece.ids) - piece.primed


def test_too_few_tokens_end_in_time() -> None:
    rule = PerformanceRule(PERFORMANCE, steps=1000, budget=12)
    ids: list[int] = []
    while not rule.complete:
        allowed = np.flatnonzero(rule.allowed())
        ids.append(int(allowed[len(ids) % 7 if len(allowed) > 7 else 0]))
        rule.accept(ids[-1])
    assert len(ids) <= 12
    assert performance.decode(ids, PERFORMANCE).hanging == 0


def test_a_note_is_let_go_before_it_is_forgotten() -> None:
    """Whoever never lets go and takes the longest pause has every note for five seconds; a melody's may be longer."""
    music, long = PERFORMANCE, Note(0.0, 20.0, 60, 80)
    rule = PerformanceRule(music, steps=6000, budget=800, melody=[long])
    ids: list[int] = []
    while not rule.complete:
        allowed = set(np.flatnonzero(rule.allowed()).tolist())
        shifts = [token for token in allowed if music.first_shift <= token < music.first_velocity]
        struck = [token for token in allowed if music.first_on <= token < music.first_off and len(ids) % 4 == 0]
        ids.append(min(struck) if struck else max(shifts, default=min(allowed)))
        rule.accept(ids[-1])
    notes = performance.decode(ids, music).notes
    lengths = [note.end - note.start for note in notes if note.pitch != long.pitch]
    assert len(lengths) > 10
    assert max(lengths) == pytest.approx(5.0)
    assert any(note.pitch == long.pitch and note.end - note.start == pytest.approx(20.0) for note in notes)


def test_random_walks_through_the_rule_are_whole() -> None:
    for seed in range(200):
        chance = np.random.default_rng(seed)
        melody = MELODY[: seed % 4]
        rule = PerformanceRule(PERFORMANCE, steps=200, budget=int(chance.integers(40, 250)), melody=melody)
        ids: list[int] = []
        while not rule.complete:
            ids.append(int(chance.choice(np.flatnonzero(rule.allowed()))))
            rule.accept(ids[-1])
        decoded = performance.decode(ids, PERFORMANCE)
        assert (decoded.hanging, decoded.stray) == (0, 0)
        assert set(melody) <= set(decoded.notes)


def test_chorales_have_whole_rows_and_the_soprano_that_was_given(chorister: LanguageModel) -> None:
    melody = tuple(
        n._replace(channel=0) for n in melody_of("[72, -2, 71, -1, 69, -2]", seconds=chorales.SECONDS_PER_ROW)
    )
    (piece,) = compose(chorister, Wish(melody=melody), seed=1)
    rows = chorales.decode(piece.ids, GRID)
    assert [row[0] for row in rows] == [72, 72, 71, None, 69, 69]
    assert len(piece.ids) == 24
    (free,) = compose(chorister, Wish(seconds=3.0), seed=1)
    assert len(free.ids) == 80


def test_a_chorale_is_continued(chorister: LanguageModel) -> None:
    rows: list[chorales.Row] = [(72, 67, 60, 48), (72, 67, 60, 48)]
    (piece,) = compose(chorister, Wish(seconds=1.5, primer=chorales.notes_of(rows)), seed=1)
    assert chorales.decode(piece.ids, GRID)[:2] == rows
    assert len(piece.ids) == 40


def test_pitches_are_read_as_magenta_writes_them() -> None:
    assert melody_of("[60, -2, 62, -1, 64]", seconds=0.5, velocity=70) == (
        Note(0.0, 1.0, 60, 70), Note(1.0, 1.5, 62, 70), Note(2.0, 2.5, 64, 70),
    )  # fmt: skip
    assert melody_of("60") == (Note(0.0, 0.25, 60, 80),)


@pytest.mark.parametrize("text", ["", "do re mi", "[60, ]", "60 62", "[200]", "[-3]"])
def test_what_are_no_pitches(text: str) -> None:
    with pytest.raises(RequestError, match=r"is no list of pitches|is no pitch"):
        melody_of(text)


def test_impossible_wishes(performer: LanguageModel, random_model: object) -> None:
    with pytest.raises(RequestError, match=r"seconds = 0\.0 must be above 0"):
        Wish(seconds=0.0)
    with pytest.raises(RequestError, match="num_beams"):
        compose(performer, Wish(), num_beams=2)
    with pytest.raises(TokenizerError, match="no model of music"):
        compose(LanguageModel.load(random_model), Wish())
    with pytest.raises(RequestError, match="The melody's pitch 20 is none of the model's"):
        PerformanceRule(VOCABULARIES["magenta"], steps=9, budget=9, melody=[Note(0, 1, 20)])
