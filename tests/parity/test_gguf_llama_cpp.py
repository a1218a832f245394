"""GGUF files written here and llama.cpp: in F32 its greedy tokens are those of transformers, and every type loads."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.checkpoint import Checkpoint, load_gguf, save_gguf
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = (
    "Once upon a time there was a model that wrote stories. It read the theatre, the other theories and their thesis, "
    "and then it wrote: naïve café, 12 + 34 = 46, don't we'll they've! "
)
PROMPTS = ("Once upon", "the theatre", "naïve café 字", " two  blanks\n\nand lines", "don't 123 they've", "a")
"""Split and merged alike by llama.cpp and by us."""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter([TEXT]), vocab_size=300)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def theirs(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Any:
    torch.manual_seed(11)
    end = tokenizer.eos_id
    shape = {"vocab_size": tokenizer.vocab_size + 3, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 4}
    config = transformers.GPT2Config(**shape, tie_word_embeddings=request.param, bos_token_id=end, eos_token_id=end)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


@pytest.fixture(scope="module")
def checkpoint(theirs: Any, tokenizer: Tokenizer) -> Checkpoint:
    config = GPT2Config.from_hf(theirs.config.to_dict())
    state = theirs.state_dict()
    return Checkpoint(config, {n: state[n].numpy() for n in config.tensor_shapes()}, tokenizer, path=Path("random"))


def opened(path: Path) -> Any:
    """Open a file with the cache of keys and values in F32 too (type 0), which llama.cpp would round to F16."""
    options = {"n_ctx": 64, "n_threads": 1, "n_threads_batch": 1, "n_batch": 64, "logits_all": True, "verbose": False}
    return llama_cpp.Llama(str(path), **options, type_k=0, type_v=0)


def last_logits(model: Any, ids: list[int]) -> np.ndarray:
    """Return the logits after `ids` and what the model has read before."""
    model.eval(ids)
    return np.array(model.scores[model.n_tokens - 1])


def greedy(theirs: Any, ids: list[int]) -> list[int]:
    """Return transformers' greedy continuation up to where the two best are so near that rounding could decide."""
    out: list[int] = []
    while len(ids) + len(out) < 50:
        with torch.no_grad():
            best = theirs(torch.tensor([ids + out])).logits[0, -1].topk(2)
        if best.values[0] - best.values[1] < 0.01:
            break
        out.append(int(best.indices[0]))
    return out


def test_f32_gives_the_same_greedy_tokens(
    theirs: Any, checkpoint: Checkpoint, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = opened(save_gguf(tmp_path / "m.gguf", checkpoint))
    compared = 0
    for prompt in PROMPTS:
        ids = model.tokenize(prompt.encode(), add_bos=False, special=False)
        assert ids == tokenizer.encode(prompt)
        expected = greedy(theirs, ids)
        model.reset()
        found = [int(np.argmax(last_logits(model, ids)))]
        while len(found) < len(expected):
            found.append(int(np.argmax(last_logits(model, found[-1:]))))
        assert found[: len(expected)] == expected
        compared += len(expected)
    assert compared >= 100
    assert model.token_eos() == tokenizer.eos_id
    assert model.detokenize(tokenizer.encode(PROMPTS[2])) == PROMPTS[2].encode()


@pytest.mark.parametrize(
    ("dtype", "worst"), [("f32", 0.01), ("f16", 0.01), ("bf16", 0.1), ("q8_0", 0.2), ("q4_0", 0.2)]
)
def test_every_type_loads_and_stays_near(
    theirs: Any, checkpoint: Checkpoint, tmp_path: Path, dtype: str, worst: float
) -> None:
    """Against our own reading of the same file, so that only llama.cpp's arithmetic differs (float16 GELU)."""
    path = save_gguf(tmp_path / "m.gguf", checkpoint, dtype=dtype)
    ids = [5, 17, 99, 256, 3]
    tensors = {name: torch.from_numpy(values) for name, values in load_gguf(path).tensors.items()}
    tensors.setdefault("lm_head.weight", tensors["transformer.wte.weight"])
    twin = transformers.GPT2LMHeadModel(theirs.config).eval()
    twin.load_state_dict(tensors)
    with torch.no_grad():
        expected = twin(torch.tensor([ids])).logits[0, -1].numpy()
    difference = np.abs(last_logits(opened(path), ids) - expected).max()
    assert math.isfinite(difference)
    assert difference < worst


def test_gpt2s_own_vocabulary_splits_alike(tmp_path: Path) -> None:
    root = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("GPT2LAB_DATA") or root) / "gpt2_bpe"
    if not folder.is_dir():
        pytest.skip(f"the data folder {folder} is not here (set GPT2LAB_DATA)")
    tokenizer = Tokenizer.from_folder(folder)
    config = GPT2Config(n_positions=64, n_embd=32, n_layer=1, n_head=2)
    rng = np.random.default_rng(0)
    tensors = {n: rng.normal(0, 0.02, s).astype(np.float32) for n, s in config.tensor_shapes().items()}
    path = save_gguf(tmp_path / "m.gguf", Checkpoint(config, tensors, tokenizer), dtype="q8_0")
    model = opened(path)
    for text in (*PROMPTS, TEXT, "  def f(x):\n\t\treturn x**2  \n", "übergroß Ελλάδα 漢字かな 😀!", "<|endoftext|>"):
        ids = tokenizer.encode(text)
        assert model.tokenize(text.encode(), add_bos=False, special=False) == ids
        assert model.detokenize(ids) == text.encode()
    again = load_gguf(path).tokenizer
    assert again is not None
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    assert again.eos_id == tokenizer.eos_id == model.token_eos() == 50256
