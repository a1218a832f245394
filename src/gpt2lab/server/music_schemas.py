"""What the music page asks for and what it is told. See schemas.py for the manner."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from gpt2lab.apps.music.vocabulary import VocabularyName
from gpt2lab.server.schemas import MODEL, Body

MOST_NOTES = 10_000
MOST_SECONDS = 600
"""Of a piece, its beginning included."""

_DAY = 86_400


class GivenNote(Body):
    """A note: when it begins and ends, in seconds, which key (60 is middle C) and how hard it is struck."""

    start: float = Field(ge=0, le=_DAY)
    end: float = Field(ge=0, le=_DAY)
    pitch: int = Field(ge=0, le=127)
    velocity: int = Field(80, ge=1, le=127)
    channel: int = Field(0, ge=0, le=15, description="The voice, where that matters.")


Notes = Annotated[list[GivenNote], Field(max_length=MOST_NOTES)]


class ComposeRequest(Body):
    """A piece to be composed; with a primer, from there on. What sounds at the primer's end may sound on."""

    model: str | None = MODEL
    seconds: float = Field(30, gt=0, le=MOST_SECONDS, description="Length of the piece, the primer included.")
    primer: Notes = Field([], description="How it begins.")
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, lt=2**31)
    seed: int | None = Field(None, ge=0, lt=2**63, description="Decides every random choice; a random one if absent.")


class ReadMidiRequest(Body):
    """A MIDI file whose notes are wanted as `model` would hear them: a model of a grid hears beats, not seconds."""

    model: str | None = MODEL
    midi: str = Field(min_length=1, description="The file's bytes in base64.")


class WriteMidiRequest(Body):
    """Notes that are to become a MIDI file."""

    model: str | None = Field(None, description="The model that wrote them; the beat of its grid is the file's.")
    notes: Notes


# ---- answers -------------------------------------------------------------------------------------------------


class MusicModel(BaseModel):
    """A model of music and what its tokens are."""

    model: str
    vocabulary: VocabularyName


class MusicModels(BaseModel):
    """Those of the served models that are models of music; none are loaded to find out."""

    models: list[MusicModel]


class MusicNote(BaseModel):
    """A note; `given` where the primer had it."""

    start: float
    end: float
    pitch: int
    velocity: int
    channel: int
    given: bool


class Composed(BaseModel):
    """A piece; `seed` makes it again. `tokens` are those that the model wrote."""

    model: str
    seed: int
    seconds: float
    tokens: int
    notes: list[MusicNote]


class NotesOfMidi(BaseModel):
    """The notes of a MIDI file in order of start, as long as they sound."""

    model: str
    seconds: float
    notes: list[MusicNote]
