from __future__ import annotations

import dataclasses
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.checkpoint import ggml_types
from gpt2lab.checkpoint.gguf import gguf_name, load_gguf, save_gguf
from gpt2lab.checkpoint.gguf_file import GGUFFile, write_gguf
from gpt2lab.checkpoint.openai import load_openai
from gpt2lab.checkpoint.tensors import Checkpoint
from gpt2lab.errors import CheckpointError, MissingExtraError
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer

WIDE = GPT2Config(vocab_size=19, n_positions=7, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)


def checkpoint(config: GPT2Config, tokenizer: Tokenizer | None = None) -> Checkpoint:
    rng = np.random.default_rng(3)
    tensors = {n: rng.normal(size=s).astype(np.float32) for n, s in config.tensor_shapes().items()}
    return Checkpoint(config, tensors, tokenizer)


def kinds(path: Path) -> dict[str, int]:
    return {name: info.kind for name, info in GGUFFile(path).tensors.items()}


@pytest.mark.parametrize("tied", [True, False])
def test_f32_comes_back_bit_for_bit(tmp_path: Path, tied: bool) -> None:
    config = dataclasses.replace(WIDE, n_inner=40, layer_norm_epsilon=3e-6, tie_word_embeddings=tied, pad_token_id=3)
    written = checkpoint(config)
    loaded = load_gguf(save_gguf(tmp_path / "m.gguf", written))
    assert loaded.config == config
    assert list(loaded.tensors) == list(config.tensor_shapes())
    assert all(np.array_equal(loaded.tensors[n], written.tensors[n]) for n in written.tensors)
    assert all(loaded.tensors[n].flags.c_contiguous for n in written.tensors)
    assert loaded.tokenizer is None
    assert loaded.source == f"GGUF file {tmp_path / 'm.gguf'} (f32)"


@pytest.mark.parametrize(("dtype", "error"), [("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 0.01), ("q4_0", 0.14)])
def test_rounding_stays_within_its_step(tmp_path: Path, dtype: str, error: float) -> None:
    written = checkpoint(WIDE)
    loaded = load_gguf(save_gguf(tmp_path / "m.gguf", written, dtype=dtype))
    for name, values in written.tensors.items():
        assert np.abs(loaded.tensors[name] - values).max() <= error * np.abs(values).max()


def test_what_is_written_in_which_type(tmp_path: Path) -> None:
    found = kinds(save_gguf(tmp_path / "m.gguf", checkpoint(WIDE), dtype="q4_0"))
    assert found["blk.0.attn_qkv.weight"] == found["blk.1.ffn_down.weight"] == ggml_types.Q4_0
    assert found["token_embd.weight"] == ggml_types.Q8_0
    assert found["position_embd.weight"] == found["blk.0.attn_qkv.bias"] == ggml_types.F32
    narrow = dataclasses.replace(WIDE, n_embd=12)
    found = kinds(save_gguf(tmp_path / "n.gguf", checkpoint(narrow), dtype="q8_0"))
    assert found["token_embd.weight"] == found["blk.0.attn_qkv.weight"] == ggml_types.F16


def test_linear_weights_are_transposed(tmp_path: Path) -> None:
    written = checkpoint(WIDE)
    file = GGUFFile(save_gguf(tmp_path / "m.gguf", written))
    assert file.tensors["blk.0.ffn_up.weight"].shape == (128, 32)
    stored = file.data("blk.0.ffn_up.weight").view("<f4").reshape(128, 32)
    assert np.array_equal(stored, written.tensors["transformer.h.0.mlp.c_fc.weight"].T)
    assert file.tensors["token_embd.weight"].shape == (19, 32)


def test_names() -> None:
    assert gguf_name("transformer.h.10.attn.c_proj.bias") == "blk.10.attn_output.bias"
    assert gguf_name("transformer.ln_f.weight") == "output_norm.weight"
    assert gguf_name("lm_head.weight") == "output.weight"


def test_the_tokenizer_travels_along(tmp_path: Path, tf_folder: Path) -> None:
    source = load_openai(tf_folder)
    assert source.tokenizer is not None
    path = save_gguf(tmp_path / "m.gguf", source)
    metadata = GGUFFile(path).metadata
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    assert metadata["tokenizer.ggml.pre"] == "gpt-2"
    assert metadata["tokenizer.ggml.tokens"][256:259] == ["th", "the", "Ġthe"]
    assert metadata["tokenizer.ggml.token_type"] == [1] * 266 + [3]
    assert metadata["tokenizer.ggml.merges"][:2] == ["t h", "th e"]
    assert metadata["tokenizer.ggml.eos_token_id"] == 266
    loaded = load_gguf(path)
    assert loaded.tokenizer is not None
    text = "the theatre, naïve 字 <|endoftext|>"
    assert loaded.tokenizer.encode(text) == source.tokenizer.encode(text)
    assert loaded.tokenizer.encode(text, allowed_special="all") == source.tokenizer.encode(text, allowed_special="all")
    assert dict(loaded.tokenizer.special_tokens) == {"<|endoftext|>": 266}


def test_ids_without_a_token_get_a_placeholder(tmp_path: Path, tf_folder: Path) -> None:
    tokenizer = load_openai(tf_folder).tokenizer
    padded = checkpoint(dataclasses.replace(WIDE, vocab_size=300), tokenizer)
    path = save_gguf(tmp_path / "m.gguf", padded)
    metadata = GGUFFile(path).metadata
    assert metadata["tokenizer.ggml.tokens"][299] == "[PAD299]"
    assert metadata["tokenizer.ggml.token_type"][267:] == [5] * 33
    loaded = load_gguf(path)
    assert loaded.config.vocab_size == 300
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.vocab_size == 267
    with pytest.raises(CheckpointError, match=r"Token '.*' has id 19, but the model knows 19 ids only"):
        save_gguf(tmp_path / "n.gguf", checkpoint(WIDE, tokenizer))
    assert not (tmp_path / "n.gguf").exists()


# --- what is wrong is said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation_function": "relu"}, "cannot say activation_function = 'relu'"),
        ({"scale_attn_weights": False}, "cannot say scale_attn_weights = False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "cannot say scale_attn_by_inverse_layer_idx = True"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        save_gguf(tmp_path / "m.gguf", checkpoint(dataclasses.replace(WIDE, **change)))


def test_saving_what_is_impossible(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    with pytest.raises(CheckpointError, match=r"dtype = 'q8' is not one of f32, f16, bf16, q8_0, q4_0"):
        save_gguf(path, checkpoint(WIDE), dtype="q8")
    wrong = checkpoint(WIDE)
    tensors = {**wrong.tensors, "transformer.wpe.weight": np.zeros((8, 32), np.float32)}
    with pytest.raises(CheckpointError, match=r"'transformer.wpe.weight' has shape \(8, 32\)"):
        save_gguf(path, Checkpoint(WIDE, tensors))
    assert list(tmp_path.iterdir()) == []


def test_every_cut_and_many_damages_are_noticed(tmp_path: Path) -> None:
    path = save_gguf(tmp_path / "m.gguf", checkpoint(WIDE))
    good = path.read_bytes()
    for length in [*range(0, 3000, 13), len(good) // 2, len(good) - 1 - 3 * 32]:
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError) as error:
            load_gguf(path)
        assert str(path) in str(error.value)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, 2500, 300):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xA5]) + good[place + 1 :])
        try:
            load_gguf(path)
        except (CheckpointError, MissingExtraError):
            continue


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    with pytest.raises(CheckpointError, match="does not exist"):
        load_gguf(path)
    with pytest.raises(CheckpointError, match="is a folder, not a GGUF file"):
        load_gguf(tmp_path)
    for content, words in [
        (b"", "is empty"),
        (b"ggml", "is not a GGUF file"),
        (b"<html></html>", "is a web page"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), r"GGUF version 1 \(2 and 3 can be read\)"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "it is big-endian"),
        (b"GGUF\3", "its header is cut short"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 99), "a text reaches beyond its end"),
        (b"GGUF" + struct.pack("<IQQQcI", 3, 0, 1, 1, b"k", 77), "metadata of the unknown type 77"),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"k", 9, 4, 99), "a list reaches beyond its end"),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"k", 9, 9, 0), "a list of the unknown type 9"),
        (b"GGUF" + struct.pack("<IQQQcI", 3, 1, 0, 1, b"t", 9), "'t' has 9 dimensions"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            load_gguf(path)


def made(path: Path, metadata: Mapping[str, object], infos: Mapping[str, tuple[tuple[int, ...], int]]) -> Path:
    with path.open("wb") as f:
        sizes = [ggml_types.nbytes(kind, shape) for shape, kind in infos.values()]
        write_gguf(f, metadata, infos, [np.zeros(n, np.uint8) for n in sizes])
    return path


def test_models_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    embedding = {"token_embd.weight": ((3, 4), 0)}
    with pytest.raises(CheckpointError, match=r"architecture 'llama'; only 'gpt2' can be loaded"):
        load_gguf(made(path, {"general.architecture": "llama"}, {}))
    with pytest.raises(CheckpointError, match=r"has no matrix token_embd.weight"):
        load_gguf(made(path, {"general.architecture": "gpt2"}, {}))
    with pytest.raises(CheckpointError, match=r"has no metadata gpt2.embedding_length"):
        load_gguf(made(path, {"general.architecture": "gpt2"}, embedding))
    sizes = {"embedding_length": 4, "context_length": 5, "block_count": 1, "attention.head_count": 3}
    metadata = {"general.architecture": "gpt2", **{f"gpt2.{k}": v for k, v in sizes.items()}}
    metadata["gpt2.attention.layer_norm_epsilon"] = 1e-5
    with pytest.raises(CheckpointError, match=r"impossible metadata: n_embd = 4 must be a multiple of n_head = 3"):
        load_gguf(made(path, metadata, embedding))
    metadata["gpt2.attention.head_count"] = 2
    with pytest.raises(CheckpointError, match=r"m.gguf has no tensor 'transformer.wpe.weight' of shape \(5, 4\)"):
        load_gguf(made(path, metadata, embedding))
    with pytest.raises(CheckpointError, match=r"general.alignment = 0"):
        load_gguf(made(path, {**metadata, "general.alignment": 0}, embedding))
    with pytest.raises(CheckpointError, match=r"rows of 3 weights do not fill whole blocks of 32"):
        made(path, metadata, {"x": ((3, 3), ggml_types.Q8_0)})


def test_a_tokenizer_of_another_kind_is_left_out_and_a_damaged_one_refused(tmp_path: Path, tf_folder: Path) -> None:
    path = save_gguf(tmp_path / "m.gguf", load_openai(tf_folder))
    file = GGUFFile(path)
    infos = {name: (info.shape, info.kind) for name, info in file.tensors.items()}

    def rewritten(**change: object) -> Path:
        metadata = {**file.metadata, **{f"tokenizer.ggml.{k}": v for k, v in change.items()}}
        with (tmp_path / "n.gguf").open("wb") as f:
            write_gguf(f, metadata, infos, [file.data(name) for name in infos])
        return tmp_path / "n.gguf"

    assert load_gguf(rewritten(model="bert")).tokenizer is None
    assert load_gguf(rewritten(pre="llama-bpe")).tokenizer is None
    with pytest.raises(CheckpointError, match="has 267 tokens but 2 token types"):
        load_gguf(rewritten(token_type=[1, 1]))
    with pytest.raises(CheckpointError, match="has a merge that is not two tokens"):
        load_gguf(rewritten(merges=["a b c"]))


def test_metadata_of_every_type(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    values = [
        (0, "B", 7),
        (1, "b", -7),
        (2, "H", 9),
        (3, "h", -9),
        (10, "Q", 2**40),
        (11, "q", -(2**40)),
        (12, "d", 0.1),
    ]
    content = b"GGUF" + struct.pack("<IQQ", 2, 0, len(values) + 1)
    for kind, code, value in values:
        content += struct.pack("<QcI", 1, code.encode(), kind) + struct.pack("<" + code, value)
    content += struct.pack("<QcIIQ3h", 1, b"l", 9, 3, 3, 1, -2, 3)
    path.write_bytes(content)
    assert GGUFFile(path).metadata == {**{code: value for _, code, value in values}, "l": [1, -2, 3]}


# --- ggml's types


def test_quantised_blocks_as_ggml_writes_them() -> None:
    values = np.linspace(-127, 127, 32, dtype=np.float32)
    block = ggml_types.encode(values, ggml_types.Q8_0)
    assert block[:2].view("<f2")[0] == 1
    assert block[2:].view(np.int8).tolist()[:3] == [-127, -119, -111]
    block = ggml_types.encode(np.array([8, -8, *([1] * 30)], np.float32), ggml_types.Q4_0)
    assert block[:2].view("<f2")[0] == -1  # the first of the two largest sets the sign
    assert block[2] == 0 | 7 << 4
    for kind in (ggml_types.Q8_0, ggml_types.Q4_0):
        assert not ggml_types.decode(ggml_types.encode(np.zeros(32, np.float32), kind), kind, (32,)).any()


def test_other_types_need_the_gguf_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"Reading this kind of quantised GGUF file needs .*gpt2lab\[gguf\]"):
        ggml_types.nbytes(14, (256,))


def test_an_unknown_type_is_refused() -> None:
    pytest.importorskip("gguf")
    with pytest.raises(CheckpointError, match="tensors of ggml type 999 cannot be read"):
        ggml_types.nbytes(999, (32,))
