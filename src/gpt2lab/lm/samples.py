"""Texts that a model writes while it is trained: into a folder, and told.

A callback of the training loop; knows how a model becomes a `LanguageModel`, not what it is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.checkpoint import Checkpoint
from gpt2lab.engine.loading import load_backend
from gpt2lab.files import atomic_write
from gpt2lab.lm.model import LanguageModel
from gpt2lab.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.train.loop import Trainer


class Samples:
    """Writes what the model of a run generates into `folder`/samples-STEP, and tells `told` of each text.

    `number` texts, each of `length` tokens behind `prompt` (""; from nothing), in fp32. `begin`
    names the run when there is one.
    """

    def __init__(
        self, folder: Path, *, number: int, length: int, told: Callable[[str], None], prompt: str = ""
    ) -> None:
        self._folder, self._number, self._length, self._told, self._prompt = folder, number, length, told, prompt
        self._run: Trainer | None = None

    def begin(self, run: Trainer, tokenizer: Tokenizer | None, generation: Mapping[str, Any]) -> None:
        """Take the model of `run` from now on, with the tokenizer and the sampling defaults of it."""
        self._run, self._tokenizer, self._generation = run, tokenizer, generation

    def __call__(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Make the samples of `step`; they add nothing to the metrics."""
        assert self._run is not None
        if not self._run.processes.is_main:
            return {}
        loop = self._run.recipe.train
        lm = language_model(self._run, model, self._tokenizer, self._generation)
        texts = lm.generate(
            self._prompt or None, max_new_tokens=self._length, num_return_sequences=self._number,
            seed=loop.seed + step, stop_ids=(), temperature=1.0, top_k=40,
        )  # fmt: skip
        self._folder.mkdir(parents=True, exist_ok=True)
        parts = [
            f"======== SAMPLE {number} ========\n{self._prompt}{text.text}\n" for number, text in enumerate(texts, 1)
        ]
        with atomic_write(self._folder / f"samples-{step}", "w") as f:
            f.write("".join(parts))
        for part in parts:
            self._told(part.removesuffix("\n"))
        return {}


def language_model(
    run: Trainer, model: nn.Module, tokenizer: Tokenizer | None, generation: Mapping[str, Any]
) -> LanguageModel:
    """Return the model of a run as it is now, on this machine's processors in fp32, with a tokenizer and defaults."""
    task = run.task
    plain = task.exported({name: parameter.detach() for name, parameter in model.named_parameters()})
    tensors = {name: tensor.float().cpu().numpy() for name, tensor in plain.items()}
    now = Checkpoint(config=task.config, tensors=tensors, tokenizer=None, source=str(run.folder))
    backend = load_backend(now, threads=run.recipe.train.threads)
    return LanguageModel(backend, tokenizer, generation=generation, source=f"step {run.step} of {run.folder}")
