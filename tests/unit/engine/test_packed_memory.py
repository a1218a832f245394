"""Weights that another model of the same configuration has packed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpt2lab import _native
from gpt2lab.engine.native import NativeBackend
from random_gpt2 import MODEL, native

PRECISIONS = ("fp32", "bf16", "int8", "int4")
IDS = np.arange(0, 2 * 23, 2, dtype=np.int32)


def over(backend: NativeBackend, packed: npt.NDArray[np.uint8]) -> Any:
    """Return the backend's model over someone else's memory."""
    return _native.Model(
        vocab_size=MODEL.vocab_size,
        n_positions=MODEL.n_positions,
        n_embd=MODEL.n_embd,
        n_layer=MODEL.n_layer,
        n_head=MODEL.n_head,
        n_inner=MODEL.inner,
        max_relative_position=MODEL.max_relative_position,
        activation=MODEL.activation_function,
        layer_norm_epsilon=MODEL.layer_norm_epsilon,
        attention_scale=[MODEL.attention_scale(i) for i in range(MODEL.n_layer)],
        tied=MODEL.tie_word_embeddings,
        precision=backend.precision,
        cache_precision=backend.cache_precision,
        isa=backend._isa,
        threads=1,
        packed=packed,
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_packed_weights_make_the_same_model(precision: str) -> None:
    backend = native(MODEL, precision=precision)
    packed = backend._model.packed.copy()
    packed.flags.writeable = False
    model = over(backend, packed)
    ours = backend.forward([backend.new_cache()], [IDS], all_positions=True)
    theirs = model.forward([model.new_cache()], [IDS], True)
    np.testing.assert_array_equal(np.asarray(theirs).view(np.uint32), ours.view(np.uint32))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("change", [-256, -1, 1, 256])
def test_packed_weights_of_another_size_are_refused(precision: str, change: int) -> None:
    backend = native(MODEL, precision=precision)
    packed = np.zeros(backend._model.packed_bytes + change, np.uint8)
    with pytest.raises(ValueError, match=r"^The packed weights are those of another model.$"):
        over(backend, packed)
