"""From text files to a corpus folder: documents, cleaning, vocabulary, held-out part, shards, manifest.

Knows tokenizers and files, nothing of models. The folder is complete or absent.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gpt2lab.config import to_dict
from gpt2lab.data.clean import clean_book
from gpt2lab.data.documents import Document, read_documents
from gpt2lab.data.shards import FORMAT, MANIFEST, TOKEN_BYTES, Manifest, ShardWriter, dtype_for
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import atomic_folder, sha256_of, write_json
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

_BATCH_CHARACTERS = 8_000_000  # text tokenized at once: enough to keep every core busy, little enough to hold

_CLEANERS: dict[str, Callable[[str], str]] = {"none": str, "books": clean_book}


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRecipe:
    """How a corpus is made. Raises `ConfigError` when a value is impossible.

    `tokenizer` is a folder; without one a vocabulary of `vocab_size` is learnt from every `vocabulary_every`-th
    training document. The authors named in `held_out_authors` are the validation split, or, when there are none, the
    last `validation_share` of every document is.
    """

    cleaning: Literal["none", "books"] = "none"
    tokenizer: str | None = None
    vocab_size: int = 4096
    vocabulary_every: int = 1
    held_out_authors: tuple[str, ...] = ()
    validation_share: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 0.5:
            raise ConfigError(f"validation_share = {self.validation_share} must be between 0 and 0.5.")
        if self.vocabulary_every < 1:
            raise ConfigError(f"vocabulary_every = {self.vocabulary_every} must be at least 1.")


def prepare(
    inputs: Sequence[str | Path],
    out: str | Path,
    recipe: CorpusRecipe | None = None,
    *,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Manifest:
    """Write the corpus folder `out` from text files and return its manifest.

    `progress` shows a line on stderr; None means when that is a terminal. Raises `DataError` for bad or empty input, an
    author to hold out who is not there, or an `out` that exists (unless `overwrite`).
    """
    recipe = recipe or CorpusRecipe()
    report = _Report(sys.stderr.isatty() if progress is None else progress)
    if not inputs:
        raise DataError("There is nothing to prepare: give at least one file.")
    with atomic_folder(out, overwrite=overwrite) as folder:
        if recipe.tokenizer is not None:
            tokenizer = Tokenizer.from_folder(recipe.tokenizer)
        else:
            tokenizer = train_tokenizer(_vocabulary_texts(inputs, recipe, report), vocab_size=recipe.vocab_size)
        if tokenizer.eos_id is None:
            raise DataError(f"The tokenizer in {recipe.tokenizer} has no end-of-text token, which ends every document.")
        tokenizer.save(folder / "tokenizer")
        manifest = _write(inputs, folder, recipe, tokenizer, report)
    report.done(f"{manifest.train.tokens:,} tokens to train on, {manifest.validation.tokens:,} held out")
    return manifest


def _write(
    inputs: Sequence[str | Path], folder: Path, recipe: CorpusRecipe, tokenizer: Tokenizer, report: _Report
) -> Manifest:
    end = tokenizer.eos_id
    assert end is not None
    dtype = dtype_for(tokenizer.vocab_size)
    writers = {split: ShardWriter(folder, split, dtype) for split in ("train", "validation")}
    for batch in _batches(_parts(inputs, recipe)):
        for (split, document), ids in zip(batch, tokenizer.encode_batch([d.text for _, d in batch]), strict=True):
            writers[split].add([*ids, end], text_bytes=len(document.text.encode()), author=document.author)
        report.show(f"{writers['train'].tokens:,} tokens")
    lengths = [0 if i == end else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    np.asarray(lengths, dtype="<u2").tofile(folder / TOKEN_BYTES)
    manifest = Manifest(
        format=FORMAT,
        dtype=dtype,
        vocab_size=tokenizer.vocab_size,
        end_of_text_id=end,
        tokenizer_sha256=sha256_of(folder / "tokenizer" / "tokenizer.json"),
        cleaning=recipe.cleaning,
        sources={Path(path).name: sha256_of(path) for path in inputs},
        train=writers["train"].close(),
        validation=writers["validation"].close(),
    )
    _refuse_empty(manifest, recipe)
    write_json(folder / MANIFEST, to_dict(manifest))
    return manifest


def _refuse_empty(manifest: Manifest, recipe: CorpusRecipe) -> None:
    if missing := set(recipe.held_out_authors) - set(manifest.validation.authors):
        raise DataError(
            f"No document is by {', '.join(sorted(missing))}; held_out_authors must name authors of the input."
        )
    for name, split in (("to train on", manifest.train), ("held out", manifest.validation)):
        if not split.tokens:
            raise DataError(f"There is no text {name}: the input is empty, or all of it went to the other part.")


def _cleaned(inputs: Sequence[str | Path], recipe: CorpusRecipe) -> Iterator[Document]:
    clean = _CLEANERS[recipe.cleaning]
    for document in read_documents(inputs):
        if text := clean(document.text):
            yield Document(text, document.author)


def _parts(inputs: Sequence[str | Path], recipe: CorpusRecipe) -> Iterator[tuple[str, Document]]:
    """Yield every document under the split it belongs to."""
    for document in _cleaned(inputs, recipe):
        if recipe.held_out_authors:
            yield ("validation" if document.author in recipe.held_out_authors else "train"), document
            continue
        cut = _cut(document.text, recipe.validation_share)
        for split, text in (("train", document.text[:cut]), ("validation", document.text[cut:])):
            if text:
                yield split, Document(text, document.author)


def _cut(text: str, share: float) -> int:
    """Return where the last `share` of `text` begins, moved back to a line's start where there is one nearby."""
    place = int(len(text) * (1 - share))
    line = text.rfind("\n", max(0, place - 2000), place)
    return line + 1 if line >= 0 else place


def _vocabulary_texts(inputs: Sequence[str | Path], recipe: CorpusRecipe, report: _Report) -> Iterator[str]:
    number = 0
    for split, document in _parts(inputs, recipe):
        if split == "train":
            if number % recipe.vocabulary_every == 0:
                yield document.text
            number += 1
            report.show(f"reading for the vocabulary, document {number}")


def _batches(parts: Iterator[tuple[str, Document]]) -> Iterator[list[tuple[str, Document]]]:
    batch: list[tuple[str, Document]] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += len(part[1].text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Report:
    """One line on stderr, rewritten."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._shown:
            with contextlib.suppress(OSError):
                width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 79
                sys.stderr.write("\r" + text[: width - 1].ljust(width - 1))
                sys.stderr.flush()

    def done(self, text: str) -> None:
        """End the line."""
        self.show(text)
        if self._shown:
            sys.stderr.write("\n")
