"""From music to a corpus folder: pieces as tokens, some of them held out, in the layout that all training reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2lab.apps.music.settings import MusicRecipe
from gpt2lab.apps.music.sources import Piece, encode, read_pieces
from gpt2lab.apps.music.vocabulary import MusicVocabulary, vocabulary
from gpt2lab.config import to_dict
from gpt2lab.data.shards import FORMAT, MANIFEST, TOKEN_BYTES, Manifest, ShardWriter, Split, dtype_for
from gpt2lab.errors import DataError
from gpt2lab.files import atomic_folder, sha256_of, write_json


@dataclass(frozen=True)
class Encoded:
    """A piece as tokens without its end, the group that it is held out with, and a published split or ""."""

    name: str
    group: str
    split: str
    ids: list[int]


def encode_corpus(
    inputs: Sequence[str | Path],
    out: str | Path,
    settings: MusicRecipe,
    *,
    overwrite: bool = False,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Write the corpus folder `out` from MIDI files, folders, archives and chorales, and return its manifest.

    Pieces of a published test split are left out. `skip_bad` passes over files that cannot be read, which are counted
    in the manifest. `progress` is told how many pieces are done. Raises `DataError` for bad or empty input.
    """
    music = vocabulary(settings.vocabulary)
    dropped: dict[str, int] = {}
    pieces: list[Encoded] = []
    for piece in read_pieces(inputs, music, bad=dropped if skip_bad else None):
        reason = "" if (ids := encode(piece, music)) else "empty"
        reason = "test split" if piece.split == "test" else reason
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
        else:
            pieces.append(Encoded(piece.name, _group(piece, settings), piece.split, ids))
        if progress is not None:
            progress(len(pieces))
    train, validation = _split(pieces, settings)
    with atomic_folder(out, overwrite=overwrite) as folder:
        return _write(folder, music, settings, train, validation, dropped, inputs)


def _group(piece: Piece, settings: MusicRecipe) -> str:
    return piece.folder if settings.hold_out == "folder" else piece.name


def _split(pieces: Sequence[Encoded], settings: MusicRecipe) -> tuple[list[Encoded], list[Encoded]]:
    """Return what is trained on and what is held out: as published, or whole groups in an order that names decide."""
    if any(piece.split for piece in pieces):
        held = {piece.group for piece in pieces if piece.split == "validation"}
    else:
        sizes: dict[str, int] = {}
        for piece in pieces:
            sizes[piece.group] = sizes.get(piece.group, 0) + len(piece.ids)
        wanted = settings.validation_share * sum(sizes.values())
        held, count = set[str](), 0
        for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
            if count >= wanted:
                break
            held.add(group)
            count += sizes[group]
    train = [piece for piece in pieces if piece.group not in held]
    validation = [piece for piece in pieces if piece.group in held]
    if not train or not validation:
        by_file = ", or hold out by file (--hold-out file, task.hold_out)" if settings.hold_out == "folder" else ""
        raise DataError(
            f"{len(pieces)} pieces in {len({p.group for p in pieces})} groups cannot be split into training and "
            f"validation; give more music{by_file}."
        )
    return train, validation


def _write(
    folder: Path,
    music: MusicVocabulary,
    settings: MusicRecipe,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    dropped: dict[str, int],
    inputs: Sequence[str | Path],
) -> Manifest:
    tokenizer = music.tokenizer()
    tokenizer.save(folder / "tokenizer")
    lengths = [0 if i == music.end_id else len(name) + 1 for i, name in enumerate(music.names)]
    np.asarray(lengths, dtype="<u2").tofile(folder / TOKEN_BYTES)
    manifest = Manifest(
        format=FORMAT,
        dtype=dtype_for(music.size),
        vocab_size=music.size,
        end_of_text_id=music.end_id,
        tokenizer_sha256=sha256_of(folder / "tokenizer" / "tokenizer.json"),
        cleaning="none",
        sources={Path(i).name: sha256_of(i) for i in inputs if Path(i).is_file()},
        train=_split_of(folder, "train", train, music, lengths),
        validation=_split_of(folder, "validation", validation, music, lengths),
        dropped=dropped,
        recipe=to_dict(settings),
    )
    write_json(folder / MANIFEST, to_dict(manifest))
    return manifest


def _split_of(
    folder: Path, name: str, pieces: Iterable[Encoded], music: MusicVocabulary, lengths: Sequence[int]
) -> Split:
    writer = ShardWriter(folder, name, dtype_for(music.size))
    documents = tokens = text_bytes = 0
    for piece in pieces:
        writer.write([*piece.ids, music.end_id])
        documents += 1
        tokens += len(piece.ids) + 1
        text_bytes += int(np.take(lengths, piece.ids).sum())
    return Split(documents=documents, tokens=tokens, bytes=text_bytes, shards=writer.close())
