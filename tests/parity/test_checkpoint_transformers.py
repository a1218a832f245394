"""What transformers saves loads here with equal tensors; what we save loads there with equal logits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.checkpoint import Checkpoint, load, load_openai, save_hf
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import GPT2Config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tf_checkpoint"
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "odd": {"vocab_size": 29, "n_positions": 7, "n_embd": 9, "n_layer": 1, "n_head": 3},
    "untied": {"tie_word_embeddings": False},
    "inner": {"n_inner": 20, "activation_function": "gelu", "layer_norm_epsilon": 1e-3},
    "scaled": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True, "activation_function": "relu"},
}


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.utils.logging.enable_progress_bar()


@pytest.fixture(params=list(SHAPES))
def theirs(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(5)
    shape = {"vocab_size": 41, "n_positions": 11, "n_embd": 16, "n_layer": 3, "n_head": 4, **SHAPES[request.param]}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, bos_token_id=0, eos_token_id=0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, which are born constant
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def logits(model: Any) -> np.ndarray:
    ids = torch.arange(model.config.n_positions)[None] % model.config.vocab_size
    with torch.no_grad():
        return np.asarray(model.eval()(ids).logits.numpy())


def check_equal(ours: Checkpoint, theirs: Any) -> None:
    state = theirs.state_dict()
    assert set(ours.tensors) == {n for n in state if n != "lm_head.weight" or not theirs.config.tie_word_embeddings}
    assert all(np.array_equal(values, state[name].numpy()) for name, values in ours.tensors.items())


@pytest.mark.parametrize("limit", ["5GB", "4KB"])
def test_what_transformers_saves_loads_here(theirs: Any, tmp_path: Path, limit: str) -> None:
    theirs.save_pretrained(tmp_path, max_shard_size=limit)
    assert (tmp_path / "model.safetensors").exists() == (limit == "5GB")
    ours = load(tmp_path)
    check_equal(ours, theirs)
    for name in ("n_inner", "activation_function", "scale_attn_weights", "layer_norm_epsilon", "tie_word_embeddings"):
        assert getattr(ours.config, name) == getattr(theirs.config, name)


@pytest.mark.parametrize("old_format", [False, True])
def test_its_pytorch_model_bin_loads_here(theirs: Any, tmp_path: Path, old_format: bool) -> None:
    theirs.config.save_pretrained(tmp_path)
    state = {**theirs.state_dict(), "transformer.h.0.attn.bias": torch.ones(1, 1, 11, 11, dtype=torch.uint8)}
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not old_format)
    check_equal(load(tmp_path), theirs)


def test_a_bare_gpt2model_loads_here(theirs: Any, tmp_path: Path) -> None:
    theirs.transformer.save_pretrained(tmp_path)
    if theirs.config.tie_word_embeddings:
        check_equal(load(tmp_path), theirs)
    else:
        with pytest.raises(CheckpointError, match=r"has no tensor 'lm_head.weight' of shape"):
            load(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_we_save_loads_in_transformers(theirs: Any, tmp_path: Path, dtype: str) -> None:
    state = theirs.state_dict()
    config = GPT2Config.from_hf(theirs.config.to_dict())
    tensors = {name: state[name].numpy() for name in config.tensor_shapes()}
    save_hf(tmp_path / "m", config, tensors, dtype=dtype)
    back = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "m", dtype=torch.float32)
    expected = theirs.to(getattr(torch, dtype)).float()  # rounded by torch, as we round
    assert np.array_equal(logits(back), logits(expected))
    assert back.config.to_dict()["n_inner"] == theirs.config.n_inner


def test_a_head_that_differs_from_its_tie_is_used_as_transformers_does(tmp_path: Path) -> None:
    shape = GPT2Config(vocab_size=23, n_positions=5, n_embd=8, n_layer=1, n_head=2, tie_word_embeddings=False)
    rng = np.random.default_rng(0)
    tensors = {n: rng.normal(size=s).astype(np.float32) for n, s in shape.tensor_shapes().items()}
    save_hf(tmp_path / "m", shape, tensors)
    config = tmp_path / "m" / "config.json"
    config.write_text(config.read_text().replace('"tie_word_embeddings": false', '"tie_word_embeddings": true'))
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "m")
    used = load(tmp_path / "m").tensors.get("lm_head.weight")
    assert used is not None
    assert np.array_equal(used, theirs.lm_head.weight.detach().numpy())


def test_the_checkpoint_of_real_tensorflow_equals_transformers(tmp_path: Path) -> None:
    """The numbers are taken from the TensorFlow files by their documented offsets, not through our reader."""
    ours = load_openai(FIXTURE)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config.from_dict(ours.config.to_hf()))
    raw = np.fromfile(FIXTURE / "model.ckpt.data-00000-of-00001", dtype="<f4")
    state = {name: torch.from_numpy(values) for name, values in openai_order(raw, ours.config)}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    theirs.load_state_dict(state)
    back = transformers.GPT2LMHeadModel.from_pretrained(
        save_hf(tmp_path / "m", ours.config, ours.tensors, ours.tokenizer)
    )
    assert np.array_equal(logits(back), logits(theirs))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    assert ours.tokenizer is not None
    assert tokenizer.encode("the there, naïve") == ours.tokenizer.encode("the there, naïve")


def openai_order(raw: np.ndarray, config: GPT2Config) -> Iterator[tuple[str, np.ndarray]]:
    """TensorFlow stores variables one behind the other, in alphabetical order of their names."""
    c, f = config.n_embd, config.inner
    linear = [("attn/c_attn", c, 3 * c), ("attn/c_proj", c, c), ("mlp/c_fc", c, f), ("mlp/c_proj", f, c)]
    names: dict[str, tuple[str, tuple[int, ...]]] = {
        "model/wpe": ("wpe.weight", (config.n_positions, c)),
        "model/wte": ("wte.weight", (config.vocab_size, c)),
        "model/ln_f/b": ("ln_f.bias", (c,)),
        "model/ln_f/g": ("ln_f.weight", (c,)),
    }
    for i in range(config.n_layer):
        for norm in ("ln_1", "ln_2"):
            names[f"model/h{i}/{norm}/b"] = (f"h.{i}.{norm}.bias", (c,))
            names[f"model/h{i}/{norm}/g"] = (f"h.{i}.{norm}.weight", (c,))
        for path, rows, columns in linear:
            stem = f"h.{i}.{path.replace('/', '.')}"
            names[f"model/h{i}/{path}/b"] = (f"{stem}.bias", (columns,))
            names[f"model/h{i}/{path}/w"] = (f"{stem}.weight", (rows, columns))
    start = 0
    for _, (name, shape) in sorted(names.items()):
        size = int(np.prod(shape))
        yield f"transformer.{name}", raw[start : start + size].reshape(shape)
        start += size
    assert start == len(raw)
