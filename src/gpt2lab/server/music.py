"""What the music page asks for: which models compose, a piece, the notes of a MIDI file, a MIDI file of notes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from gpt2lab.apps.music import midi
from gpt2lab.apps.music.chorales import beat_of
from gpt2lab.apps.music.compose import Composition, Wish, composing, notes_of
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.apps.music.vocabulary import vocabulary_of
from gpt2lab.errors import DataError, TokenizerError
from gpt2lab.server import music_schemas as schemas
from gpt2lab.server.failures import ApiError
from gpt2lab.server.models import LoadedModel, ModelPool
from gpt2lab.server.settings import ServerSettings

_SEEDS = 2**31


async def music_models(pool: ModelPool) -> list[dict[str, str]]:
    """Return the models of music among those that are served, in their order. No weights are loaded."""
    found = []
    for name in pool.names:
        try:
            music = vocabulary_of(await pool.tokenizer(name))
        except TokenizerError:
            continue
        found.append({"model": name, "vocabulary": music.name})
    return found


async def compose(request: schemas.ComposeRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/music/compose; raises `RequestError`, `TokenizerError` and `TimeoutError`."""
    music = vocabulary_of(model.tokenizer)
    seed = secrets.randbelow(_SEEDS) if request.seed is None else request.seed
    wish = Wish(seconds=request.seconds, primer=_notes(request.primer), most_tokens=settings.max_output_tokens)
    options = {name: getattr(request, name) for name in ("temperature", "top_p", "top_k")}
    work = composing(model.lm, wish, seed=seed, **options)
    with anyio.fail_after(settings.request_seconds):
        made: list[Composition] = await asyncio.wrap_future(model.scheduler.run(work))
    (piece,) = made
    given = {(note.start, note.pitch, note.channel) for note in notes_of(piece.ids[: piece.primed], music)}
    return {
        "model": model.name,
        "seed": seed,
        "seconds": duration(piece.notes),
        "tokens": len(piece.ids) - piece.primed,
        "notes": [_told(note, given=(note.start, note.pitch, note.channel) in given) for note in piece.notes],
    }


async def read_midi(request: schemas.ReadMidiRequest, model: LoadedModel) -> dict[str, Any]:
    """Return the answer of /api/music/read; raises `ApiError` for what is no MIDI file."""
    try:
        data = base64.b64decode(request.midi, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "midi is not base64.", param="midi", code="invalid_value") from None
    beat = beat_of(vocabulary_of(model.tokenizer))
    try:
        heard = await asyncio.to_thread(midi.read, data, seconds_per_beat=beat)
    except DataError as error:
        raise ApiError(400, str(error), param="midi", code="invalid_midi") from None
    if len(heard.notes) > schemas.MOST_NOTES:
        raise ApiError(
            400, f"The MIDI file has {len(heard.notes)} notes; at most {schemas.MOST_NOTES} are taken.", param="midi",
            code="invalid_midi",
        )  # fmt: skip
    return {
        "model": model.name,
        "seconds": duration(heard.notes),
        "notes": [_told(note, given=True) for note in heard.notes],
    }


def _notes(given: Sequence[schemas.GivenNote]) -> tuple[Note, ...]:
    notes = (Note(n.start, max(n.start, n.end), n.pitch, n.velocity, n.channel) for n in given)
    return tuple(sorted(notes, key=lambda note: (note.start, note.pitch)))


def _told(note: Note, *, given: bool) -> dict[str, Any]:
    return {**note._asdict(), "start": round(note.start, 6), "end": round(note.end, 6), "given": given}


def add_music(
    app: FastAPI,
    pool: ModelPool,
    settings: ServerSettings,
    named: Callable[[str | None], str],
    failures: dict[int | str, dict[str, Any]],
    failures_of_text: dict[int | str, dict[str, Any]],
) -> None:
    """Add what the music page asks for to `app`; see `gpt2lab.server.pages.add_pages`."""

    @app.get("/api/music/models", response_model=schemas.MusicModels, responses=failures)
    async def models_of_music() -> Any:
        """List the models that write music."""
        return {"models": await music_models(pool)}

    @app.post("/api/music/compose", response_model=schemas.Composed, responses=failures)
    async def compose_music(request: schemas.ComposeRequest) -> Any:
        """Compose a piece, from nothing or from a beginning. No note hangs, whatever the model says."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await compose(request, model, settings))

    @app.post("/api/music/read", response_model=schemas.NotesOfMidi, responses=failures)
    async def notes_of_midi(request: schemas.ReadMidiRequest) -> Any:
        """Say which notes a MIDI file holds."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await read_midi(request, model))

    @app.post(
        "/api/music/midi",
        response_class=Response,
        responses={200: {"description": "A MIDI file.", "content": {"audio/midi": {}}}, **failures_of_text},
    )
    async def midi_of_notes(request: schemas.WriteMidiRequest) -> Any:
        """Return notes as a MIDI file."""
        beat = None
        if request.model is not None:
            beat = beat_of(vocabulary_of(await pool.tokenizer(named(request.model))))
        data = await asyncio.to_thread(midi.write, _notes(request.notes), seconds_per_beat=beat)
        return Response(data, media_type="audio/midi")
