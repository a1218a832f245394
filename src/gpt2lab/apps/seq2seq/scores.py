"""What targets are worth: BLEU or ROUGE of texts beside references, and of a model while it is trained.

The measures are those of gpt2lab.metrics.texts; a callback of the training loop decodes a few held-out sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpt2lab.apps.seq2seq.write import PairModel
from gpt2lab.lm.samples import language_model
from gpt2lab.metrics.texts import ROUGE, bleu, bleu_counts, rouge, sentences

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.apps.seq2seq.task import PairTask
    from gpt2lab.train.loop import Trainer


def bleu_of(given: Sequence[str], right: Sequence[str]) -> float:
    """Return corpus BLEU, 0 to 100, as sacrebleu has it of cased text that is not tokenized. Raises
    `MissingExtraError`."""
    sums: dict[str, float] = {}
    for text, reference in zip(given, right, strict=True):
        for name, value in bleu_counts(text, reference).items():
            sums[name] = sums.get(name, 0.0) + value
    return bleu(sums)


def rouge_of(given: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """Return the means of ROUGE's F-measures, 0 to 100, sentences on lines. Raises `MissingExtraError`."""
    sums = dict.fromkeys(ROUGE, 0.0)
    for text, reference in zip(given, right, strict=True):
        for name, value in rouge("\n".join(sentences(text)), "\n".join(sentences(reference))).items():
            sums[name] += value
    return {name: 100 * value / len(given) for name, value in sums.items()}


class Scores:
    """Decodes the first held-out sources of a run with its model as it is then, and measures what comes."""

    def __init__(self, run: Trainer, task: PairTask) -> None:
        self._run, self._task = run, task

    def __call__(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Return "bleu", or ROUGE's figures, in the process that speaks."""
        if not self._run.processes.is_main:
            return {}
        settings, codec = self._task.settings, self._task.codec
        pairs = self._task.held_out[: settings.score_pairs]
        lm = language_model(self._run, model, codec.tokenizer, self._task.generation())
        model_now = PairModel(lm, codec, settings.beams, settings.length_penalty)
        made = model_now.write([p.source for p in pairs])
        given, right = [written.text for written in made], [p.target for p in pairs]
        found = {"bleu": bleu_of(given, right)} if settings.metric == "bleu" else rouge_of(given, right)
        told = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
        self._run.tell(f"step {step}  {told} of {len(pairs)} held-out pairs, {settings.beams} beams")
        return found
