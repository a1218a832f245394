"""From files to a corpus folder: the plan, the vocabulary, the parts, the finished folder.

Knows tokenizers and files, nothing of models or terminals. Until it is finished, the work lies in a folder beside it,
`NAME.partial`: what was interrupted there goes on where it was and ends in the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt2lab.config import from_dict, to_dict
from gpt2lab.data.assembly import Assembly, assemble
from gpt2lab.data.chunks import Position, read_chunks
from gpt2lab.data.contamination import evaluation_ngrams, merged, overlaps
from gpt2lab.data.local import choose_workers, run
from gpt2lab.data.parts import finished_parts
from gpt2lab.data.recipe import CorpusRecipe
from gpt2lab.data.shards import FORMAT, MANIFEST, TOKEN_BYTES, Manifest, VocabularySample, dtype_for
from gpt2lab.data.sources import Source, digests, find_sources
from gpt2lab.data.vocabulary import learn_vocabulary
from gpt2lab.data.worker import Work
from gpt2lab.errors import ConfigError, DataError, Gpt2labError
from gpt2lab.files import put_folder, read_json, sha256_of, write_json
from gpt2lab.tokenizer import Tokenizer

Progress = Callable[[str, int, "int | None"], None]
"""Told what is being done, and how many bytes of text of how many are behind it."""

Engine = Literal["local", "ray"]

SOURCES = "sources.sha256"
_PLAN, _PARTS, _TOKENIZER, _SAMPLE, _RESULT = "plan.json", "parts", "tokenizer", "vocabulary.json", "corpus"


def prepare(
    inputs: Sequence[str | Path],
    out: str | Path,
    recipe: CorpusRecipe | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    engine: Engine = "local",
    progress: Progress | None = None,
) -> Manifest:
    """Write the corpus folder `out` from files, folders and patterns, and return its manifest.

    The same input and recipe give the same bytes whatever `workers` (processes; None: one for each core, and this one
    alone for little input) and `engine` ("ray": on the machines of a Ray cluster, `gpt2lab.data.cluster`). An
    interrupted call leaves `out`.partial, and the next one with the same input and recipe goes on from there.

    Raises `DataError` for bad or empty input, an author to hold out who is not there, an `out` that exists or an
    unfinished one of another recipe (unless `overwrite`).
    """
    recipe = recipe or CorpusRecipe()
    target = Path(out)
    if engine not in ("local", "ray"):
        raise ConfigError(f"engine = {engine!r} is not one of 'local', 'ray'.")
    if target.exists() and not overwrite:
        raise DataError(f"{target} exists already; choose another name, remove it, or ask for it to be overwritten.")
    sources, passed_over = find_sources(inputs, kind=recipe.kind)
    if pipe := next((source for source in sources if source.path.is_fifo()), None):
        raise DataError(f"{pipe.given} is a pipe, which can be read only once; write it to a file, and give that.")
    if recipe.tokenizer is None and any(source.kind == "npz" for source in sources):
        raise DataError("A .npz file holds token ids: name the tokenizer that made them with tokenizer.")
    run_ = _Run(target, recipe, sources, workers, progress or _silent)
    run_.begin(overwrite=overwrite)
    try:
        manifest = run_.finish(passed_over, engine)
    except Gpt2labError:
        if run_.finished or not any((run_.folder / _PARTS).glob("*.npz")):
            shutil.rmtree(run_.folder)  # there is nothing in it that another try could use
        raise
    put_folder(run_.folder / _RESULT, target)
    shutil.rmtree(run_.folder)
    return manifest


def partial_folder(out: str | Path) -> Path:
    """Return where the unfinished work of a corpus lies."""
    return Path(out).with_name(Path(out).name + ".partial")


def _silent(what: str, done: int, total: int | None) -> None:
    pass


class _Run:
    """One corpus in the making, in its work folder."""

    def __init__(
        self, target: Path, recipe: CorpusRecipe, sources: list[Source], workers: int | None, progress: Progress
    ) -> None:
        self.folder = partial_folder(target)
        self._recipe, self._sources, self._progress = recipe, tuple(sources), progress
        self._total = sum(source.expected_bytes for source in sources)
        self._workers = choose_workers(workers, self._total)
        self.finished = False  # whether all parts are made
        self._given = Tokenizer.from_folder(recipe.tokenizer) if recipe.tokenizer is not None else None

    def begin(self, *, overwrite: bool) -> None:
        """Make the work folder, or take up the one that is there if it is of the same plan."""
        plan, begun = self._plan(), (self.folder / _PLAN).exists()
        if not begun or read_json(self.folder / _PLAN) != plan:
            if begun and not overwrite:
                raise DataError(
                    f"{self.folder} holds an unfinished corpus of other input or another recipe. Finish it with those, "
                    "remove it, or ask for it to be overwritten."
                )
            shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / _PARTS).mkdir(parents=True, exist_ok=True)
        if not (self.folder / _PLAN).exists():
            write_json(self.folder / _PLAN, plan)

    def finish(self, passed_over: int, engine: Engine) -> Manifest:
        """Do what is not done yet and write the corpus into the work folder."""
        evaluation = evaluation_ngrams(self._recipe.decontaminate)
        table = merged(list(evaluation.values()))
        work = Work(self._recipe, self._sources, None, self.folder / _PARTS)
        if evaluation:
            work = replace(work, evaluation=self.folder / "evaluation.npy")
            np.save(self.folder / "evaluation.npy", table)
        tokenizer, sample = self._vocabulary(work)
        self._make_parts(replace(work, tokenizer=self.folder / _TOKENIZER), engine)
        self.finished = True
        result = self._empty(_RESULT)
        assembly = assemble(
            finished_parts(self.folder / _PARTS), result, self._recipe, dtype=dtype_for(tokenizer.vocab_size),
            evaluation=len(table), work=self.folder, report=lambda done, total: None,
        )  # fmt: skip
        self._refuse_empty(assembly)
        manifest = self._manifest(tokenizer, sample, assembly, passed_over, result)
        manifest = replace(manifest, contamination=overlaps(evaluation, table, assembly.found, assembly.left))
        write_json(result / MANIFEST, to_dict(manifest))
        return manifest

    def _plan(self) -> dict[str, Any]:
        """Return what decides about the bytes of the result; work begun by another plan cannot be gone on with."""
        files = [(str(s.path), s.kind) for s in self._sources] + [(f, "evaluation") for f in self._recipe.decontaminate]
        stamped = [[name, kind, *_stamp(Path(name))] for name, kind in files]
        return {
            "format": FORMAT,
            "recipe": to_dict(replace(self._recipe, skip_bad=False)),
            "files": hashlib.sha256(json.dumps(stamped).encode()).hexdigest(),
            "tokenizer": _digest(self._given) if self._given else None,
        }

    def _vocabulary(self, work: Work) -> tuple[Tokenizer, VocabularySample | None]:
        """Return the tokenizer, given or learnt now or before, and what it was learnt from."""
        folder, note = self.folder / _TOKENIZER, self.folder / _SAMPLE
        if self._given is not None:
            if self._given.eos_id is None:
                raise DataError(
                    f"The tokenizer in {self._recipe.tokenizer} has no end-of-text token, which ends every document."
                )
            self._given.save(folder)
            return self._given, None
        if not note.exists():
            learnt, sample = learn_vocabulary(
                work,
                workers=self._workers,
                report=lambda done: self._progress("reading for the vocabulary", done, self._total),
            )
            self._empty(_TOKENIZER)
            learnt.save(folder)
            write_json(note, to_dict(sample))
        return Tokenizer.from_folder(folder), from_dict(VocabularySample, read_json(note))

    def _make_parts(self, work: Work, engine: Engine) -> None:
        """Make the parts that are not there yet."""
        finished = finished_parts(work.parts)
        start = finished[-1].end if finished else Position()
        done = sum(source.expected_bytes for source in self._sources[: start.source])
        self._progress("tokenizing", done, self._total)
        if engine == "ray":
            from gpt2lab.data.cluster import run_on_ray

            results: Iterator[int] = run_on_ray(work, start)
        else:
            chunks = read_chunks(self._sources, self._recipe.fields, start=start, skip_bad=self._recipe.skip_bad)
            results = run(work, "make", chunks, workers=self._workers)
        for done in results:
            self._progress("tokenizing", done, self._total)

    def _manifest(
        self,
        tokenizer: Tokenizer,
        sample: VocabularySample | None,
        assembly: Assembly,
        passed_over: int,
        result: Path,
    ) -> Manifest:
        """Write what lies beside the shards and return the manifest, without the overlaps."""
        shutil.copytree(self.folder / _TOKENIZER, result / "tokenizer")
        end = tokenizer.eos_id
        assert end is not None
        lengths = [0 if i == end else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
        np.asarray(lengths, dtype="<u2").tofile(result / TOKEN_BYTES)
        entries, listing = digests(self._sources)
        (result / SOURCES).write_text(listing, encoding="utf-8")
        return Manifest(
            format=FORMAT,
            dtype=dtype_for(tokenizer.vocab_size),
            vocab_size=tokenizer.vocab_size,
            end_of_text_id=end,
            tokenizer_sha256=sha256_of(result / "tokenizer" / "tokenizer.json"),
            cleaning=self._recipe.cleaning_name,
            sources=entries,
            train=assembly.train,
            validation=assembly.validation,
            passed_over=passed_over,
            dropped=assembly.dropped,
            vocabulary=sample,
            recipe=to_dict(self._recipe),
        )

    def _refuse_empty(self, assembly: Assembly) -> None:
        if missing := set(self._recipe.held_out_authors) - set(assembly.validation.authors):
            raise DataError(
                f"No document is by {', '.join(sorted(missing))}; held_out_authors must name authors of the input."
            )
        why = "".join(f"; left out: {count} {reason}" for reason, count in assembly.dropped.items())
        for name, split in (("to train on", assembly.train), ("held out", assembly.validation)):
            if not split.tokens and (split is assembly.train or self._recipe.validation_share):
                raise DataError(
                    f"There is no text {name}: the input is empty, or all of it went to the other part or was left "
                    f"out{why}."
                )

    def _empty(self, name: str) -> Path:
        folder = self.folder / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        return folder


def _stamp(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    return about.st_size, about.st_mtime_ns


def _digest(tokenizer: Tokenizer) -> str:
    tables = json.dumps([sorted(tokenizer.vocab.items()), list(tokenizer.merges)])
    return hashlib.sha256(tables.encode()).hexdigest()
