from __future__ import annotations

import dataclasses
import json
import mmap
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.checkpoint.hf import load_hf, save_hf
from gpt2lab.checkpoint.safetensors import read_safetensors, write_safetensors
from gpt2lab.checkpoint.tensors import bfloat16_to_float32, float32_to_bfloat16, float32_to_float16
from gpt2lab.errors import CheckpointError, DataError, MissingExtraError

WTE, HEAD = "transformer.wte.weight", "lm_head.weight"


def write(path: Path, tensors: dict[str, np.ndarray], dtype: str = "float32") -> None:
    with path.open("wb") as f:
        write_safetensors(f, {n: t.shape for n, t in tensors.items()}, tensors.items(), dtype)


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    return save_hf(tmp_path / "model", model.config, model.tensors)


def rewritten(folder: Path, tensors: dict[str, np.ndarray]) -> Path:
    write(folder / "model.safetensors", tensors)
    return folder


def test_what_is_saved_is_loaded(model: Any, folder: Path) -> None:
    loaded = load_hf(folder)
    assert loaded.config == model.config
    assert list(loaded.tensors) == list(model.config.tensor_shapes())
    assert all(np.array_equal(loaded.tensors[n], model.tensors[n]) for n in model.tensors)
    assert loaded.path == folder
    assert loaded.source == f"Hugging Face folder {folder} (model.safetensors)"
    assert loaded.tokenizer is None
    assert loaded.generation == {"bos_token_id": 50256, "eos_token_id": 50256}


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 2**-11), ("bfloat16", 2**-8)])
def test_every_dtype_is_rounded_to_nearest(model: Any, tmp_path: Path, dtype: str, error: float) -> None:
    loaded = load_hf(save_hf(tmp_path / "m", model.config, model.tensors, dtype=dtype))
    for name, values in model.tensors.items():
        back = loaded.tensors[name]
        assert back.dtype == np.float32
        assert back.flags.c_contiguous
        assert np.all(np.abs(back - values) <= error * np.abs(values) + 1e-7)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["torch_dtype"] == dtype


def test_float64_and_float16_files_are_read_and_masks_of_any_type_ignored(model: Any, folder: Path) -> None:
    header, blob = {}, b""
    for i, (name, values) in enumerate(model.tensors.items()):
        raw = values.astype("<f8" if i % 2 else "<f2")
        header[name] = {
            "dtype": "F64" if i % 2 else "F16",
            "shape": list(values.shape),
            "data_offsets": [len(blob), len(blob) + raw.nbytes],
        }
        blob += raw.tobytes()
    header["h.1.attn.bias"] = {"dtype": "BOOL", "shape": [1], "data_offsets": [len(blob), len(blob) + 1]}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + blob + b"1"
    )  # nothing is aligned
    loaded = load_hf(folder)
    for i, (name, values) in enumerate(model.tensors.items()):
        assert np.array_equal(loaded.tensors[name], values if i % 2 else values.astype(np.float16).astype(np.float32))


def test_writing_to_an_array_never_reaches_the_file(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    load_hf(folder).tensors[WTE][:] = 0
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_file_too_large_for_private_pages_is_mapped_read_only(
    model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mmap.mmap

    def refusing(file: int, length: int, *, access: int) -> mmap.mmap:
        if access == mmap.ACCESS_COPY:
            raise OSError("Cannot allocate memory")
        return real(file, length, access=access)

    monkeypatch.setattr("mmap.mmap", refusing)
    values = load_hf(folder).tensors[WTE]
    assert np.array_equal(values, model.tensors[WTE])
    assert not values.flags.writeable


def test_names_without_prefix_and_causal_masks_of_old_files(model: Any, folder: Path) -> None:
    bare = {name.removeprefix("transformer."): t for name, t in model.tensors.items()}
    bare["h.0.attn.bias"] = np.ones((1, 1, 7, 7), np.float32)
    bare["h.1.attn.masked_bias"] = np.ones((), np.float32)
    loaded = load_hf(rewritten(folder, bare))
    assert np.array_equal(loaded.tensors[WTE], model.tensors[WTE])
    assert len(loaded.tensors) == len(model.tensors)


def test_a_tied_head_that_is_stored_too(model: Any, folder: Path) -> None:
    loaded = load_hf(rewritten(folder, {**model.tensors, HEAD: model.tensors[WTE]}))
    assert loaded.config.tie_word_embeddings
    assert HEAD not in loaded.tensors


def test_a_tied_head_that_differs_is_untied_as_in_transformers(model: Any, folder: Path) -> None:
    loaded = load_hf(rewritten(folder, {**model.tensors, HEAD: model.tensors[WTE] + 1}))
    assert not loaded.config.tie_word_embeddings
    assert np.array_equal(loaded.tensors[HEAD], model.tensors[WTE] + 1)


def test_only_the_head_of_a_tied_pair_is_stored(model: Any, folder: Path) -> None:
    tensors = {HEAD if name == WTE else name: t for name, t in model.tensors.items()}
    loaded = load_hf(rewritten(folder, tensors))
    assert loaded.config.tie_word_embeddings
    assert np.array_equal(loaded.tensors[WTE], model.tensors[WTE])


def test_an_untied_head(untied: Any, tmp_path: Path) -> None:
    loaded = load_hf(save_hf(tmp_path / "m", untied.config, untied.tensors, generation={"max_length": 9}))
    assert np.array_equal(loaded.tensors[HEAD], untied.tensors[HEAD])
    assert loaded.generation == {"bos_token_id": 0, "eos_token_id": 1, "max_length": 9}


def test_shards(model: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = list(model.tensors)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, held in parts.items():
        write(folder / file, {n: model.tensors[n] for n in held})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {n: f for f, held in parts.items() for n in held}}))
    loaded = load_hf(folder)
    assert all(np.array_equal(loaded.tensors[n], model.tensors[n]) for n in names)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lists model-00002-of-00002.safetensors, which is not in"):
        load_hf(folder)
    index.write_text(json.dumps({"weight_map": {"nowhere": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(
        CheckpointError, match=r"lists 'nowhere' in model-00001-of-00002.safetensors, which does not hold"
    ):
        load_hf(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../x", "b": "/etc/passwd"}}))
    with pytest.raises(CheckpointError, match=r"lists \.\./x and 1 more, which are not in"):
        load_hf(folder)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map, or a damaged one"):
        load_hf(folder)


# --- what is wrong is said


def test_a_missing_tensor_is_named(model: Any, folder: Path) -> None:
    tensors = {
        n: t for n, t in model.tensors.items() if n not in ("transformer.h.1.ln_2.bias", "transformer.ln_f.bias")
    }
    with pytest.raises(
        CheckpointError,
        match=r"model.safetensors has no tensor 'transformer.h.1.ln_2.bias' of shape \(12,\), and 1 more",
    ):
        load_hf(rewritten(folder, tensors))


def test_a_misshapen_tensor_is_named_with_both_shapes(model: Any, folder: Path) -> None:
    tensors = {**model.tensors, WTE: np.zeros((18, 12), np.float32)}
    with pytest.raises(
        CheckpointError,
        match=r"holds 'transformer.wte.weight' with shape \(18, 12\) where its configuration wants \(19, 12\)",
    ):
        load_hf(rewritten(folder, tensors))


def test_an_unexpected_tensor_is_named(model: Any, folder: Path) -> None:
    tensors = {**model.tensors, "extra.weight": np.zeros((2, 12), np.float32)}
    with pytest.raises(
        CheckpointError,
        match=r"holds 'transformer.extra.weight' of shape \(2, 12\), which its config",
    ):
        load_hf(rewritten(folder, tensors))


def test_a_truncated_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"is cut short: it has [\d,]+ bytes and '.*' ends at byte [\d,]+"):
        load_hf(folder)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"is cut short or not a safetensors file \(50 bytes\)"):
        load_hf(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a git-lfs pointer, not the file"),
        (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "is a web page saved under this name"),
        (b"GGUF\x03\0\0\0" + bytes(99), "is a GGUF file"),
        (b"PK\x03\x04\xff\xff\xff\xff\xff", "is a zip archive"),
        (bytes(64), "is full of zero bytes"),
        ((9).to_bytes(8, "little") + b"{ not so}" + b"x" * 9, "is not a safetensors file, or its header is damaged"),
        ((4).to_bytes(8, "little") + b"[1] ", "is not a safetensors file, or its header is damaged"),
    ],
)
def test_a_foreign_file_is_recognised(folder: Path, content: bytes, words: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_hf(folder)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]},
            r"holds 'x' as I8; only F64, F32, F16, BF16 can be read",
        ),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 4]}, r"gives 'x' 4 bytes, which is not \(4,\) of F32"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "has a damaged header at 'x'"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4]}, "has a damaged header at 'x'"),
        ([], "has a damaged header at 'x'"),
    ],
)
def test_a_damaged_header(tmp_path: Path, entry: object, words: str) -> None:
    text = json.dumps({"x": entry}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(CheckpointError, match=words):
        read_safetensors(path)


def test_damaged_bytes_of_a_header_are_noticed_or_harmless(model: Any, folder: Path) -> None:
    file = folder / "model.safetensors"
    good = file.read_bytes()
    for place in range(0, 1500, 7):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x15]) + good[place + 1 :])
        try:
            loaded = load_hf(folder)
        except CheckpointError as error:
            assert str(folder) in str(error)
        else:
            assert {n: t.shape for n, t in loaded.tensors.items()} == model.config.tensor_shapes()


def test_too_few_tensors_for_the_layers_asked_for(model: Any, folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"n_layer": 2', '"n_layer": 2000000000'))
    with pytest.raises(CheckpointError, match=r"holds 28 tensors, too few for n_layer = 2,000,000,000"):
        load_hf(folder)


def test_configurations_that_are_missing_or_wrong(folder: Path) -> None:
    config = folder / "config.json"
    good = json.loads(config.read_text())
    config.write_text(json.dumps({**good, "model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"config.json: config.json says model_type = 'llama'; only 'gpt2'"):
        load_hf(folder)
    config.write_text(json.dumps({**good, "n_head": 5}))
    with pytest.raises(CheckpointError, match=r"n_embd = 12 must be a multiple of n_head = 5"):
        load_hf(folder)
    config.write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json is not valid JSON"):
        load_hf(folder)
    config.write_text("<html>")
    with pytest.raises(CheckpointError, match=r"config.json is a web page"):
        load_hf(folder)
    config.write_text("[]")
    with pytest.raises(CheckpointError, match=r"config.json must hold a JSON object, not list"):
        load_hf(folder)
    config.unlink()
    with pytest.raises(CheckpointError, match=r"is not a model folder: it has no config.json"):
        load_hf(folder)


def test_weights_that_are_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has a config.json but no weights; one of model.safetensors,"):
        load_hf(folder)


# --- pytorch_model.bin


def only_bin(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def test_a_bin_file_without_torch_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_bin(folder).write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"Reading pytorch_model.bin needs .* pip install 'gpt2lab\[train\]'"):
        load_hf(folder)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_file_can_run_nothing(folder: Path, tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    mark = tmp_path / "touched"
    if zipped:
        torch.save({"x": Bomb(mark)}, only_bin(folder))
    else:
        only_bin(folder).write_bytes(pickle.dumps(Bomb(mark), protocol=2))
    with pytest.raises(CheckpointError, match=r"is damaged, or holds more than tensors, which is never unpickled"):
        load_hf(folder)
    assert not mark.exists()


def test_bin_files_that_are_wrong(model: Any, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    path = only_bin(folder)
    torch.save({n: torch.from_numpy(t) for n, t in model.tensors.items()}, path)
    whole = path.read_bytes()
    assert np.array_equal(load_hf(folder).tensors[WTE], model.tensors[WTE])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="is damaged or cut short"):
        load_hf(folder)
    path.write_bytes(b"<html>moved</html>")
    with pytest.raises(CheckpointError, match="is a web page"):
        load_hf(folder)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="does not hold a state dict"):
        load_hf(folder)


# --- saving


def test_saving_refuses_what_does_not_fit(model: Any, untied: Any, tmp_path: Path) -> None:
    target = tmp_path / "m"
    with pytest.raises(CheckpointError, match=r"dtype = 'float23' is not one of float32, .*Did you mean 'float32'\?"):
        save_hf(target, model.config, model.tensors, dtype="float23")
    with pytest.raises(CheckpointError, match=r"What is to be saved has no tensor 'lm_head.weight'"):
        save_hf(target, dataclasses.replace(model.config, tie_word_embeddings=False), model.tensors)
    with pytest.raises(CheckpointError, match=r"numbers beyond 65504, which float16 cannot hold"):
        save_hf(target, model.config, {**model.tensors, WTE: model.tensors[WTE] * 1e6}, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    lazy = load_hf(save_hf(target, model.config, model.tensors)).tensors
    with pytest.raises(CheckpointError, match="The tensors given do not belong to the configuration"):
        save_hf(tmp_path / "n", untied.config, lazy)


def test_saving_over_a_folder_only_when_asked(model: Any, folder: Path) -> None:
    with pytest.raises(DataError, match="exists already"):
        save_hf(folder, model.config, model.tensors)
    lazy = load_hf(folder).tensors  # even from the very files that are replaced
    save_hf(folder, model.config, lazy, dtype="bfloat16", overwrite=True)
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_bfloat16_rounds_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(1).integers(0, 2**32, 20000, dtype=np.uint32)
    values = np.concatenate(
        [bits.view(np.float32), np.array([0, -0.0, np.inf, -np.inf, np.nan, 1 + 2**-8, 1 + 3 * 2**-8], np.float32)]
    )
    ours = bfloat16_to_float32(float32_to_bfloat16(values))
    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    assert np.array_equal(ours, theirs, equal_nan=True)


def test_float16_keeps_infinities_that_were_there() -> None:
    assert np.isinf(float32_to_float16(np.array([np.inf], np.float32))).all()
