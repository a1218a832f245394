"""What tells weight files apart: their descriptions, stripes of them, all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.checkpoint import Checkpoint, load_hf, load_openai, save_gguf
from gpt2lab.checkpoint.gguf import load_gguf
from gpt2lab.checkpoint.identity import FileState, Identity, sampled

ROOT = Path(__file__).parents[3]
LARGE = 1 << 20  # more than the stripes cover


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(np.random.default_rng(0).bytes(LARGE))
    return path


def overwrite(path: Path, at: int, data: bytes = b"other") -> None:
    """Change bytes in place and give the file its old time of modification back."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock for files ticks every few milliseconds
        with path.open("r+b") as f:
            f.seek(at)
            f.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_same_files_have_the_same_identity(weights: Path) -> None:
    one, two = Identity.of([weights]), Identity.of([weights])
    assert one == two
    assert one.unchanged()
    assert one.signature() == two.signature()
    assert one.content() == two.content()
    assert len(one.signature()) == len(one.content()) == 32


def test_a_link_is_the_file_it_leads_to(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(weights)
    assert Identity.of([tmp_path / "link"]) == Identity.of([weights])


def test_a_copy_is_another_file_with_the_same_content(weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy2(weights, tmp_path / "copy"))
    assert Identity.of([copy]).signature() != Identity.of([weights]).signature()
    assert Identity.of([copy]).content() == Identity.of([weights]).content()


def test_a_touched_file_keeps_its_content(weights: Path) -> None:
    before = Identity.of([weights])
    signature, content = before.signature(), before.content()
    os.utime(weights, ns=(1, 1))
    after = Identity.of([weights])
    assert not before.unchanged()
    assert after.signature() != signature
    assert after.content() == content


def test_other_bytes_in_a_stripe_are_seen_whatever_the_system_says_of_the_file(weights: Path) -> None:
    before = Identity.of([weights])
    signature = before.signature()
    for at in (0, LARGE - 5):
        overwrite(weights, at)
        assert before.signature() != signature, "the same description, other stripes"
        overwrite(weights, at, np.random.default_rng(0).bytes(LARGE)[at : at + 5])
        assert before.signature() == signature


def test_other_bytes_between_the_stripes_are_seen_by_the_time_of_change_and_by_the_content(weights: Path) -> None:
    before = Identity.of([weights])
    signature, content = before.signature(), before.content()
    overwrite(weights, 4096 + 100)
    assert before.signature() == signature, "stripes alone do not see it: this is why the description belongs to it"
    assert Identity.of([weights]).signature() != signature
    assert Identity.of([weights]).content() != content


def test_a_file_that_was_replaced_or_has_gone_is_not_unchanged(weights: Path, tmp_path: Path) -> None:
    identity = Identity.of([weights])
    other = tmp_path / "other"
    shutil.copy2(weights, other)
    other.replace(weights)
    assert not identity.unchanged()
    identity = Identity.of([weights])
    weights.unlink()
    assert not identity.unchanged()
    with pytest.raises(FileNotFoundError):
        Identity.of([weights])


def test_content_depends_on_where_one_file_ends_and_the_next_begins(tmp_path: Path) -> None:
    for name, data in (("a", b"12"), ("b", b"3"), ("c", b"1"), ("d", b"23"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    contents = [Identity.of([tmp_path / n for n in names]).content() for names in ("ab", "cd", "ba", "a")]
    contents.append(Identity.of([tmp_path / "a", tmp_path / "b", tmp_path / "empty"]).content())
    assert len(set(contents)) == 5


def test_content_is_of_every_byte_of_a_file_of_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.checkpoint.identity._PIECE", 1000)
    path = tmp_path / "weights"
    path.write_bytes(bytes(5500))
    known = {Identity.of([path]).content()}
    for at in (0, 999, 1000, 5499):
        overwrite(path, at, b"x")
        known.add(Identity.of([path]).content())
        overwrite(path, at, b"\0")
    assert len(known) == 5


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 64 * 4096])
def test_a_sample_of_few_bytes_is_of_all_of_them(size: int) -> None:
    asked = np.zeros(size, bool)

    def read(start: int, count: int) -> bytes:
        assert 0 <= start <= start + count <= size
        asked[start : start + count] = True
        return bytes(count)

    sampled(size, read)
    assert asked.all()


def test_a_sample_of_many_bytes_is_spread_from_the_first_to_the_last() -> None:
    starts: list[int] = []
    sampled(500_000_000, lambda start, count: (starts.append(start), bytes(count))[1])
    assert len(starts) == 64
    assert (starts[0], starts[-1]) == (0, 500_000_000 - 4096)
    assert max(np.diff(starts)) - min(np.diff(starts)) <= 1


# --- what the readers say


def sharded(model: Path, folder: Path) -> Path:
    """Write a model folder anew with its tensors in two shards."""
    from gpt2lab.checkpoint.safetensors import write_safetensors
    from gpt2lab.files import write_json

    shutil.copytree(model, folder)
    found = load_hf(model)
    names = list(found.tensors)
    where = {name: f"model-{1 + (i > 5)}.safetensors" for i, name in enumerate(names)}
    for shard in sorted(set(where.values())):
        held = [name for name in names if where[name] == shard]
        shapes = {name: found.tensors[name].shape for name in held}
        with (folder / shard).open("wb") as f:
            write_safetensors(f, shapes, ((name, found.tensors[name]) for name in held))
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"weight_map": where})
    return folder


def binary(model: Path, folder: Path) -> Path:
    torch = pytest.importorskip("torch")
    shutil.copytree(model, folder)
    found = load_hf(model)
    torch.save({n: torch.from_numpy(a.copy()) for n, a in found.tensors.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


CASES: dict[str, tuple[Callable[[Path, Path], Checkpoint], list[str]]] = {
    "one file": (lambda model, _: load_hf(model), ["model.safetensors"]),
    "shards": (
        lambda model, tmp: load_hf(sharded(model, tmp / "sharded")),
        ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"],
    ),
    "bin": (lambda model, tmp: load_hf(binary(model, tmp / "bin")), ["pytorch_model.bin"]),
    "gguf": (lambda model, tmp: load_gguf(save_gguf(tmp / "m.gguf", load_hf(model))), ["m.gguf"]),
    "openai": (
        lambda *_: load_openai(ROOT / "tests" / "fixtures" / "tf_checkpoint"),
        ["model.ckpt.index", "model.ckpt.data-00000-of-00001"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_reader_describes_the_files_of_the_weights(case: str, random_model: Path, tmp_path: Path) -> None:
    load, names = CASES[case]
    identity = load(random_model, tmp_path).identity
    assert identity is not None
    assert [Path(file.path).name for file in identity.files] == names
    assert identity.unchanged()
    assert all(file == FileState.of(file.path) for file in identity.files)


def test_a_checkpoint_made_in_memory_has_no_identity(random_model: Path) -> None:
    found = load_hf(random_model)
    assert Checkpoint(config=found.config, tensors=found.tensors).identity is None
