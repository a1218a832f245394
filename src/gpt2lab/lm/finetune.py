"""Fine-tuning for those who think in texts: a data set in, samples on the way, a language model out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.engine.params import check_whole
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.samples import Samples

if TYPE_CHECKING:
    from gpt2lab.train.finetune import FineTune
    from gpt2lab.train.log import Progress


def finetune(
    dataset: str | Path | Sequence[str | Path],
    model: str | Path | None = None,
    *,
    models_dir: str | Path | None = None,
    sample_every: int = 100,
    sample_length: int = 100,
    sample_num: int = 1,
    sample_dir: str | Path = "samples",
    told: Callable[[str], None] = print,
    progress: Progress | None = None,
    callbacks: Sequence[Any] = (),
    recipe: str | Path | None = None,
    **options: Any,
) -> LanguageModel:
    """Train `model` (None: the one the run began with, or "tiny") further on a text, and return what came of it.

    dataset: files, folders, patterns of any kind `gpt2lab prepare` reads. options: those of
    `gpt2lab.train.options.FineTuneOptions`, gpt-2-simple's names among them; an unknown one is a `ConfigError` that
    names the nearest. recipe: a TOML file of them, for those that are not given. Every `sample_every` steps (0: never)
    `sample_num` texts of `sample_length` tokens are written to sample_dir/run_name/samples-STEP and passed to `told`.

    Raises `MissingExtraError` without torch, `DataError`, `ConfigError` and `CheckpointError` before training,
    `KeyboardInterrupt` after saving.
    """
    run = prepare_finetune(
        dataset, model, models_dir=models_dir, sample_every=sample_every, sample_length=sample_length,
        sample_num=sample_num, sample_dir=sample_dir, told=told, progress=progress, callbacks=callbacks,
        recipe=recipe, **options,
    )  # fmt: skip
    return LanguageModel.load(run.fit(), threads=run.options.threads)


def prepare_finetune(
    dataset: str | Path | Sequence[str | Path],
    model: str | Path | None,
    *,
    models_dir: str | Path | None,
    sample_every: int,
    sample_length: int,
    sample_num: int,
    sample_dir: str | Path,
    told: Callable[[str], None],
    progress: Progress | None,
    callbacks: Sequence[Any] = (),
    recipe: str | Path | None = None,
    **options: Any,
) -> FineTune:
    """Return what `finetune` would train, before its first step."""
    from gpt2lab.config import from_dict, read_toml
    from gpt2lab.train.options import FineTuneOptions
    from gpt2lab.train.waiting import load_torch

    check_whole("sample_every", sample_every, 0)
    check_whole("sample_length", sample_length, 1)
    check_whole("sample_num", sample_num, 1)
    chosen = from_dict(FineTuneOptions, {**(read_toml(recipe) if recipe is not None else {}), **options})
    load_torch()
    from gpt2lab.train.finetune import FineTune
    from gpt2lab.train.loop import Every

    samples = Samples(Path(sample_dir) / chosen.run_name, number=sample_num, length=sample_length, told=told)
    every = [Every(sample_every, samples)] if sample_every else []
    run = FineTune(
        dataset, model, chosen, models_dir=models_dir, callbacks=[*callbacks, *every], progress=progress
    )  # fmt: skip
    samples.begin(run.trainer, run.base.tokenizer, run.base.generation)
    return run
