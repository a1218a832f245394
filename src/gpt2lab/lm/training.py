"""Training by a recipe for those who think in texts: `gpt2lab.train.run` with samples and evaluations on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.lm.samples import Samples
from gpt2lab.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gpt2lab.train.log import Progress
    from gpt2lab.train.loop import Callback, Every, Trainer

SAMPLES = "samples"
"""The folder in a run's folder."""


def train(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    callbacks: Sequence[Callback | Every] = (),
    begin: Callable[[Trainer, Tokenizer], None] | None = None,
    told: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Trainer:
    """Train as `gpt2lab.train.run` does, with the texts that the recipe's `train.sample_every` asks for.

    They are written to RUN/samples/samples-STEP and passed to `told` (None: shown beside the run's progress). `begin`
    is called with the run and its tokenizer before the first step, to add callbacks that have to know them. Raises what
    `run` and `begin` raise.
    """
    from gpt2lab import train as training

    trained = training.trainer(recipe, overrides=overrides, resume=resume, callbacks=callbacks, progress=progress)
    try:
        if trained.recipe.train.sample_every:
            _add_samples(trained, told)
        if begin is not None:
            begin(trained, _tokenizer(trained))
        trained.fit()
    finally:
        trained.close()
    return trained


def _add_samples(trained: Trainer, told: Callable[[str], None] | None) -> None:
    from gpt2lab.train.loop import Every

    loop = trained.recipe.train
    assert loop.sample_every is not None
    samples = Samples(
        trained.folder / SAMPLES,
        number=loop.sample_num,
        length=loop.sample_length,
        told=told or trained.tell,
        prompt=loop.sample_prompt,
    )
    samples.begin(trained, _tokenizer(trained), {})
    trained.add(Every(loop.sample_every, samples))


def _tokenizer(trained: Trainer) -> Tokenizer:
    from gpt2lab.data import Corpus

    return Tokenizer.from_folder(Corpus(trained.recipe.data).tokenizer_folder)
