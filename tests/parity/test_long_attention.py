"""Local and compressed attention outside training: files, the backend that computes them, and those that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="such models run in torch")

import numpy_gpt2
from gpt2lab import LanguageModel
from gpt2lab.checkpoint import load_hf, save_hf
from gpt2lab.checkpoint.gguf import save_gguf
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.inside import traced
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.score import score_ids
from gpt2lab.engine.torch_backend import TorchBackend
from gpt2lab.errors import CheckpointError, ConfigError, RequestError
from gpt2lab.model.config import GPT2Config
from random_gpt2 import weights_of

CONFIG = GPT2Config(
    vocab_size=97, n_positions=40, n_embd=24, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0,
    attention_layers=("local", "compressed", "local"), attention_block=7,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("long") / "model"
    save_hf(place, CONFIG, weights_of(CONFIG))
    return place


def test_a_checkpoint_carries_them_and_others_refuse_it(folder: Path, tmp_path: Path) -> None:
    loaded = load_hf(folder)
    assert loaded.config == CONFIG
    for name, value in weights_of(CONFIG).items():
        np.testing.assert_array_equal(loaded.tensors[name], value)
    with pytest.raises(CheckpointError, match="A GGUF file cannot say attention_layers = compressed, local"):
        save_gguf(tmp_path / "model.gguf", loaded)
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="gpt2-long"):
        transformers.AutoModelForCausalLM.from_pretrained(folder)


def test_greedy_text_by_the_cache_is_the_twins() -> None:
    weights, prompt = weights_of(CONFIG), [3, 1, 4]
    want = numpy_gpt2.greedy(CONFIG, weights, prompt, 37)
    params = SamplingParams(temperature=0.0, max_new_tokens=37, stop_ids=())
    batch = Batch(TorchBackend(CONFIG, weights, device="cpu"), [Job(np.array(prompt, np.int32), params)])
    assert [token for part in batch for token in part.ids] == want


def test_scores_are_the_twins() -> None:
    weights, ids = weights_of(CONFIG), np.random.default_rng(0).integers(0, 97, 40).astype(np.int32)
    logits = numpy_gpt2.logits(CONFIG, weights, ids.tolist())
    wanted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    scored = score_ids(TorchBackend(CONFIG, weights, device="cpu"), ids, context=None)
    np.testing.assert_allclose(scored.logprobs[1:], wanted[np.arange(39), ids[1:]], atol=1e-4)


def test_a_model_is_computed_by_torch_without_being_asked(folder: Path) -> None:
    lm = LanguageModel.load(folder, precision="auto")
    assert lm.backend.description == "torch fp32, cpu"
    (one,) = lm.generate(token_ids=[3, 1, 4], max_new_tokens=5, temperature=0.0)
    assert one.token_ids == numpy_gpt2.greedy(CONFIG, weights_of(CONFIG), [3, 1, 4], 5)
    with pytest.raises(ConfigError, match=r"precision = 'int4' is the native engine's, .* use 'fp32' or 'auto'\."):
        LanguageModel.load(folder, precision="int4")
    with pytest.raises(ConfigError, match="precision = 'fp8' is not one of"):
        LanguageModel.load(folder, precision="fp8")


def test_what_does_not_compute_them_says_so() -> None:
    weights = weights_of(CONFIG)
    with pytest.raises(ConfigError, match=r"The native engine does not compute local or compressed attention, .*Torch"):
        NativeBackend(CONFIG, weights)
    with pytest.raises(RequestError, match="layers of local or compressed attention, of which there are no maps"):
        traced(TorchBackend(CONFIG, weights, device="cpu"), np.arange(5, dtype=np.int32))
