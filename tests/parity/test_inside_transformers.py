"""Attention maps and the logit lens against transformers' own attentions and hidden states, in both backends."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine.inside import inside_pieces
from gpt2lab.engine.protocol import Backend
from gpt2lab.engine.score import drained
from gpt2lab.model.config import GPT2Config
from random_gpt2 import CONFIGS, native, transformers_model, weights_of

torch = pytest.importorskip("torch", reason="transformers needs torch")
pytest.importorskip("transformers", reason="the reference implementation is not installed")

from gpt2lab.engine.torch_backend import TorchBackend  # noqa: E402

SOME = dict(list(CONFIGS.items())[::3])


@pytest.mark.parametrize("kind", ["native", "torch"])
@pytest.mark.parametrize("config", SOME.values(), ids=SOME.keys())
def test_every_head_and_every_layer_equal_transformers(config: GPT2Config, kind: str) -> None:
    weights = weights_of(config)
    backend: Backend = native(config) if kind == "native" else TorchBackend(config, weights, device="cpu")
    ids = np.random.default_rng(5).integers(config.vocab_size, size=config.n_positions).astype(np.int32)
    inside = drained(inside_pieces(backend, ids, top=3))

    model = transformers_model(config, weights)
    streams = []
    for block in model.transformer.h:
        block.register_forward_pre_hook(lambda _, given: streams.append(given[0]))
    model.transformer.ln_f.register_forward_pre_hook(lambda _, given: streams.append(given[0]))
    with torch.no_grad():
        out = model(torch.from_numpy(ids.astype(np.int64))[None], output_attentions=True)
        assert len(streams) == config.n_layer + 1
        logits = [model.lm_head(model.transformer.ln_f(stream))[0] for stream in tuple(streams)]  # the hook adds more
    for layer, maps in enumerate(out.attentions):
        np.testing.assert_allclose(inside.attentions[layer], maps[0].numpy(), atol=1e-5)
    for layer, rows in enumerate(logits):
        logprobs = torch.log_softmax(rows.double(), dim=-1).numpy()
        following = logprobs[np.arange(len(ids) - 1), ids[1:]]
        np.testing.assert_allclose(inside.logprobs[layer, :-1], following, atol=2e-4)
        np.testing.assert_allclose(inside.top_logprobs[layer], -np.sort(-logprobs, axis=-1)[:, :3], atol=2e-4)
        np.testing.assert_allclose(inside.entropies[layer], -(np.exp(logprobs) * logprobs).sum(-1), atol=1e-3)
        assert np.isnan(inside.logprobs[layer, -1])
        assert inside.ranks[layer, -1] == -1
