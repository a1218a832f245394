"""Learning the vocabulary of a corpus from a sample of its training text, bounded and spread over the input.

Knows portions and texts. The sample depends on the input and the recipe alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gpt2lab.data.chunks import read_chunks
from gpt2lab.data.local import run
from gpt2lab.data.recipe import CorpusRecipe
from gpt2lab.data.shards import VocabularySample
from gpt2lab.data.sources import Source
from gpt2lab.data.worker import Work
from gpt2lab.tokenizer import Tokenizer, train_tokenizer


def learn_vocabulary(work: Work, *, workers: int, report: Callable[[int], None]) -> tuple[Tokenizer, VocabularySample]:
    """Return a tokenizer learnt from the sample, and what the sample was; `report` is told the bytes of text passed."""
    sample = _Sample(work.recipe, work.sources)
    tokenizer = train_tokenizer(sample.texts(work, workers, report), vocab_size=work.recipe.vocab_size)
    return tokenizer, VocabularySample(
        documents=sample.documents, bytes=sample.bytes, every=work.recipe.vocabulary_every, portions=sample.portions
    )


class _Sample:
    """Every so many-th document of every so many-th portion; never more than twice the bytes that are wanted."""

    def __init__(self, recipe: CorpusRecipe, sources: Sequence[Source]) -> None:
        expected = sum(source.expected_bytes for source in sources) / recipe.vocabulary_every
        self.portions = max(1, math.ceil(expected / recipe.vocabulary_bytes))
        self.documents = self.bytes = 0
        self._every, self._most = recipe.vocabulary_every, 2 * recipe.vocabulary_bytes

    def texts(self, work: Work, workers: int, report: Callable[[int], None]) -> Iterator[str]:
        """Yield the texts of the sample."""
        recipe = work.recipe
        chunks = read_chunks(work.sources, recipe.fields, skip_bad=recipe.skip_bad)
        chosen = itertools.islice(chunks, 0, None, self.portions)
        number = 0
        done: list[int] = []

        def noted() -> Iterator[Any]:
            for chunk in chosen:
                done.append(chunk.done)
                yield chunk

        for place, texts in enumerate(run(work, "training_texts", noted(), workers=workers)):
            report(done[place])
            for text in texts:
                if number % self._every == 0:
                    self.documents += 1
                    self.bytes += len(text.encode())
                    yield text
                    if self.bytes >= self._most:
                        return
                number += 1
