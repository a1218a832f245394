"""`gpt2lab music generate`, `render` and `report`: pieces from a model, as sound and pictures, and in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

if TYPE_CHECKING:
    from gpt2lab.apps.music.notes import Notes
    from gpt2lab.lm.model import LanguageModel

GENERATE_EXAMPLES = examples(
    "gpt2lab music generate --seconds 30 --out new.mid --out new.wav --out new.png",
    "gpt2lab music generate --model runs/music-piano --primer song.mid --primer-seconds 5 --out on.mid",
    "gpt2lab music generate --melody '[67, -2, 69, -2, 71]' --out harmony.mid",
    "gpt2lab music generate --model runs/music-folk -n 10 --temperature 0.9 --top-p 0.95 --out tune.mid",
)
RENDER_EXAMPLES = examples(
    "gpt2lab music render song.mid --out song.wav",
    "gpt2lab music render song.mid --out song.svg --out song.png",
    "gpt2lab music render song.mid --soundfont piano.sf2 --out song.wav",
)
REPORT_EXAMPLES = examples(
    "gpt2lab music report new.mid --corpus corpora/piano",
    "gpt2lab music report *.mid --model runs/music-piano --json",
)

Out = Annotated[
    list[str],
    Option("--out", "-o", metavar="FILE", help="A .mid, .wav, .svg or .png; may be given several times; - is MIDI."),
]
Instrument = Annotated[str, Option("--instrument", metavar="piano|organ", help="The built-in sound of a .wav.")]
Rate = Annotated[int, Option("--rate", metavar="HZ", help="Samples a second of a .wav.")]
SoundFont = Annotated[
    str | None, Option("--soundfont", metavar="FILE", help="Have fluidsynth play a .wav with this SoundFont.")
]


def generate(
    out: Out,
    model: Annotated[
        str, Option("--model", "-m", metavar="NAME", help="A model of music: chorales, a run or a folder.")
    ] = "chorales",
    seconds: Annotated[float, Option("--seconds", metavar="S", help="Length of each piece, the primer included.")] = 30,
    primer: Annotated[
        str | None, Option("--primer", metavar="FILE", help="Go on from the beginning of this MIDI file; - is stdin.")
    ] = None,
    primer_seconds: Annotated[
        float, Option("--primer-seconds", metavar="S", help="How much of the primer is taken.")
    ] = 10,
    primer_pitches: Annotated[
        str | None, Option("--primer-pitches", metavar="LIST", help='Go on from pitches: "[60, -2, 62, -1]".')
    ] = None,
    melody: Annotated[
        str | None,
        Option("--melody", metavar="FILE|LIST", help="Keep this melody and accompany it: a MIDI file, or pitches."),
    ] = None,
    may_end: Annotated[bool, Option("--may-end", help="Let the model end a piece before its time is over.")] = False,
    nsamples: o.NSamples = 1,
    batch_size: o.BatchSize = None,
    seed: o.Seed = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    instrument: Instrument = "piano",
    rate: Rate = 44100,
    soundfont: SoundFont = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    as_json: Annotated[bool, Option("--json", help="Print what was made, a JSON object for each piece.")] = False,
) -> None:
    """Compose: from nothing, from the beginning of a piece, or around a melody. No note hangs, whatever the model says.

    Several samples are numbered: new-1.mid, new-2.mid … The same model, seed and options give the same pieces.
    """
    from dataclasses import replace

    from gpt2lab.apps.music.chorales import beat_of
    from gpt2lab.apps.music.compose import Wish, compose
    from gpt2lab.apps.music.notes import cut
    from gpt2lab.apps.music.vocabulary import vocabulary_of
    from gpt2lab.cli import console, loading, music_files
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.cli.sampling import new_seed

    if primer is not None and primer_pitches is not None:
        raise ConfigError("Give --primer or --primer-pitches, not both.")
    if not primer_seconds > 0:
        raise ConfigError(f"--primer-seconds = {primer_seconds} must be positive.")
    music_files.check_outputs(out, nsamples, instrument=instrument, rate=rate, soundfont=soundfont)
    wish = Wish(seconds=seconds, may_end=may_end)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    lm = loading.load_model(model, models_dir=None, offline=True, precision=precision, device=device, threads=threads)
    beat = beat_of(vocabulary_of(lm.tokenizer))
    if primer is not None:
        wish = replace(wish, primer=cut(music_files.read_notes(primer, beat=beat), 0.0, primer_seconds))
    elif primer_pitches is not None:
        wish = replace(wish, primer=_pitches(primer_pitches, beat))
    if melody is not None:
        wish = replace(wish, melody=_melody(melody, beat))
    chosen = new_seed() if seed is None else seed
    if seed is None:
        console.say(f"seed: {chosen}")
    with ProgressBar("composing") as bar:
        made = compose(
            lm, wish, samples=nsamples, seed=chosen, batch_size=batch_size, progress=bar.advance,
            **{name: value for name, value in options.items() if value is not None},
        )  # fmt: skip
    for number, piece in enumerate(made):
        files = [music_files.numbered(path, number, len(made)) for path in out]
        for path in files:
            data = music_files.rendered(
                piece.notes, path, instrument=instrument, rate=rate, soundfont=soundfont, beat=beat
            )
            music_files.write_bytes(path, data)
        if as_json and "-" not in files:
            console.write(console.to_json(_told(piece, files, chosen, number)) + "\n")


def _told(piece: Any, files: list[str], seed: int, number: int) -> dict[str, Any]:
    from gpt2lab.apps.music.notes import duration

    count = len(piece.logprobs)
    return {
        "files": files,
        "seed": seed,
        "sample": number,
        "tokens": len(piece.ids),
        "primed": piece.primed,
        "notes": len(piece.notes),
        "seconds": round(duration(piece.notes), 3),
        "nats_per_event": -sum(piece.logprobs) / count if count else None,
    }


def _melody(source: str, beat: float | None) -> Notes:
    """Return a melody given as a MIDI file or as pitches; for a grid, a file's sixteenths are rows."""
    from pathlib import Path

    from gpt2lab.cli import console, music_files

    if source == console.STDIN or Path(source).suffix.lower() in (".mid", ".midi") or Path(source).is_file():
        return music_files.read_notes(source, beat=beat)
    return _pitches(source, beat)


def _pitches(text: str, beat: float | None) -> Notes:
    """Return pitches as eighth notes: half a beat."""
    from gpt2lab.apps.music.compose import melody_of

    return melody_of(text, seconds=0.25 if beat is None else beat / 2)


def render(
    file: Annotated[str, Argument(metavar="FILE", help="A MIDI file; - is stdin.")],
    out: Out,
    instrument: Instrument = "piano",
    rate: Rate = 44100,
    soundfont: SoundFont = None,
) -> None:
    """Turn a MIDI file into sound (.wav) or a picture of its notes (.svg, .png)."""
    from gpt2lab.cli import music_files

    music_files.check_outputs(out, 1, instrument=instrument, rate=rate, soundfont=soundfont)
    notes = music_files.read_notes(file)
    for path in out:
        data = music_files.rendered(notes, path, instrument=instrument, rate=rate, soundfont=soundfont)
        music_files.write_bytes(path, data)


def report(
    files: Annotated[list[str], Argument(metavar="FILE...", help="MIDI files, folders or archives of them.")],
    corpus: Annotated[
        str | None, Option("--corpus", metavar="DIR", help="Compare with the training pieces of this corpus.")
    ] = None,
    model: Annotated[
        str | None, Option("--model", "-m", metavar="NAME", help="Say how much each event surprises this model.")
    ] = None,
    threads: o.Threads = None,
    as_json: Annotated[bool, Option("--json", help="One JSON object.")] = False,
) -> None:
    """Describe pieces: pitch classes, density, repetition; beside a training set, and by a model's surprise."""
    from gpt2lab.apps.music.sources import read_pieces
    from gpt2lab.apps.music.vocabulary import VOCABULARIES
    from gpt2lab.cli import console, loading

    lm: LanguageModel | None = None
    if model is not None:
        lm = loading.load_model(model, models_dir=None, offline=True, precision="fp32", device="cpu", threads=threads)
    notes = [piece.notes for piece in read_pieces(files, VOCABULARIES["performance"])]
    told = _described(notes, corpus, lm, files)
    if as_json:
        console.write(console.to_json(told, indent=2) + "\n")
        return
    console.write("\n".join(console.aligned(_table(told), right=(1, 2))) + "\n")


def _described(notes: list[Any], corpus: str | None, lm: Any, files: list[str]) -> dict[str, Any]:
    from gpt2lab.apps.music.report import describe, distance, nats_per_event, phrases
    from gpt2lab.config import to_dict

    training = _training_notes(corpus) if corpus is not None else None
    known = {phrase for piece in training for phrase in phrases(piece)} if training is not None else None
    pieces = describe(notes, known)
    told: dict[str, Any] = {"pieces": to_dict(pieces)}
    if training is not None:
        reference = describe(training)
        told["training"] = to_dict(reference)
        told["pitch_class_divergence_bits"] = distance(pieces, reference)
    if lm is not None:
        from gpt2lab.apps.music.sources import encode, read_pieces
        from gpt2lab.apps.music.vocabulary import vocabulary_of

        music = vocabulary_of(lm.tokenizer)
        encoded = [encode(piece, music) for piece in read_pieces(files, music)]
        whole = [ids for ids in encoded if ids]
        total = sum(len(ids) for ids in whole)
        surprise = sum(nats_per_event(lm, ids) * len(ids) for ids in whole)
        told["nats_per_event"] = surprise / total if total else None
    return told


def _training_notes(folder: str) -> list[Any]:
    from gpt2lab.apps.music.compose import notes_of
    from gpt2lab.apps.music.vocabulary import vocabulary_of
    from gpt2lab.data import Corpus
    from gpt2lab.data.npz import documents_of
    from gpt2lab.tokenizer import Tokenizer

    corpus = Corpus(folder)
    music = vocabulary_of(Tokenizer.from_folder(corpus.tokenizer_folder))
    return [notes_of(ids.tolist(), music) for ids in documents_of(corpus.train, music.end_id)]


def _table(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the figures as rows: of the pieces, and beside them of the training set."""
    from gpt2lab.apps.music.report import PITCH_CLASSES

    sides = [told["pieces"], *([told["training"]] if "training" in told else [])]
    rows: list[tuple[str, ...]] = [("", "pieces", *(["training"] if len(sides) > 1 else []))]
    for key, label in _LABELS.items():
        rows.append((label, *(_shown(side[key]) for side in sides)))
    for place, name in enumerate(PITCH_CLASSES):
        rows.append((f"share of {name}", *(_shown(side["pitch_classes"][place]) for side in sides)))
    blank = [""] * (len(sides) - 1)
    if "pitch_class_divergence_bits" in told:
        rows.append(("divergence of pitch classes (bits)", _shown(told["pitch_class_divergence_bits"]), *blank))
    if "nats_per_event" in told:
        rows.append(("nats an event", _shown(told["nats_per_event"]), *blank))
    return rows


_LABELS = {
    "pieces": "pieces",
    "seconds": "seconds",
    "notes": "notes",
    "density": "notes a second",
    "polyphony": "notes at once",
    "lowest": "lowest pitch",
    "highest": "highest pitch",
    "mean_velocity": "mean velocity",
    "repetition": "phrases repeated in a piece",
    "copied": "phrases of the training set",
}


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
