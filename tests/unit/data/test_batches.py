"""Windows in random order: every one once an epoch, the same on every run, to be taken up anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.data.batches import Batches, spread_windows
from gpt2lab.data.shards import Shards
from gpt2lab.errors import DataError


def stream(tokens: int, pieces: int = 1) -> Shards:
    return Shards(np.array_split(np.arange(tokens, dtype=np.uint16), pieces))


def test_targets_are_the_inputs_one_further_on() -> None:
    inputs, targets = next(Batches(stream(1000), rows=3, window=8, seed=0))
    assert inputs.shape == targets.shape == (3, 8)
    np.testing.assert_array_equal(targets, inputs + 1)


def test_an_epoch_reads_every_window_once() -> None:
    batches = Batches(stream(1001), rows=1, window=10, seed=3)
    starts = []
    while batches.epochs < 1:
        starts.append(int(next(batches)[0][0, 0]))
    offset = min(starts)
    assert offset < 10
    assert sorted(starts) == list(range(offset, offset + 10 * len(starts), 10))
    assert len(starts) == (1000 - offset) // 10
    assert starts != sorted(starts)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    def starts(seed: int) -> list[int]:
        batches = Batches(stream(500), rows=1, window=10, seed=seed)
        return [int(next(batches)[0][0, 0]) for _ in range(120)]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)
    assert starts(1)[:45] != starts(1)[50:95]


@pytest.mark.parametrize("after", [0, 7, 49, 50, 51, 130])
def test_going_on_from_a_state_equals_going_on(after: int) -> None:
    def make() -> Batches:
        return Batches(stream(500), rows=2, window=5, seed=4)

    whole = make()
    for _ in range(after):
        next(whole)
    resumed = make()
    resumed.load_state_dict(whole.state_dict())
    for _ in range(60):
        np.testing.assert_array_equal(next(resumed)[0], next(whole)[0])


def test_a_position_in_another_text_is_refused() -> None:
    state = Batches(stream(500), rows=2, window=5, seed=4).state_dict()
    with pytest.raises(DataError, match="has 400 tokens, but the position is in one of 500"):
        Batches(stream(400), rows=2, window=5, seed=4).load_state_dict(state)


def test_shard_borders_do_not_show() -> None:
    whole, cut = stream(100), stream(100, pieces=7)
    assert len(whole) == len(cut) == 100
    for start in range(90):
        np.testing.assert_array_equal(cut.read(start, 10), whole.read(start, 10))
    np.testing.assert_array_equal(cut.read(0, 100), np.arange(100))


def test_spread_windows_cover_the_stream_evenly() -> None:
    inputs, targets = spread_windows(stream(1000), count=5, window=10)
    assert inputs[:, 0].tolist() == [0, 190, 390, 590, 790]
    np.testing.assert_array_equal(targets, inputs + 1)
    assert len(spread_windows(stream(41), count=100, window=10)[0]) == 4


def test_too_little_text() -> None:
    with pytest.raises(DataError, match="The training text has 20 tokens; windows of 10 need at least 21"):
        Batches(stream(20), rows=1, window=10, seed=0)
    with pytest.raises(DataError, match="The held-out text has 10 tokens; a window of 10 needs 11"):
        spread_windows(stream(10), count=1, window=10)
