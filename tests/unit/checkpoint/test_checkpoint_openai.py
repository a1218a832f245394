from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.checkpoint.crc32c import crc32c, masked
from gpt2lab.checkpoint.openai import checkpoint_prefix, load_openai, read_sizes, variable_name
from gpt2lab.checkpoint.sstable import read_sstable, unsnappy
from gpt2lab.checkpoint.tf_bundle import Bundle
from gpt2lab.errors import CheckpointError

DATA, INDEX = "model.ckpt.data-00000-of-00001", "model.ckpt.index"


@pytest.fixture
def folder(tf_folder: Path, tmp_path: Path) -> Path:
    """A copy of what TensorFlow wrote, to be damaged."""
    return Path(shutil.copytree(tf_folder, tmp_path / "124M"))


# --- what TensorFlow itself wrote


def test_the_checkpoint_of_real_tensorflow_loads(tf_folder: Path) -> None:
    loaded = load_openai(tf_folder)
    assert (loaded.config.vocab_size, loaded.config.n_positions, loaded.config.n_embd) == (267, 16, 12)
    assert (loaded.config.n_layer, loaded.config.n_head, loaded.config.inner) == (2, 3, 48)
    assert loaded.config.tie_word_embeddings
    assert list(loaded.tensors) == list(loaded.config.tensor_shapes())
    for name, shape in loaded.config.tensor_shapes().items():
        values = loaded.tensors[name]
        assert values.shape == shape
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        if values.size > 400:  # drawn with a standard deviation of 0.2 by the script beside the folder
            assert abs(values.std() - 0.2) < 0.02
    assert loaded.source == f"OpenAI TensorFlow checkpoint {tf_folder / 'model.ckpt'}"


def test_its_tokenizer_gives_the_end_of_text(tf_folder: Path) -> None:
    loaded = load_openai(tf_folder)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.encode("the there") == [257, 258, 261]
    assert loaded.config.eos_token_id == loaded.config.bos_token_id == 266


def test_the_values_are_those_of_the_script(tf_folder: Path) -> None:
    """The script draws with NumPy's generator and seed 0; the first two variables are wpe and wte."""
    rng = np.random.default_rng(0)
    tensors = load_openai(tf_folder).tensors
    assert np.array_equal(tensors["transformer.wpe.weight"], rng.normal(0, 0.2, (16, 12)).astype(np.float32))
    assert np.array_equal(tensors["transformer.wte.weight"], rng.normal(0, 0.2, (267, 12)).astype(np.float32))
    assert np.array_equal(tensors["transformer.h.0.ln_1.weight"], rng.normal(1, 0.2, 12).astype(np.float32))


def test_no_tensorflow_is_imported(tf_folder: Path) -> None:
    program = (
        "import sys; from gpt2lab.checkpoint import load;"
        f"assert len(load({str(tf_folder)!r}).tensors['transformer.wte.weight']) == 267;"
        "print([m for m in ('tensorflow', 'torch', 'gguf', 'huggingface_hub', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- OpenAI's own, of which only the beginning is here


def test_openais_own_index_and_one_tensor_of_it(data: Path) -> None:
    bundle = Bundle(data / "openai_124M_partial" / "model.ckpt")
    assert len(bundle.entries) == 148
    assert bundle.entries["model/wte"].shape == (50257, 768)
    values = bundle.read("model/h0/attn/c_attn/b", verify=True)
    assert values.shape == (2304,)
    assert np.isfinite(values).all()
    assert 0.1 < values.std() < 0.5
    assert np.abs(values).max() < 5
    assert bundle.missing() == [name for name in bundle.entries if name != "model/h0/attn/c_attn/b"]


def test_the_missing_rest_is_one_sentence(data: Path) -> None:
    folder = data / "openai_124M_partial"
    with pytest.raises(CheckpointError) as error:
        load_openai(folder)
    assert str(error.value) == (
        f"{folder / DATA} has 3,145,728 of the 497,759,232 bytes it needs, so 147 of 148 tensors "
        "are missing; fetch it again."
    )
    with pytest.raises(
        CheckpointError, match=r"is cut short: 'model/wte' ends at byte 497,759,232 of a file that has 3,145"
    ):
        Bundle(folder / "model.ckpt").read("model/wte")


# --- other folders


def test_a_folder_of_gpt_2_simple(folder: Path) -> None:
    for n in (9, 1000):
        for file in (DATA, INDEX):
            shutil.copy(folder / file, folder / file.replace("model.ckpt", f"model-{n}"))
    (folder / "checkpoint").write_text('model_checkpoint_path: "/content/checkpoint/run1/model-9"\n')
    assert load_openai(folder).source.endswith("model-9")
    (folder / "checkpoint").unlink()
    assert checkpoint_prefix(folder) == folder / "model.ckpt"
    (folder / INDEX).unlink()
    assert checkpoint_prefix(folder) == folder / "model-1000"
    assert len(load_openai(folder).tensors) == 28


def test_without_a_tokenizer(folder: Path) -> None:
    (folder / "vocab.bpe").unlink()
    loaded = load_openai(folder)
    assert loaded.tokenizer is None
    assert loaded.config.eos_token_id is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model/wte", "transformer.wte.weight"),
        ("model/h11/attn/c_proj/w", "transformer.h.11.attn.c_proj.weight"),
        ("model/h0/ln_2/g", "transformer.h.0.ln_2.weight"),
        ("model/ln_f/b", "transformer.ln_f.bias"),
        ("model/h0/ln_2/g/Adam_1", None),
        ("global_step", None),
    ],
)
def test_names(theirs: str, ours: str | None) -> None:
    assert variable_name(theirs) == ours


# --- what is wrong is said


def test_hparams_that_are_missing_or_wrong(folder: Path) -> None:
    path = folder / "hparams.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps({**good, "n_ctx": "16"}))
    with pytest.raises(
        CheckpointError, match=r"hparams.json must give n_ctx as a whole number; it needs n_vocab, n_ctx"
    ):
        read_sizes(folder)
    path.write_text(json.dumps({**good, "n_head": 5}))
    with pytest.raises(CheckpointError, match=r"hparams.json: n_embd = 12 must be a multiple of n_head = 5"):
        read_sizes(folder)
    path.write_text(json.dumps({**good, "n_layer": 3}))
    with pytest.raises(CheckpointError, match=r"model.ckpt.index has no tensor 'transformer.h.2.ln_1.weight'"):
        load_openai(folder)
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match=r"hparams.json is a git-lfs pointer"):
        read_sizes(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"holds a TensorFlow checkpoint but no hparams.json"):
        load_openai(folder)


def test_files_that_are_missing_or_damaged(folder: Path) -> None:
    data = folder / DATA
    content = data.read_bytes()
    data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"is damaged: the checksum of 'model/wte' does not match; fetch the file"
    ):
        _ = load_openai(folder).tensors["transformer.wte.weight"]
    assert load_openai(folder, verify=False).tensors["transformer.wte.weight"].shape == (267, 12)
    data.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"has 0 of the 28,752 bytes it needs, so 28 of 28 tensors are missing"):
        load_openai(folder)
    data.unlink()
    with pytest.raises(
        CheckpointError, match=r"is not there \(28,752 bytes are needed\), so 28 of 28 tensors are missing"
    ):
        load_openai(folder)
    (folder / INDEX).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model.ckpt.index is empty"):
        load_openai(folder)
    (folder / INDEX).unlink()
    with pytest.raises(CheckpointError, match=r"model.ckpt.index does not exist; it lists the tensors"):
        load_openai(folder)


def test_an_unknown_tensor(tf_folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tensor 'model/wta'. Did you mean 'model/wte'\?"):
        Bundle(tf_folder / "model.ckpt").read("model/wta")


def test_damaged_bytes_of_an_index_are_noticed(folder: Path) -> None:
    index = folder / INDEX
    good = index.read_bytes()
    whole = read_sstable(index)
    for place in [*range(0, len(good), 3), *range(len(good) - 48, len(good))]:
        index.write_bytes(good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :])
        try:
            found = read_sstable(index)
        except CheckpointError as error:
            assert str(index) in str(error)
        else:  # only the unused metaindex and the padding of the footer are not covered by a checksum
            assert found == whole
    for length in range(0, len(good), 37):
        index.write_bytes(good[:length])
        with pytest.raises(CheckpointError):
            read_sstable(index)


# --- tables as other writers make them: several blocks, Snappy, several shards


def number(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(entries: list[tuple[bytes, bytes]], *, snappy: bool, restart_every: int = 4) -> bytes:
    body, previous, restarts = b"", b"", []
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % restart_every == 0:
            restarts.append(len(body))
        else:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        body += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        previous = key
    body += b"".join(struct.pack("<I", r) for r in restarts or [0]) + struct.pack("<I", len(restarts or [0]))
    if snappy:  # literals only, in pieces of up to 60 bytes
        pieces = [body[i : i + 60] for i in range(0, len(body), 60)]
        body = number(len(body)) + b"".join(bytes([(len(p) - 1) << 2]) + p for p in pieces)
    kind = b"\1" if snappy else b"\0"
    return body + kind + struct.pack("<I", masked(crc32c(body + kind)))


def table(entries: list[tuple[bytes, bytes]], *, snappy: bool, size: int) -> bytes:
    out, handles = b"", []
    for start in range(0, len(entries), size):
        made = block(entries[start : start + size], snappy=snappy)
        handles.append((entries[start : start + size][-1][0], number(len(out)) + number(len(made) - 5)))
        out += made
    metaindex = number(len(out)) + number(len(block([], snappy=False)) - 5)
    out += block([], snappy=False)
    made = block(handles, snappy=snappy, restart_every=1)
    footer = metaindex + number(len(out)) + number(len(made) - 5)
    return out + made + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize("snappy", [False, True])
def test_tables_of_several_blocks(tf_folder: Path, tmp_path: Path, snappy: bool) -> None:
    entries = read_sstable(tf_folder / INDEX)
    assert len(entries) == 29
    path = tmp_path / "t.index"
    path.write_bytes(table(entries, snappy=snappy, size=5))
    assert read_sstable(path) == entries


def entry(
    dtype: int, shape: tuple[int, ...], data: bytes, *, shard: int = 0, offset: int = 0, extra: bytes = b""
) -> bytes:
    dims = b"".join(b"\x12" + number(len(d)) + d for n in shape for d in [b"\x08" + number(n)])
    crc = struct.pack("<I", masked(crc32c(data)))
    head = b"\x08" + number(dtype) + b"\x12" + number(len(dims)) + dims + b"\x18" + number(shard)
    return head + b"\x20" + number(offset) + b"\x28" + number(len(data)) + b"\x35" + crc + extra


def write_bundle(folder: Path, entries: dict[bytes, bytes], shards: list[bytes], header: bytes | None = None) -> Bundle:
    head = b"\x08" + number(len(shards)) + b"\x1a\x02\x08\x01" if header is None else header
    (folder / "m.index").write_bytes(table([(b"", head), *sorted(entries.items())], snappy=False, size=3))
    for i, shard in enumerate(shards):
        (folder / f"m.data-{i:05d}-of-{len(shards):05d}").write_bytes(shard)
    return Bundle(folder / "m")


def test_shards_and_number_formats(tmp_path: Path) -> None:
    values = np.array([1.5, -2, 0.25], np.float32)
    half, double = values.astype("<f2").tobytes(), values.astype("<f8").tobytes()
    bfloat = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    bundle = write_bundle(
        tmp_path,
        {
            b"half": entry(19, (3,), half, shard=1, offset=1),
            b"double": entry(2, (3, 1), double),
            b"bfloat": entry(14, (1, 3), bfloat, shard=1, offset=7),
            b"scalar": entry(1, (), values[:1].tobytes(), offset=24),
            b"steps": entry(9, (1,), bytes(8), shard=0),
            b"sliced": entry(1, (3,), b"", extra=b"\x3a\x00"),
            b"odd": entry(1, (4,), half),
        },
        [double + values[:1].tobytes(), b"?" + half + bfloat],
    )
    assert bundle.shortfall() is None
    assert bundle.read("half").tolist() == values.tolist()
    assert bundle.read("double").tolist() == [[v] for v in values.tolist()]
    assert bundle.read("bfloat").tolist() == [values.tolist()]
    assert bundle.read("scalar").shape == ()
    with pytest.raises(CheckpointError, match="'steps' has TensorFlow's type 9; only whole floating-point tensors"):
        bundle.read("steps")
    with pytest.raises(CheckpointError, match="'sliced' is stored in slices"):
        bundle.read("sliced")
    with pytest.raises(CheckpointError, match=r"gives 'odd' 6 bytes, which is not \(4,\) of float32"):
        bundle.read("odd")


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        (b"\x08\x01\x10\x01", b"", "big-endian byte order"),
        (b"", b"", "gives no number of data files"),
        (b"\x08\x01", b"\x18\x05", "'x' lies in a shard that does not exist"),
        (b"\x08\x01", b"\x0f", "unknown wire type 7"),
        (b"\x08\x01", b"\x35\x00", "an entry is cut short"),
        (b"\x08\x01", b"\x0a\x00", "fields of the wrong kind"),
        (b"\x08\x01", b"\xff" * 12, "a number is too long"),
    ],
)
def test_damaged_entries(tmp_path: Path, header: bytes, value: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=f"m.index is damaged: .*{words}"):
        write_bundle(tmp_path, {b"x": value}, [b""], header)


# --- the parts beneath


def test_crc32c_known_values() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def plain_crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8191, 70001])
def test_crc32c_of_long_data_equals_the_plain_loop(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == plain_crc32c(data)


@pytest.mark.parametrize(
    ("packed", "text"),
    [  # made with Google's library
        ("00", b""),
        ("010061", b"a"),
        (
            "443c6d6f64656c2f68302f6174746e2f635f050704622052170000774217001470726f6a2f62",
            b"model/h0/attn/c_attn/b model/h0/attn/c_attn/w model/h0/attn/c_proj/b",
        ),
        ("64046162fe0200860200", b"ab" * 50),
        ("46f045" + bytes(range(70)).hex(), bytes(range(70))),
        ("8004f40501" + bytes(range(256)).hex() + "000102030405fe0001fe0001fe0001e60001", bytes(range(256)) * 2),
    ],
)
def test_snappy(packed: str, text: bytes) -> None:
    assert unsnappy(bytes.fromhex(packed)) == text


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        ("05f0", "index out of range|reaches beyond"),
        ("050861", "literal reaches beyond"),
        ("05006101ff", "copy points outside"),
        ("05006102ff0f", "copy points outside"),
        ("050061", "wrong length"),
        ("ffffffffffffffffffff01", "too long"),
    ],
)
def test_damaged_snappy(packed: str, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        unsnappy(bytes.fromhex(packed))
