"""The vocabularies of music: which events and chords there are, their names and their ids.

"performance" is the paper's (Oore et al. 2018, "This time with feeling", section 3; Huang et al. 2018, section 3.1):
128 note-ons, 128 note-offs, 100 shifts of 10 ms to 1 s, 32 velocities, 388 events, and the end of a piece. "magenta" is
that of Magenta's score2perf with its ids: two reserved ones, then 308 events of the piano's 88 keys. "chorales" is a
grid: of each sixteenth the pitch that sounds in each of four voices, soprano first, or a rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

from gpt2lab.errors import TokenizerError, nearest
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, AddedToken, Vocabulary

VocabularyName = Literal["performance", "magenta", "chorales"]

STEPS_PER_SECOND = 100
MOST_STEPS = 100
"""Steps in the longest time shift."""
VELOCITY_BINS = 32
_BIN_WIDTH = 4  # velocities in a bin: 127 / 32, rounded up

VOICES = 4
"""Voices of a chorale."""


@dataclass(frozen=True)
class MusicVocabulary:
    """Names and ids of the tokens of one kind of music. `pitches` are those that have tokens."""

    name: VocabularyName
    pitches: range
    leading: tuple[str, ...] = ()
    trailing: tuple[str, ...] = (END_OF_TEXT,)
    end: str = END_OF_TEXT

    @property
    def is_grid(self) -> bool:
        """Whether tokens are the cells of a grid, not events in time."""
        return self.name == "chorales"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The token of every id."""
        if self.is_grid:
            inner = [*(f"PITCH_{p}" for p in self.pitches), "REST"]
        else:
            inner = [
                *(f"NOTE_ON_{p}" for p in self.pitches),
                *(f"NOTE_OFF_{p}" for p in self.pitches),
                *(f"TIME_SHIFT_{n}" for n in range(1, MOST_STEPS + 1)),
                *(f"VELOCITY_{n}" for n in range(1, VELOCITY_BINS + 1)),
            ]
        return (*self.leading, *inner, *self.trailing)

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.names)

    @property
    def end_id(self) -> int:
        """The id of the end of a piece, which also stands before its beginning."""
        return self.names.index(self.end)

    @property
    def first_on(self) -> int:
        """The id of the first note-on, or of the lowest pitch of a grid."""
        return len(self.leading)

    @property
    def first_off(self) -> int:
        """The id of the first note-off, or of the rest in a grid."""
        return self.first_on + len(self.pitches)

    @property
    def first_shift(self) -> int:
        """The id of the shortest time shift."""
        return self.first_off + len(self.pitches)

    @property
    def first_velocity(self) -> int:
        """The id of the softest velocity."""
        return self.first_shift + MOST_STEPS

    @property
    def after_events(self) -> int:
        """The id behind the last velocity."""
        return self.first_velocity + VELOCITY_BINS

    def tokenizer(self) -> Tokenizer:
        """Return this vocabulary as a tokenizer, which knows a piece as the names of its tokens."""
        special = [*self.leading, *self.trailing]
        ids = {name: i for i, name in enumerate(self.names)}
        roles = {"bos": self.end, "eos": self.end}
        if "<pad>" in special:
            roles["pad"] = "<pad>"
        added = [AddedToken(name, ids[name]) for name in special]
        return Tokenizer(Vocabulary(kind="words", vocab=ids, added=added, roles=roles))


VOCABULARIES: dict[str, MusicVocabulary] = {
    "performance": MusicVocabulary("performance", range(128)),
    "magenta": MusicVocabulary("magenta", range(21, 109), leading=("<pad>", "<EOS>"), trailing=(), end="<EOS>"),
    "chorales": MusicVocabulary("chorales", range(128)),
}


def vocabulary(name: str) -> MusicVocabulary:
    """Return a vocabulary by name; an unknown one is a `TokenizerError`."""
    if name not in VOCABULARIES:
        raise TokenizerError(
            f"Unknown vocabulary of music {name!r}.{nearest(name, VOCABULARIES)} Known: {', '.join(VOCABULARIES)}."
        )
    return VOCABULARIES[name]


def vocabulary_of(tokenizer: Tokenizer | None) -> MusicVocabulary:
    """Return the vocabulary of music that a model's tokenizer has. Raises `TokenizerError` when it has none."""
    if tokenizer is not None:
        ids = tokenizer.vocab
        for known in VOCABULARIES.values():
            if len(ids) == known.size and _ids(known.name) == dict(ids):
                return known
    raise TokenizerError(
        f"This is no model of music: its vocabulary is not one of {', '.join(VOCABULARIES)}. Give one that "
        "gpt2lab music train has made."
    )


@cache
def _ids(name: str) -> dict[str, int]:
    return {token: i for i, token in enumerate(VOCABULARIES[name].names)}


def velocity_bin(velocity: int) -> int:
    """Return the bin, 1 … 32, of a velocity 1 … 127, as Magenta's performance_lib has it."""
    return (velocity - 1) // _BIN_WIDTH + 1


def bin_velocity(number: int) -> int:
    """Return the velocity that a bin is played with: the softest in it, as Magenta's performance_lib has it."""
    return 1 + (number - 1) * _BIN_WIDTH


def shown(ids: Sequence[int], music: MusicVocabulary) -> str:
    """Return tokens as their names with blanks between."""
    return " ".join(music.names[i] for i in ids)
