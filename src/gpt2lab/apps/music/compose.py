"""New music from a model: from nothing, from a beginning, or around a melody. Always whole: no note hangs.

The model is run by the native engine (or torch) and held to the rules of grammar.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt2lab.apps.music import chorales, performance
from gpt2lab.apps.music.grammar import ChoraleRule, PerformanceRule, soprano_of
from gpt2lab.apps.music.notes import Note, Notes, cut, duration
from gpt2lab.apps.music.vocabulary import STEPS_PER_SECOND, VOICES, MusicVocabulary, vocabulary_of
from gpt2lab.engine.guided import guided_pieces
from gpt2lab.engine.jobs import Job, check_prompt
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.score import drained
from gpt2lab.errors import RequestError

if TYPE_CHECKING:
    from gpt2lab.lm.model import LanguageModel

EVENTS_PER_SECOND = 100
"""Tokens that a second of a performance may take before the piece is brought to an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to compose: `seconds` of music, a `primer`'s length included.

    `primer` is a beginning that is continued; `melody` is kept to the note and accompanied. Both together are allowed:
    the melody goes on over what is continued. With `may_end` the model may end a piece earlier; a piece that would take
    more than `most_tokens` new ones is brought to an end in time.
    """

    seconds: float = 30.0
    primer: Notes = ()
    melody: Notes = ()
    may_end: bool = False
    most_tokens: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise RequestError(f"seconds = {self.seconds} must be above 0 and at most 3600.")


@dataclass(frozen=True)
class Composition:
    """A piece of music: its tokens without the first and the end, its notes, and the log-probabilities of what is new.

    `primed` is the number of tokens that were given.
    """

    ids: list[int]
    notes: Notes
    primed: int
    logprobs: list[float]


def compose(
    lm: LanguageModel,
    wish: Wish,
    *,
    samples: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> list[Composition]:
    """Return `samples` pieces; `options` are those of `SamplingParams` (temperature, top_k, top_p …).

    The same model, wish, seed and options give the same pieces, whatever the batch size. Raises `RequestError` and
    `TokenizerError` for a model that is none of music.
    """
    return drained(composing(lm, wish, samples=samples, seed=seed, batch_size=batch_size, **options), progress)


def composing(
    lm: LanguageModel, wish: Wish, *, samples: int = 1, seed: int = 0, batch_size: int | None = None, **options: Any
) -> Generator[int, None, list[Composition]]:
    """Do the same a step at a time: yields the number of new tokens of each, for `Scheduler.run`."""
    music = vocabulary_of(lm.tokenizer)
    given = _beginning(wish, music)
    budget = _budget(wish, music, len(given))
    params = lm.defaults.replaced({**options, "seed": seed, "stop_ids": (music.end_id,), "max_new_tokens": budget})
    _refuse(params)
    params.check_ids(lm.config.vocab_size)
    prompt = check_prompt([music.end_id, *given], lm.config.vocab_size)
    rules = [_rule(wish, music, given, budget) for _ in range(samples)]
    jobs = [Job(prompt, params, sample) for sample in range(samples)]
    outputs = yield from guided_pieces(lm.backend, jobs, rules, batch_size=batch_size)
    made = []
    for output in outputs:
        ids = [*given, *output.ids]
        made.append(Composition(ids, notes_of(ids, music), len(given), output.logprobs))
    return made


def notes_of(ids: Sequence[int], music: MusicVocabulary) -> Notes:
    """Return the notes of a piece's tokens."""
    if music.is_grid:
        return chorales.notes_of(chorales.decode(ids, music))
    return performance.decode(ids, music).notes


def _refuse(params: SamplingParams) -> None:
    if params.num_beams > 1:
        raise RequestError("Music is sampled under rules, which beam search does not know; leave num_beams at 1.")


def _budget(wish: Wish, music: MusicVocabulary, given: int) -> int:
    """Return how many new tokens a piece may take: whole rows of a grid."""
    if music.is_grid:
        wanted = _rows(wish) * VOICES - given
        return max(0, wanted if wish.most_tokens is None else min(wanted, wish.most_tokens // VOICES * VOICES))
    wanted = int(_length(wish) * EVENTS_PER_SECOND) + 300 + 4 * len(wish.melody)
    return wanted if wish.most_tokens is None else min(wanted, wish.most_tokens)


def _length(wish: Wish) -> float:
    """Return the seconds of a piece: a melody is never cut."""
    return max(wish.seconds, duration(wish.melody))


def _rows(wish: Wish) -> int:
    if wish.melody:
        return len(chorales.melody_rows(wish.melody))
    return max(1, round(wish.seconds / chorales.SECONDS_PER_ROW))


def _beginning(wish: Wish, music: MusicVocabulary) -> list[int]:
    """Return the tokens of the primer, cut where the piece's time is over."""
    primer = cut(wish.primer, 0.0, wish.seconds)
    if music.is_grid:
        return chorales.encode(chorales.rows_of(primer)[: _rows(wish)], music)
    ids = performance.encode(primer, music)
    while ids and music.first_off <= ids[-1] < music.first_velocity:  # what sounds at the end may go on
        ids.pop()
    return ids


def _rule(wish: Wish, music: MusicVocabulary, given: Sequence[int], budget: int) -> ChoraleRule | PerformanceRule:
    rule: ChoraleRule | PerformanceRule
    if music.is_grid:
        fixed = soprano_of(chorales.melody_rows(wish.melody)) if wish.melody else ()
        rule = ChoraleRule(music, rows=_rows(wish), given=fixed, may_end=wish.may_end)
    else:
        steps = round(_length(wish) * STEPS_PER_SECOND)
        begun = int(performance.steps_of(list(given), music).sum()) / STEPS_PER_SECOND
        melody = tuple(note for note in wish.melody if note.start >= begun)
        rule = PerformanceRule(music, steps=steps, budget=budget, melody=melody, may_end=wish.may_end)
    rule.prime(given)
    return rule


_MELODY = re.compile(r"\[?\s*-?\d+(\s*,\s*-?\d+)*\s*\]?")


def melody_of(text: str, *, seconds: float = 0.25, velocity: int = 80) -> Notes:
    """Return the notes of pitches written as Magenta's primers are: "[60, -2, 62, -1]".

    Each number is an eighth note of `seconds`: a pitch is struck, -2 lets what sounds go on, -1 ends it. Raises
    `RequestError` for anything else.
    """
    if not _MELODY.fullmatch(text.strip()):
        raise RequestError(f"{text!r} is no list of pitches; write for example [60, -2, 62, -1, 64].")
    numbers = [int(n) for n in re.findall(r"-?\d+", text)]
    if wrong := [n for n in numbers if not -2 <= n <= 127]:
        raise RequestError(f"{wrong[0]} is no pitch: 0 to 127, -2 (goes on) or -1 (silence).")
    notes: list[Note] = []
    sounding: Note | None = None
    for place, number in enumerate([*numbers, -1]):
        if number != -2 and sounding is not None:
            notes.append(sounding._replace(end=place * seconds))
            sounding = None
        if number >= 0:
            sounding = Note(place * seconds, 0.0, number, velocity)
    return tuple(notes)
