"""Music over HTTP: pieces equal the library's, beginnings are kept, files come and go, mistakes are told in words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from gpt2lab.apps.music import midi
from gpt2lab.apps.music.compose import Wish, compose
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.settings import ServerSettings
from live_server import Live, live_server

SCALE = tuple(Note(i * 0.5, i * 0.5 + 0.5, 60 + pitch, 81) for i, pitch in enumerate((0, 2, 4, 5)))
FIELDS = ("start", "end", "pitch", "velocity", "channel")


@pytest.fixture(scope="module")
def band(random_model: Path, performer_folder: Path, chorister_folder: Path) -> Iterator[Live]:
    with server_of(random_model, performer_folder, chorister_folder) as server:
        yield server


def server_of(random_model: Path, performer_folder: Path, chorister_folder: Path) -> AbstractContextManager[Live]:
    sources = {"text": random_model, "performer": performer_folder, "choir": chorister_folder, "gone": "/nowhere"}
    settings = ServerSettings(port=0, max_output_tokens=400)
    return live_server({name: str(folder) for name, folder in sources.items()}, settings=settings)


def post(live: Live, path: str, status: int = 200, **body) -> dict:
    answer = httpx2.post(f"{live.url}/api/music/{path}", json=body, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(live: Live, path: str, **body) -> str:
    return str(post(live, path, 400, **body)["error"]["message"])


def notes_in(answer: dict) -> tuple[Note, ...]:
    return tuple(Note(*(note[name] for name in FIELDS)) for note in answer["notes"])


def as_json(notes: tuple[Note, ...]) -> list[dict]:
    return [note._asdict() for note in notes]


def test_models_of_music_are_told_from_others_without_loading_them(
    random_model: Path, performer_folder: Path, chorister_folder: Path
) -> None:
    with server_of(random_model, performer_folder, chorister_folder) as fresh:
        answer = httpx2.get(f"{fresh.url}/api/music/models")
        assert answer.json()["models"] == [
            {"model": "performer", "vocabulary": "performance"}, {"model": "choir", "vocabulary": "chorales"},
        ]  # fmt: skip
        for name in ("text", "performer", "choir"):
            with pytest.raises(AssertionError):
                fresh.model(name)


@pytest.mark.parametrize("name", ["performer", "choir"])
def test_a_piece_is_the_librarys(band: Live, name: str, performer_folder: Path, chorister_folder: Path) -> None:
    lm = LanguageModel.load({"performer": performer_folder, "choir": chorister_folder}[name], threads=1)
    options = {"temperature": 0.9, "top_p": 0.95, "top_k": 20}
    (piece,) = compose(lm, Wish(seconds=1.5), seed=4, **options)
    made = post(band, "compose", model=name, seconds=1.5, seed=4, **options)
    assert [n[2:] for n in notes_in(made)] == [n[2:] for n in piece.notes]
    assert [n.start for n in notes_in(made)] == pytest.approx([n.start for n in piece.notes])
    assert (made["seed"], made["tokens"]) == (4, len(piece.ids))
    assert not any(note["given"] for note in made["notes"])


def test_a_beginning_is_kept_and_marked(band: Live) -> None:
    made = post(band, "compose", model="performer", seconds=4, seed=1, primer=as_json(SCALE))
    assert [(n["start"], n["pitch"]) for n in made["notes"] if n["given"]] == [(n.start, n.pitch) for n in SCALE]
    assert len(made["notes"]) > len(SCALE)
    assert made["seconds"] <= 4


def test_a_piece_of_too_many_tokens_ends_whole(band: Live) -> None:
    made = post(band, "compose", model="performer", seconds=300, seed=1)
    assert made["tokens"] <= 400
    assert all(note["end"] > note["start"] for note in made["notes"])
    rows = post(band, "compose", model="choir", seconds=300, seed=1)
    assert rows["tokens"] == 400


def test_without_a_seed_every_piece_is_another(band: Live) -> None:
    first, second = (post(band, "compose", model="choir", seconds=2) for _ in range(2))
    assert first["seed"] != second["seed"]
    assert first["notes"] != second["notes"]
    assert post(band, "compose", model="choir", seconds=2, seed=first["seed"]) == first


def test_files_come_and_go(band: Live) -> None:
    answer = httpx2.post(f"{band.url}/api/music/midi", json={"notes": as_json(SCALE)})
    assert answer.headers["content-type"] == "audio/midi"
    assert midi.read(answer.content).notes == SCALE
    text = base64.b64encode(answer.content).decode()
    heard = post(band, "read", model="performer", midi=text)
    assert notes_in(heard) == SCALE
    assert heard["seconds"] == duration(SCALE)
    on_grid = post(band, "read", model="choir", midi=text)  # a quarter of the file, half a second, is four rows
    assert on_grid["seconds"] == pytest.approx(4 * 4 * 0.15)


def test_what_a_model_of_a_grid_wrote_lies_on_its_beat(band: Live) -> None:
    piece = post(band, "compose", model="choir", seconds=3, seed=1)
    file = httpx2.post(f"{band.url}/api/music/midi", json={"notes": as_json(notes_in(piece)), "model": "choir"}).content
    heard = post(band, "read", model="choir", midi=base64.b64encode(file).decode())
    assert sorted(notes_in(heard)) == sorted(notes_in(piece))


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("compose", {"model": "text"}, "This is no model of music: its vocabulary is not one of performance"),
        ("compose", {"model": "performer", "seconds": 0}, "seconds = 0 is not possible: input should be greater than"),
        ("compose", {"model": "performer", "primer": [{"start": 0, "end": 1}]}, "primer is missing."),
        ("read", {"model": "performer", "midi": "!!"}, "midi is not base64."),
        ("read", {"model": "performer", "midi": "aGFsbG8="}, "The MIDI file is damaged or no MIDI file: it is cut"),
        ("read", {"model": "text", "midi": "aGFsbG8="}, "This is no model of music"),
        ("midi", {"notes": [{"start": 0, "end": 1, "pitch": 128}]}, "notes.0.pitch = 128 is not possible"),
        ("midi", {"notes": [], "model": "text"}, "This is no model of music"),
    ],
)
def test_mistakes_are_told_in_a_sentence(band: Live, path: str, body: dict, sentence: str) -> None:
    assert refused(band, path, **body).startswith(sentence)


def test_too_many_notes_are_refused(band: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.server.music_schemas.MOST_NOTES", 3)
    text = base64.b64encode(midi.write(SCALE)).decode()
    said = refused(band, "read", model="performer", midi=text)
    assert said == "The MIDI file has 4 notes; at most 3 are taken."
