"""Which neurons fire at a token of a text, and which next tokens they speak for or against (engine/neurons.py)."""

from __future__ import annotations

import numpy as np

from gpt2lab.engine.inside import traced
from gpt2lab.engine.neurons import Neuron, Tensors, fired
from gpt2lab.engine.protocol import Ids
from gpt2lab.errors import RequestError
from gpt2lab.lm.model import LanguageModel


def neurons(lm: LanguageModel, text: str, *, layer: int, at: int = -1, count: int = 8, top: int = 5) -> list[Neuron]:
    """Return the `count` neurons of block `layer` (from 0) that fire most at token `at` of a text of one window.

    Tokens are counted as `LanguageModel.inspect` does: 0 is the one that begins the text. `top` next tokens are said of
    each that it makes likelier, and as many that it makes less likely. Raises `RequestError`.
    """
    if lm.tokenizer is None:
        raise RequestError(f"{lm.source} has no tokenizer; looking into a text needs one.")
    ids = np.asarray([lm.bos_id(), *lm.tokenizer.encode(text)], np.int32)
    trace = traced(lm.backend, up_to(ids, at))
    return fired(lm.config, weights_of(lm), trace, layer, count=count, top=top)


def up_to(ids: Ids, at: int) -> Ids:
    """Return the tokens up to number `at`, which may count from the end; raises `RequestError` where there is none."""
    if isinstance(at, bool) or not isinstance(at, int) or not -len(ids) <= at < len(ids):
        raise RequestError(f"at = {at!r} must be a whole number from 0 to {len(ids) - 1}, a token of the text.")
    return ids[: at % len(ids) + 1]


def weights_of(lm: LanguageModel) -> Tensors:
    """Return the checkpoint's weights; a model that was made of its engine alone has none: a `RequestError`."""
    if lm.tensors is None:
        raise RequestError("Neurons are looked at in a model's weights, and here is its engine alone; load the model.")
    return lm.tensors
