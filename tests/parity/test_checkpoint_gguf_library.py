"""GGUF files and the `gguf` package: the same bytes in every type, and what either writes the other reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab.checkpoint import Checkpoint, ggml_types, load_gguf, load_openai, save_gguf
from gpt2lab.checkpoint.gguf import DTYPES, gguf_name
from gpt2lab.model.config import GPT2Config

gguf = pytest.importorskip("gguf")

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tf_checkpoint"
CONFIG = GPT2Config(vocab_size=37, n_positions=9, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)


@pytest.fixture
def checkpoint() -> Checkpoint:
    rng = np.random.default_rng(2)
    return Checkpoint(CONFIG, {n: rng.normal(size=s).astype(np.float32) for n, s in CONFIG.tensor_shapes().items()})


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_every_type_has_the_bytes_of_the_library(dtype: str) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(200, 96)) * np.exp(3 * rng.normal(size=(200, 1)))).astype(np.float32)
    values[3] = 0
    values[4] = np.round(values[4])  # ties
    kind = gguf.GGMLQuantizationType(DTYPES[dtype])
    theirs = gguf.quants.quantize(values, kind)
    ours = ggml_types.encode(values, DTYPES[dtype])
    assert np.array_equal(ours, theirs.reshape(-1).view(np.uint8))
    assert np.array_equal(ggml_types.decode(ours, DTYPES[dtype], values.shape), gguf.quants.dequantize(theirs, kind))


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_the_library_reads_what_we_write(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    path = save_gguf(tmp_path / "m.gguf", checkpoint, dtype=dtype)
    reader = gguf.GGUFReader(path)
    ours = load_gguf(path)
    assert {t.name for t in reader.tensors} == {gguf_name(n) for n in checkpoint.tensors}
    by_name = {gguf_name(n): n for n in checkpoint.tensors}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        name = by_name[tensor.name]
        linear = values.ndim == 2 and ".h." in name
        assert np.array_equal(values.T if linear else values, ours.tensors[name])
    assert reader.get_field("general.architecture").contents() == "gpt2"
    assert reader.get_field("gpt2.context_length").contents() == 9


def test_the_library_reads_our_tokenizer(tmp_path: Path) -> None:
    source = load_openai(FIXTURE)
    reader = gguf.GGUFReader(save_gguf(tmp_path / "m.gguf", source))
    assert source.tokenizer is not None
    assert reader.get_field("tokenizer.ggml.tokens").contents() == list(source.tokenizer.vocab)
    assert reader.get_field("tokenizer.ggml.merges").contents() == [" ".join(m) for m in source.tokenizer.merges]
    assert reader.get_field("tokenizer.ggml.eos_token_id").contents() == 266


@pytest.mark.parametrize("kind", ["F32", "Q4_1", "Q5_0", "Q5_1", "Q6_K", "Q4_K"])
def test_we_read_what_the_library_writes(checkpoint: Checkpoint, tmp_path: Path, kind: str) -> None:
    """Types that we do not write ourselves are turned to float32 by the library, in our layout."""
    quantised = gguf.GGMLQuantizationType[kind]
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(9)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_token_list(["x"] * 37)
    expected = {}
    for name, values in checkpoint.tensors.items():
        linear = values.ndim == 2 and ".h." in name
        stored = np.ascontiguousarray(values.T) if linear else values
        if linear and name.endswith("mlp.c_proj.weight"):  # rows of 256, which every type can hold
            raw = blocks(stored, quantised)
            writer.add_tensor(gguf_name(name), raw, raw_dtype=quantised)
            stored = gguf.quants.dequantize(raw, quantised)
        else:
            writer.add_tensor(gguf_name(name), stored)
        expected[name] = stored.T if linear else stored
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded = load_gguf(path)
    assert loaded.config.layer_norm_epsilon == 1e-5
    assert loaded.config.inner == 256
    for name, values in expected.items():
        assert np.array_equal(loaded.tensors[name], values)
        assert loaded.tensors[name].flags.c_contiguous


def blocks(values: np.ndarray, kind: int) -> np.ndarray:
    """Return bytes of the type: quantised where the library can, random but finite where it can only read."""
    try:
        return np.asarray(gguf.quants.quantize(values, kind))
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        return np.full((len(values), values.shape[1] // block * size), 0x21, dtype=np.uint8)
