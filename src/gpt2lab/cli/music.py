"""`gpt2lab music`: MIDI files to events and back, training, composing, sound and pictures, figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gpt2lab.apps.music.vocabulary import MusicVocabulary

ENCODE_EXAMPLES = examples(
    "gpt2lab music encode song.mid",
    "gpt2lab music encode my-midi-files --out corpora/mine",
    "gpt2lab music encode jsb-chorales-16th.json --vocabulary chorales --out corpora/jsb",
    "gpt2lab music encode performances.tar.xz --hold-out folder --out corpora/piano",
)
DECODE_EXAMPLES = examples(
    "gpt2lab music encode song.mid | gpt2lab music decode - --out again.mid",
    'gpt2lab music decode "VELOCITY_20 NOTE_ON_60 TIME_SHIFT_100 NOTE_OFF_60" --out middle-c.mid',
)
TRAIN_EXAMPLES = examples(
    "gpt2lab music train recipes/music-jsb.toml",
    "gpt2lab music train recipes/music-piano.toml --midi my-midi-files --set data=corpora/mine",
    "gpt2lab music train --resume runs/music-jsb",
)


def app() -> typer.Typer:
    """Return the commands of `gpt2lab music`."""
    from gpt2lab.cli import music_pieces

    group = new_app()
    group.callback(context_settings=SETTINGS)(music)
    group.command("encode", epilog=ENCODE_EXAMPLES, context_settings=SETTINGS)(encode)
    group.command("decode", epilog=DECODE_EXAMPLES, context_settings=SETTINGS)(decode)
    group.command("train", epilog=TRAIN_EXAMPLES, context_settings=SETTINGS)(train)
    group.command("generate", epilog=music_pieces.GENERATE_EXAMPLES, context_settings=SETTINGS)(music_pieces.generate)
    group.command("render", epilog=music_pieces.RENDER_EXAMPLES, context_settings=SETTINGS)(music_pieces.render)
    group.command("report", epilog=music_pieces.REPORT_EXAMPLES, context_settings=SETTINGS)(music_pieces.report)
    return group


def music() -> None:
    """Learn music, continue it, accompany it, and hear it."""


VocabularyOption = Annotated[
    str,
    Option(
        "--vocabulary",
        metavar="performance|magenta|chorales",
        help="Events of a performance (388, or Magenta's 308 for a piano's keys), or a grid of four voices.",
    ),
]


def encode(
    inputs: Annotated[
        list[str],
        Argument(metavar="INPUT...", help="MIDI files, folders or archives of them, chorales as .json; - is MIDI."),
    ],
    vocabulary: VocabularyOption = "performance",
    out: Annotated[
        str | None, Option("--out", "-o", metavar="DIR", help="Write a corpus to train on instead of showing tokens.")
    ] = None,
    hold_out: Annotated[
        str, Option("--hold-out", metavar="file|folder", help="What is held out for validation together.")
    ] = "file",
    validation_share: Annotated[
        float, Option("--validation-share", metavar="X", help="Share of all tokens to hold out.")
    ] = 0.1,
    ids: Annotated[bool, Option("--ids", help="Show numbers instead of names.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object for each piece.")] = False,
    skip_bad: Annotated[
        bool, Option("--skip-bad", help="Pass over files that cannot be read, and count them.")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a corpus that is there already.")] = False,
) -> None:
    """Turn music into tokens: shown piece by piece on a line each, or written as a corpus. Prints that folder."""
    from gpt2lab.apps.music.settings import music_recipe
    from gpt2lab.apps.music.vocabulary import vocabulary as find
    from gpt2lab.cli import console

    if out is None:
        music_ = find(vocabulary)
        bad: dict[str, int] = {}
        with console.as_files(inputs, "stdin.mid") as files:
            for name, tokens in _encoded(files, music_, bad if skip_bad else None):
                if as_json:
                    console.write(console.to_json({"piece": name, "ids": tokens}) + "\n")
                else:
                    console.write(" ".join(str(i) if ids else music_.names[i] for i in tokens) + "\n")
        if bad:
            console.note(f"{bad['damaged']} files could not be read.")
        return
    find(vocabulary)
    settings = music_recipe({
        "kind": "music", "vocabulary": vocabulary, "hold_out": hold_out, "validation_share": validation_share,
    })  # fmt: skip
    with console.as_files(inputs, "stdin.mid") as files:
        _write_corpus(files, out, settings, overwrite=overwrite, skip_bad=skip_bad)
    console.write(f"{out}\n")


def _encoded(inputs: list[str], music_: MusicVocabulary, bad: dict[str, int] | None) -> Any:
    from gpt2lab.apps.music.sources import encode as tokens_of
    from gpt2lab.apps.music.sources import read_pieces

    for piece in read_pieces(inputs, music_, bad=bad):
        yield piece.name, tokens_of(piece, music_)


def _write_corpus(inputs: list[str], out: str, settings: Any, *, overwrite: bool, skip_bad: bool) -> None:
    from gpt2lab.apps.music.corpus import encode_corpus
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar

    with ProgressBar("reading", unit="pieces") as bar:
        manifest = encode_corpus(
            inputs, out, settings, overwrite=overwrite, skip_bad=skip_bad, progress=lambda n: bar.update(n, None)
        )
    left = "".join(f", {count} left out ({reason})" for reason, count in manifest.dropped.items())
    console.say(
        f"{manifest.train.documents} pieces of {manifest.train.tokens:,} tokens, and "
        f"{manifest.validation.documents} of {manifest.validation.tokens:,} held out{left}"
    )


def decode(
    tokens: Annotated[
        list[str], Argument(metavar="TOKENS...", help="Names or ids; - reads them from stdin, a piece on each line.")
    ],
    out: Annotated[str, Option("--out", "-o", metavar="FILE", help="A .mid file; - is stdout.")] = "-",
    vocabulary: VocabularyOption = "performance",
) -> None:
    """Turn tokens into a MIDI file. Of several lines each becomes a file: out-1.mid, out-2.mid …"""
    from gpt2lab.apps.music import midi
    from gpt2lab.apps.music.chorales import beat_of
    from gpt2lab.apps.music.compose import notes_of
    from gpt2lab.apps.music.vocabulary import vocabulary as find
    from gpt2lab.cli import console
    from gpt2lab.cli.music_files import numbered, write_bytes

    music_ = find(vocabulary)
    lines = [" ".join(tokens)] if tokens != [console.STDIN] else console.read_text(console.STDIN).splitlines()
    pieces = [_ids(line, music_) for line in lines if line.strip()]
    if not pieces:
        raise DataError("There are no tokens to decode.")
    for number, piece in enumerate(pieces):
        write_bytes(
            numbered(out, number, len(pieces)), midi.write(notes_of(piece, music_), seconds_per_beat=beat_of(music_))
        )


def _ids(line: str, music_: MusicVocabulary) -> list[int]:
    words = line.split()
    if all(word.isdecimal() for word in words):
        found = [int(word) for word in words]
        if wrong := [i for i in found if i >= music_.size]:
            raise DataError(f"{wrong[0]} is no id of the vocabulary {music_.name!r}: 0 to {music_.size - 1}.")
        return found
    return music_.tokenizer().encode(line)


def train(
    recipe: Annotated[
        str | None, Argument(metavar="RECIPE", help="A TOML file; recipes/music-*.toml.", show_default=False)
    ] = None,
    midi: Annotated[
        list[str] | None,
        Option("--midi", metavar="INPUT", help="Encode this first, into the recipe's data; several may be given."),
    ] = None,
    assignments: o.Assignments = None,
    resume: o.Resume = None,
) -> None:
    """Train a model of music by a recipe, or go on with a run. Prints the folder of the model.

    The music is what gpt2lab music encode has written, or is encoded now with --midi. Ctrl-C saves the run.
    """
    from gpt2lab.apps.music import training
    from gpt2lab.cli import console

    if recipe is None and resume is None:
        raise ConfigError(
            "Give a recipe, or a run to go on with: gpt2lab music train RECIPE, or gpt2lab music train --resume RUN."
        )
    if midi:
        _encode_first(recipe, midi, assignments or [])
    run = training.trainer(recipe, overrides=assignments or (), resume=resume)
    try:
        run.fit()
    finally:
        run.close()
    if not run.processes.is_main:
        return
    from gpt2lab.train.export import export

    model: Path = export(run.folder, run.folder / "model", overwrite=True)
    console.write(f"{model}\n")


def _encode_first(recipe: str | None, inputs: list[str], assignments: list[str]) -> None:
    from gpt2lab.apps.music.settings import music_recipe
    from gpt2lab.train import load_recipe

    if recipe is None:
        raise ConfigError("--midi begins a new run, so it goes with a recipe, not with --resume.")
    loaded = load_recipe(recipe, assignments)
    _write_corpus(inputs, loaded.data, music_recipe(loaded.task), overwrite=False, skip_bad=True)
