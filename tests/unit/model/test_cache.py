"""The KV cache: reading in pieces equals reading at once, and rows can be cropped, forked and reordered."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the PyTorch model needs torch")

import torch

from gpt2lab.errors import RequestError
from gpt2lab.model.cache import KVCache
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT

CONFIG = GPT2Config(vocab_size=23, n_positions=12, n_embd=12, n_layer=2, n_head=3, initializer_range=0.4)


@pytest.fixture(scope="module")
def model() -> GPT:
    return GPT(CONFIG, torch.Generator().manual_seed(1)).eval()


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(CONFIG.vocab_size, (2, 10), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("pieces", [[1] * 10, [10], [3, 1, 4, 2], [9, 1], [1, 9]])
@torch.no_grad()
def test_reading_in_pieces_equals_reading_at_once(model: GPT, ids: torch.Tensor, pieces: list[int]) -> None:
    cache = KVCache(CONFIG, rows=2)
    logits = torch.cat([model(part, cache) for part in torch.split(ids, pieces, dim=1)], dim=1)
    assert cache.length == 10
    torch.testing.assert_close(logits, model(ids), rtol=0, atol=1e-5)


@torch.no_grad()
def test_cropping_takes_back_what_was_read(model: GPT, ids: torch.Tensor) -> None:
    cache = KVCache(CONFIG, rows=2)
    model(ids[:, :8], cache)
    cache.crop(4)
    torch.testing.assert_close(model(ids[:, 4:6], cache), model(ids[:, :6])[:, 4:], rtol=0, atol=1e-5)


@torch.no_grad()
def test_reordering_moves_rows_with_their_past(model: GPT, ids: torch.Tensor) -> None:
    cache = KVCache(CONFIG, rows=2)
    model(ids[:, :5], cache)
    cache.reorder([1, 1, 0])
    assert cache.rows == 3
    expected = model(ids)[[1, 1, 0], 5:6]
    torch.testing.assert_close(model(ids[[1, 1, 0], 5:6], cache), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_fork_leaves_the_original_alone(model: GPT, ids: torch.Tensor) -> None:
    cache = KVCache(CONFIG, rows=2)
    model(ids[:, :5], cache)
    twin = cache.fork(2)
    assert (twin.rows, twin.length, twin.room) == (4, 5, 12)
    model(ids[[1, 1, 1, 1], 5:8], twin)
    assert cache.length == 5
    torch.testing.assert_close(model(ids[:, 5:6], cache), model(ids)[:, 5:6], rtol=0, atol=1e-5)


def test_too_many_positions_for_the_room(model: GPT, ids: torch.Tensor) -> None:
    with pytest.raises(RequestError, match="room for 4 positions, but 10 are needed"):
        model(ids, KVCache(CONFIG, rows=2, room=4))


@pytest.mark.parametrize("length", [-1, 3])
def test_cropping_to_what_was_never_read(length: int) -> None:
    with pytest.raises(RequestError, match=f"of 0 positions cannot be cropped to {length}"):
        KVCache(CONFIG).crop(length)
