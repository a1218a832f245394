"""A checkpoint packed once and mapped afterwards: equal to the bit, and packed anew whenever its files are others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab import LanguageModel, checkpoint
from gpt2lab.checkpoint import Checkpoint
from gpt2lab.checkpoint.identity import Identity
from gpt2lab.engine import loading
from gpt2lab.engine.loading import load_native
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.packed import HEADER_BYTES, PackedCache
from gpt2lab.errors import ConfigError

ROOT = Path(__file__).parents[3]
IDS = np.arange(5, dtype=np.int32)


class Watched(Mapping[str, Any]):
    """Tensors that count how often one is read, and do something else at each reading."""

    def __init__(self, tensors: Mapping[str, Any], also: Any = None) -> None:
        self.tensors, self.also, self.read = tensors, also, 0

    def __getitem__(self, name: str) -> Any:
        self.read += 1
        if self.also is not None:
            self.also()
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep small models too, so that the tests need no large one."""
    monkeypatch.setattr(loading, "SMALLEST", 0)


@pytest.fixture
def cache(tmp_path: Path) -> PackedCache:
    return PackedCache(tmp_path / "packed")


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_model, tmp_path / "model"))


def watched(path: Path, also: Any = None) -> Checkpoint:
    found = checkpoint.load(path)
    return replace(found, tensors=Watched(found.tensors, also))


def logits(backend: NativeBackend) -> np.ndarray[Any, Any]:
    return backend.forward([backend.new_cache()], [IDS], all_positions=True)


def loaded(path: Path, cache: PackedCache | None, **options: Any) -> tuple[np.ndarray[Any, Any], bool]:
    """Load a model and return its logits and whether its tensors were read."""
    found = watched(path)
    result = logits(load_native(found, cache=cache, **options))
    assert isinstance(found.tensors, Watched)
    return result, found.tensors.read > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_the_second_start_maps_what_the_first_packed(precision: str, model: Path, cache: PackedCache) -> None:
    expected, _ = loaded(model, None, precision=precision)
    first, read = loaded(model, cache, precision=precision)
    assert read
    second, read = loaded(model, cache, precision=precision)
    assert not read, "the source's weights are not touched"
    assert np.array_equal(first, expected)
    assert np.array_equal(second, expected)
    (entry,) = cache.entries()
    assert (entry.source, entry.precision) == (str(model), precision)


def test_packing_tells_how_far_it_is(model: Path, cache: PackedCache) -> None:
    told: list[tuple[int, int]] = []
    found = checkpoint.load(model)
    load_native(found, cache=cache, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {4 * found.config.parameter_count()}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[0][0] == 0
    assert 0 < told[-1][0] < told[-1][1]
    told.clear()
    load_native(found, cache=cache, progress=lambda done, total: told.append((done, total)))
    assert told == [], "nothing is packed at the second start"


def test_precisions_lie_side_by_side(model: Path, cache: PackedCache) -> None:
    for precision in ("fp32", "int8", "auto"):
        loaded(model, cache, precision=precision)
    assert {entry.precision for entry in cache.entries()} == {"fp32", "int8"}
    assert len(list(cache.folder.glob("*.seen"))) == 1


def other_weights(model: Path) -> None:
    """Give the model other numbers in files of the same size, and the old time of modification."""
    path = model / "model.safetensors"
    before = path.stat()
    found = checkpoint.load(model)
    tensors = {name: array[::-1].copy() for name, array in found.tensors.items()}
    checkpoint.save_hf(model, found.config, tensors, found.tokenizer, overwrite=True)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def test_other_weights_under_the_same_name_are_packed_anew(model: Path, cache: PackedCache) -> None:
    before, _ = loaded(model, cache)
    other_weights(model)
    expected, _ = loaded(model, None)
    assert not np.array_equal(before, expected)
    for again in (False, True):
        after, read = loaded(model, cache)
        assert read != again
        assert np.array_equal(after, expected)


def test_a_copied_or_touched_model_is_known_by_its_content(model: Path, cache: PackedCache, tmp_path: Path) -> None:
    expected, _ = loaded(model, cache)
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    os.utime(model / "model.safetensors", ns=(1, 1))
    for path in (copy, model, copy, model):
        result, read = loaded(path, cache)
        assert not read
        assert np.array_equal(result, expected)
    assert len(cache.entries()) == 1


def test_a_known_signature_spares_reading_the_files(
    model: Path, cache: PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(model, cache)
    monkeypatch.setattr(Identity, "content", lambda _: pytest.fail("all bytes were read"))
    _, read = loaded(model, cache)
    assert not read


def test_settings_that_move_no_weight_share_the_packed_ones(model: Path, cache: PackedCache) -> None:
    loaded(model, cache)
    config = model / "config.json"
    config.write_text(config.read_text().replace('"gelu_new"', '"relu"'))
    expected, _ = loaded(model, None)
    result, read = loaded(model, cache)
    assert not read
    assert np.array_equal(result, expected)


def test_another_shape_of_the_same_bytes_is_another_model(model: Path, cache: PackedCache) -> None:
    loaded(model, cache)
    config = model / "config.json"
    config.write_text(config.read_text().replace('"n_head": 3', '"n_head": 2'))
    _, read = loaded(model, cache)
    assert read
    assert len(cache.entries()) == 2


@pytest.mark.parametrize("version", ["packing_version", "READING_VERSION"])
def test_another_version_of_the_packing_is_another_file(
    version: str, model: Path, cache: PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(model, cache)
    monkeypatch.setattr(loading._native if version == "packing_version" else loading, version, 10**6)
    for again in (False, True):
        _, read = loaded(model, cache)
        assert read != again
    assert len(cache.entries()) == 1, "the old one could serve no longer"


def test_weights_that_change_while_they_are_packed_are_not_kept(model: Path, cache: PackedCache) -> None:
    path = model / "model.safetensors"
    found = watched(model, also=lambda: os.utime(path, ns=(1, 1)))
    load_native(found, cache=cache)
    assert cache.entries() == []


def test_weights_that_changed_since_they_were_opened_are_not_kept(model: Path, cache: PackedCache) -> None:
    expected, _ = loaded(model, None)
    found = checkpoint.load(model)
    other_weights(model)
    assert np.array_equal(logits(load_native(found, cache=cache)), expected), "what was opened is used"
    assert cache.entries() == []
    assert list(cache.folder.glob("*")) == []


def test_weights_whose_files_have_gone_are_still_those_that_were_opened(model: Path, cache: PackedCache) -> None:
    expected, _ = loaded(model, None)
    found = checkpoint.load(model)
    shutil.rmtree(model)
    assert np.array_equal(logits(load_native(found, cache=cache)), expected)
    assert cache.entries() == []


def test_packed_weights_of_another_size_are_packed_anew(model: Path, cache: PackedCache) -> None:
    expected, _ = loaded(model, cache)
    found = checkpoint.load(model)
    assert found.identity is not None
    wanted = loading._wanted(found.config, "fp32", found.identity, cache)
    assert wanted is not None
    cache.store(wanted, np.zeros(4096, np.uint8), "a model")
    for again in (False, True):
        result, read = loaded(model, cache)
        assert read != again
        assert np.array_equal(result, expected)


def test_mistaken_settings_are_told_as_ever(model: Path, cache: PackedCache) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match="threads = 0"):
            load_native(checkpoint.load(model), cache=cache, threads=0)
        with pytest.raises(ConfigError, match="precision = 'int9'"):
            load_native(checkpoint.load(model), cache=cache, precision="int9")
        load_native(checkpoint.load(model), cache=cache)


def test_packed_weights_of_another_model_are_refused_by_the_engine(model: Path) -> None:
    found = checkpoint.load(model)
    with pytest.raises(ValueError, match="another model"):
        NativeBackend(found.config, {}, packed=np.zeros(4096, np.uint8))


def test_every_format_is_packed_once(model: Path, cache: PackedCache, tmp_path: Path) -> None:
    gguf = checkpoint.save_gguf(tmp_path / "model.gguf", checkpoint.load(model), dtype="q8_0")
    for path in (gguf, ROOT / "tests" / "fixtures" / "tf_checkpoint"):
        expected, _ = loaded(path, None)
        for again in (False, True):
            result, read = loaded(path, cache)
            assert read != again
            assert np.array_equal(result, expected)


def test_small_models_are_packed_at_every_start(
    model: Path, cache: PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SMALLEST", checkpoint.load(model).config.parameter_count() + 1)
    for _ in range(2):
        _, read = loaded(model, cache)
        assert read
    assert not cache.folder.exists()


def test_the_embedded_model_counts_as_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert checkpoint.load("tiny").config.parameter_count() < loading.SMALLEST


def test_tensors_that_lie_in_no_file_are_packed_at_every_start(model: Path, cache: PackedCache) -> None:
    found = checkpoint.load(model)
    load_native(Checkpoint(config=found.config, tensors=found.tensors), cache=cache)
    assert not cache.folder.exists()


def test_a_language_model_uses_the_cache_unless_told_otherwise(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "packed"
    expected = LanguageModel.load(model, packed_cache=False).generate("a", max_new_tokens=5, seed=1)
    monkeypatch.setenv("GPT2LAB_CACHE_LIMIT", "0")
    assert LanguageModel.load(model).generate("a", max_new_tokens=5, seed=1) == expected
    assert not folder.exists()
    monkeypatch.delenv("GPT2LAB_CACHE_LIMIT")
    for _ in range(2):
        assert LanguageModel.load(model).generate("a", max_new_tokens=5, seed=1) == expected
    (entry,) = PackedCache(folder).entries()
    assert entry.bytes > HEADER_BYTES
    monkeypatch.setenv("GPT2LAB_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match="GPT2LAB_CACHE_LIMIT=much"):
        LanguageModel.load(model)
