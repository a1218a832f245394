"""`gpt2lab music` as a whole: encode, train, compose, render, report."""

from __future__ import annotations

import json
import os
import re
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mido", reason="MIDI files need mido")

from gpt2lab.apps.music import chorales, midi
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.train import load_recipe

if TYPE_CHECKING:
    from conftest import Command

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("music-*.toml"))
TUNE = (Note(0.0, 0.5, 60, 81), Note(0.5, 1.0, 64, 81), Note(1.0, 2.0, 67, 101))
TUNE_EVENTS = (
    "VELOCITY_21 NOTE_ON_60 TIME_SHIFT_50 NOTE_OFF_60 NOTE_ON_64 TIME_SHIFT_50 NOTE_OFF_64 VELOCITY_26 NOTE_ON_67 "
    "TIME_SHIFT_100 NOTE_OFF_67"
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve short songs for four voices in four folders."""
    folder = tmp_path_factory.mktemp("songs")
    for number in range(12):
        notes = [
            Note(i * 0.3, i * 0.3 + 0.3, pitch + (i + number) % 3, 80, voice)
            for i in range(24)
            for voice, pitch in enumerate((72, 67, 60, 48))
        ]
        target = folder / f"book{number % 4}" / f"{number:02}.mid"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(midi.write(notes))
    return folder


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    (tmp_path / "tune.mid").write_bytes(midi.write(TUNE))
    return tmp_path / "tune.mid"


def test_events_and_back(command: Command, tune: Path, tmp_path: Path) -> None:
    shown = command("music", "encode", tune)
    assert (shown.code, shown.out) == (0, TUNE_EVENTS + "\n")
    assert command("music", "encode", "-", stdin=tune.read_bytes()).out == shown.out
    numbers = command("music", "encode", tune, "--ids").out
    for text in (shown.out, numbers):
        done = command("music", "decode", "-", "--out", tmp_path / "again.mid", stdin=text.encode())
        assert done.code == 0
        assert midi.read((tmp_path / "again.mid").read_bytes()).notes == TUNE
    told = json.loads(command("music", "encode", tune, "--json", "--vocabulary", "magenta").out)
    assert told["piece"] == "tune.mid"
    assert told["ids"][1] == 2 + 60 - 21
    two = command("music", "decode", "-", "--out", tmp_path / "n.mid", stdin=(shown.out * 2).encode())
    assert two.code == 0
    assert (tmp_path / "n-1.mid").read_bytes() == (tmp_path / "n-2.mid").read_bytes()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_music_trains_and_its_model_composes(
    recipe: Path, songs: Path, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    small = [
        "train.steps=1", "train.batch_size=2", "train.accumulate=1", "train.validation_windows=2", "model.n_layer=1",
        "model.n_positions=32", "model.n_embd=32", "model.n_head=2", "model.n_inner=32",
        f"data={tmp_path / 'corpus'}", f"out={tmp_path / 'run'}",
    ]  # fmt: skip
    sets = [argument for value in small for argument in ("--set", value)]
    trained = command("music", "train", recipe, "--midi", songs, *sets)
    assert trained.code == 0, trained.err
    assert trained.out == f"{tmp_path / 'run' / 'model'}\n"
    assert load_recipe(recipe).task["vocabulary"] in (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    out = [a for suffix in ("mid", "wav", "svg") for a in ("--out", str(tmp_path / f"new.{suffix}"))]
    made = command(
        "music",
        "generate",
        "--model",
        tmp_path / "run",
        "--seconds",
        "1",
        "--seed",
        "1",
        "--json",
        *out,
        "--rate",
        "8000",
    )
    assert made.code == 0, made.err
    notes = midi.read((tmp_path / "new.mid").read_bytes()).notes
    assert 0 < duration(notes) <= 1.06  # a chorale ends with a whole sixteenth
    assert json.loads(made.out)["notes"] == len(notes)
    with wave.open(str(tmp_path / "new.wav")) as sound:
        assert (sound.getframerate(), sound.getsampwidth()) == (8000, 2)
        assert sound.getnframes() >= 8000 * duration(notes)
    resumed = command("music", "train", "--resume", tmp_path / "run", "--set", "train.steps=2")
    assert resumed.code == 0, resumed.err


def test_a_primer_a_melody_and_samples(command: Command, tune: Path, performer_folder: Path, tmp_path: Path) -> None:
    base = ("music", "generate", "--model", performer_folder, "--seconds", "2.5", "--seed", "3", "--threads", "1")
    assert command(*base, "--melody", tune, "-n", "2", "--out", tmp_path / "m.mid").code == 0
    for number in (1, 2):
        assert set(TUNE) <= set(midi.read((tmp_path / f"m-{number}.mid").read_bytes()).notes)
    assert command(*base, "--primer", tune, "--primer-seconds", "1", "--out", tmp_path / "p.mid").code == 0
    assert midi.read((tmp_path / "p.mid").read_bytes()).notes[0] == TUNE[0]
    assert command(*base, "--primer-pitches", "[60, -2, 62]", "--out", tmp_path / "q.mid").code == 0
    first = midi.read((tmp_path / "q.mid").read_bytes()).notes[0]
    assert (first.pitch, first.end) == (60, 0.5)


def test_a_soprano_is_harmonised(command: Command, chorister_folder: Path, tmp_path: Path) -> None:
    base = (
        "music",
        "generate",
        "--model",
        chorister_folder,
        "--seed",
        "3",
        "--threads",
        "1",
        "--out",
        tmp_path / "h.mid",
    )
    quarters = [Note(i * 0.5, i * 0.5 + 0.5, pitch, 80) for i, pitch in enumerate((67, 69, 71))]  # 120 a minute
    (tmp_path / "soprano.mid").write_bytes(midi.write(quarters))
    for melody in ("[67, -2, 69, -2, 71, -2]", tmp_path / "soprano.mid"):
        assert command(*base, "--melody", melody).code == 0
        made = midi.read((tmp_path / "h.mid").read_bytes()).notes
        rows = chorales.rows_of(made)
        assert [row[0] for row in rows] == [67] * 4 + [69] * 4 + [71] * 4
        assert {note.channel for note in made} == {0, 1, 2, 3}


def test_what_was_composed_on_a_grid_lies_on_its_beat(command: Command, chorister_folder: Path, tmp_path: Path) -> None:
    file, base = tmp_path / "new.mid", ("music", "generate", "--model", chorister_folder, "--threads", "1")
    assert command(*base, "--seconds", "3", "--seed", "1", "--out", file).code == 0
    events = command("music", "encode", file, "--vocabulary", "chorales").out
    again = tmp_path / "again.mid"
    assert command("music", "decode", "-", "--vocabulary", "chorales", "-o", again, stdin=events.encode()).code == 0
    assert midi.read(again.read_bytes()).notes == midi.read(file.read_bytes()).notes
    longer = tmp_path / "longer.mid"
    asked = ("--primer", file, "--primer-seconds", "3", "--seconds", "4.5", "--seed", "2", "--out", longer)
    assert command(*base, *asked).code == 0
    rows = [chorales.rows_of(midi.read(path.read_bytes()).notes) for path in (file, longer)]
    assert rows[1][: len(rows[0])] == rows[0]


def test_the_embedded_model_composes(command: Command, tmp_path: Path) -> None:
    done = command("music", "generate", "--seconds", "6", "--seed", "1", "--out", tmp_path / "new.mid", "--json")
    told = json.loads(done.out)
    assert (told["tokens"], told["seconds"]) == (160, 6.0)
    assert told["nats_per_event"] < 1.0  # of 130 tokens, 4.9 by chance
    surprise = json.loads(command("music", "report", tmp_path / "new.mid", "--model", "chorales", "--json").out)
    assert surprise["nats_per_event"] == pytest.approx(told["nats_per_event"], rel=1e-3)


def test_rendering(command: Command, tune: Path, tmp_path: Path) -> None:
    for _ in range(2):
        files = [tmp_path / f"tune.{suffix}" for suffix in ("wav", "svg")]
        assert command("music", "render", tune, "--out", files[0], "--out", files[1]).code == 0
    once = [file.read_bytes() for file in files]
    assert command("music", "render", tune, "--out", files[0], "--out", files[1]).code == 0
    assert once == [file.read_bytes() for file in files]
    picture = once[1].decode()
    assert len(re.findall(r"<rect x=", picture)) == 3
    assert ">C4<" in picture
    pytest.importorskip("matplotlib")
    assert command("music", "render", tune, "--out", tmp_path / "tune.png").code == 0
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_a_soundfont_is_played_by_fluidsynth(
    command: Command, tune: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font, programs = tmp_path / "piano.sf2", tmp_path / "bin"
    font.write_bytes(b"RIFF")
    arguments = ("music", "render", tune, "--out", tmp_path / "x.wav", "--soundfont")
    monkeypatch.setenv("PATH", str(programs))
    assert "needs the program fluidsynth" in command(*arguments, font).err
    programs.mkdir()
    program = programs / "fluidsynth"
    program.write_text('#!/bin/sh\nwhile [ "$1" != -F ]; do shift; done\necho played > "$2"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert command(*arguments, font).code == 0
    assert (tmp_path / "x.wav").read_text(encoding="utf-8") == "played\n"
    assert "does not exist" in command(*arguments, tmp_path / "no.sf2").err
    program.write_text("#!/bin/sh\necho no such preset >&2\nexit 3\n", encoding="utf-8")
    assert "fluidsynth could not play with" in command(*arguments, font).err


def test_a_report(command: Command, tune: Path, songs: Path, performer_folder: Path, tmp_path: Path) -> None:
    assert command("music", "encode", songs, "--out", tmp_path / "corpus").code == 0
    shown = command("music", "report", tune, "--corpus", tmp_path / "corpus", "--model", performer_folder)
    assert shown.code == 0, shown.err
    told = json.loads(
        command("music", "report", songs, "--corpus", tmp_path / "corpus", "--model", performer_folder, "--json").out
    )
    assert told["pieces"]["notes"] == 12 * 96
    assert told["pieces"]["copied"] == 1.0
    assert told["nats_per_event"] > 0
    assert told["pitch_class_divergence_bits"] < 0.01
    alone = json.loads(command("music", "report", tune, "--json").out)["pieces"]
    assert (alone["seconds"], alone["density"], alone["polyphony"]) == (2.0, 1.5, 1.0)
    assert alone["pitch_classes"] == [0.25, 0, 0, 0, 0.25, 0, 0, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "Give a recipe, or a run to go on with"),
        (("train", "--midi", "x", "--resume", "y"), "--midi begins a new run"),
        (("train", RECIPES[0], "--set", "data=none"), "none holds no music to learn; encode some into it with --midi"),
        (("decode", "NOTE_ON_60", "NOTE_UP_7", "--out", "x.mid"), "'NOTE_UP_7' is not a word of this vocabulary"),
        (("decode", "389", "--out", "x.mid"), "389 is no id of the vocabulary 'performance': 0 to 388"),
        (("encode", "nothing.mid"), "nothing.mid does not exist"),
        (("encode", "x.mid", "--vocabulary", "notes"), "Unknown vocabulary of music 'notes'"),
        (("render", "x.mid", "--out", "x.mp3"), "x.mp3 ends in none of .mid, .midi, .wav"),
        (("generate", "--model", "x", "--out", "x.mid", "--primer", "a", "--primer-pitches", "60"), "not both"),
        (("generate", "--model", "x", "--out", "x.mid", "--seconds", "0"), "--seconds = 0.0 must be above 0"),
        (("generate", "--model", "x", "--out", "x.mid", "--nsamples", "0"), "--nsamples = 0 must be a whole number"),
        (("generate", "--model", "tiny", "--out", "x.mid", "--seed", "1"), "This is no model of music"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], message: str, command: Command) -> None:
    done = command("music", *arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "none/x.mid"), "none does not exist"),
        (("--out", "folder.mid"), "folder.mid is a folder"),
        (("--out", "text.txt"), "text.txt ends in none of"),
        (("--out", "x.mid", "--out", "text.txt/x.mid"), "text.txt is not a folder"),
        (("--out", "x.mid", "--primer-seconds", "nan"), "--primer-seconds = nan must be positive"),
        (("--out", "-", "--nsamples", "2"), "2 pieces do not go into one stream"),
        (("--out", "x.wav", "--rate", "1"), "--rate = 1 must be from 8000"),
        (("--out", "x.wav", "--instrument", "flute"), "Unknown instrument 'flute'"),
        (("--out", "x.wav", "--soundfont", "none.sf2"), "oundFont"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_composed(
    arguments: tuple[str, ...], message: str, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.mid").mkdir()
    Path("text.txt").write_text("no music")
    done = command("music", "generate", "--model", "not even looked for", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mid", "text.txt"]


def test_a_primer_is_a_file_and_a_melody_one_where_there_is_one(
    command: Command, tune: Path, performer_folder: Path, tmp_path: Path
) -> None:
    song = tune.rename(tmp_path / "song")
    base = ("music", "generate", "-m", performer_folder, "--seconds", "2", "--seed", "1", "--out", tmp_path / "n.mid")
    for option in ("--primer", "--melody"):
        assert command(*base, option, song).code == 0
        assert {n.pitch for n in TUNE} <= {n.pitch for n in midi.read((tmp_path / "n.mid").read_bytes()).notes}
    for given in ("[60, -2, 62]", str(tmp_path / "none.mid")):
        done = command(*base, "--primer", given)
        assert (done.code, f"{given} does not exist" in done.err) == (2, True)


def test_a_recipe_of_music_is_not_trained_as_text(command: Command) -> None:
    done = command("train", RECIPES[0])
    assert done.code == 2
    assert "trains no model of text" in done.err
