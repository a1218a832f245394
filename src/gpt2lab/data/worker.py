"""The work on one portion of a corpus: documents, cleaning, split, token ids, and the numbers that tell copies.

The same function runs in this process, in others beside it and on a cluster; what it returns depends on the portion
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.data.chunks import Chunk
from gpt2lab.data.contamination import EvaluationNgrams
from gpt2lab.data.documents import Document, parse
from gpt2lab.data.duplicates import Signatures
from gpt2lab.data.filters import Dropped, cleaner
from gpt2lab.data.ngrams import Hashes, text_hash, word_hashes, words_hash
from gpt2lab.data.parts import BY_HASH, TRAIN, VALIDATION, Arrays, save_part
from gpt2lab.data.recipe import CorpusRecipe
from gpt2lab.data.shards import dtype_for
from gpt2lab.data.sources import Source
from gpt2lab.errors import DataError
from gpt2lab.tokenizer import Tokenizer

_SHORTEST_TAIL = 200  # characters held out at the end of a document; where it would be fewer, whole records are

Piece = tuple[int, int, str]
"""Number of the document, split, text."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every portion is made with: the recipe, the sources, the folders of the tokenizer and of finished parts, the
    table of evaluation n-grams."""

    recipe: CorpusRecipe
    sources: tuple[Source, ...]
    tokenizer: Path | None
    parts: Path
    evaluation: Path | None = None


class Worker:
    """Makes parts of portions. What that takes is opened at the first."""

    def __init__(self, work: Work) -> None:
        self._work, self._recipe = work, work.recipe
        self._fields = work.recipe.fields
        self._clean = cleaner(work.recipe.cleaning, work.recipe.filters)
        self._held_out = frozenset(work.recipe.held_out_authors)

    def training_texts(self, chunk: Chunk) -> list[str]:
        """Return the texts of a portion that are trained on, for learning a vocabulary."""
        documents = self._documents(chunk, Counter())
        return [text for _, split, text in self._pieces(chunk, documents) if split != VALIDATION]

    def make(self, chunk: Chunk) -> int:
        """Write the part of a portion and return the bytes of text before its end."""
        dropped = Counter({"bad": chunk.bad} if chunk.bad else {})
        documents = list(self._documents(chunk, dropped))
        pieces = list(self._pieces(chunk, documents))
        texts = [document.text for _, document in documents]
        arrays = {
            **self._tokens(pieces),
            "hashes": np.array([text_hash(text) for text in texts], np.uint64),
            **self._copies(texts),
            **self._hits(len(documents), pieces),
        }
        authors = [document.author for _, document in documents]
        save_part(self._work.parts, chunk.start, chunk.end, arrays, authors=authors, dropped=dropped)
        return chunk.done

    # --- from records to pieces

    def _documents(self, chunk: Chunk, dropped: Counter[str]) -> Iterator[tuple[int, Document]]:
        """Yield the cleaned documents with the number of their source; what is left out is counted in `dropped`."""
        for number, record in chunk.records:
            source = self._work.sources[number]
            try:
                document = parse(source.kind, record, self._fields, str(source.path), self._decode)
            except DataError:
                if not self._recipe.skip_bad:
                    raise
                dropped["bad"] += 1
                continue
            if document is None:
                dropped["empty"] += 1
                continue
            try:
                yield number, Document(self._clean(document.text), document.author)
            except Dropped as reason:
                dropped[str(reason)] += 1

    def _pieces(self, chunk: Chunk, documents: Any) -> Iterator[Piece]:
        """Yield the parts of every document under the split they belong to."""
        for owner, (number, document) in enumerate(documents):
            text = document.text
            if self._held_out:
                yield owner, (VALIDATION if document.author in self._held_out else TRAIN), text
                continue
            source = self._work.sources[number]
            cut, tail = _cut(text, self._recipe.validation_share)
            if tail < _SHORTEST_TAIL and (source.kind not in ("text", "html") or self._fields.separator):
                yield owner, BY_HASH, text
                continue
            for split, piece in ((TRAIN, text[:cut]), (VALIDATION, text[cut:])):
                if piece:
                    yield owner, split, piece

    # --- from pieces to arrays

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        if self._work.tokenizer is None:
            raise DataError("Token ids cannot be read without the tokenizer that made them; name it with tokenizer.")
        return Tokenizer.from_folder(self._work.tokenizer)

    def _decode(self, ids: Any) -> str:
        end = self._tokenizer.eos_id
        return self._tokenizer.decode([i for i in ids if i != end], errors="strict")

    def _tokens(self, pieces: list[Piece]) -> Arrays:
        end = self._tokenizer.eos_id
        assert end is not None
        dtype = np.dtype(dtype_for(self._tokenizer.vocab_size)).newbyteorder("<")
        mark = np.array([end], dtype)
        encoded = self._tokenizer.encode_arrays([text for *_, text in pieces])
        return {
            "ids": np.concatenate([a for ids in encoded for a in (ids.astype(dtype), mark)] or [mark[:0]]),
            "piece_lengths": np.array([len(ids) + 1 for ids in encoded], np.int64),
            "piece_bytes": np.array([len(text.encode()) for *_, text in pieces], np.int64),
            "piece_splits": np.array([split for _, split, _ in pieces], np.uint8),
            "piece_owners": np.array([owner for owner, *_ in pieces], np.int64),
        }

    def _copies(self, texts: list[str]) -> Arrays:
        """Return what tells exact and near copies of each other."""
        if self._recipe.duplicates == "keep":
            return {"words": np.empty(0, np.uint64)}
        words = [word_hashes(text) for text in texts]
        whole = [words_hash(w) if len(w) else text_hash(t) for w, t in zip(words, texts, strict=True)]
        arrays: dict[str, npt.NDArray[Any]] = {"words": np.array(whole, np.uint64)}
        if self._recipe.duplicates == "near":
            arrays["signatures"], arrays["bands"] = self._signatures.of(words)
        return arrays

    @cached_property
    def _signatures(self) -> Signatures:
        return Signatures(self._recipe.near_threshold)

    def _hits(self, count: int, pieces: list[Piece]) -> Arrays:
        """Return which n-grams of the evaluation set each document's training text holds."""
        if self._work.evaluation is None:
            return {"hits": np.empty(0, np.int64), "hit_counts": np.zeros(count, np.int64)}
        found: list[Hashes | npt.NDArray[np.int64]] = [np.empty(0, np.int64) for _ in range(count)]
        for owner, split, text in pieces:
            if split != VALIDATION:
                found[owner] = self._evaluation.numbers_in(text)
        return {
            "hits": np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64),
            "hit_counts": np.array([len(numbers) for numbers in found], np.int64),
        }

    @cached_property
    def _evaluation(self) -> EvaluationNgrams:
        assert self._work.evaluation is not None
        return EvaluationNgrams(np.load(self._work.evaluation, allow_pickle=False))


def _cut(text: str, share: float) -> tuple[int, int]:
    """Return where the last `share` of `text` is held out from, and how many characters that share is.

    The place is moved back to a line's start where there is one nearby: at most to twice the share.
    """
    place = int(len(text) * (1 - share))
    tail = len(text) - place
    line = text.rfind("\n", max(0, place - min(2000, tail)), place)
    return (line + 1 if line >= 0 else place), tail
