"""Batches of examples: where sequences end is known, every example is read once an epoch, positions are taken up."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import DataError
from gpt2lab.train.examples import ABSENT, Example, Examples, digest, in_batches, padded


def example(*lengths: int, target: int = 0) -> Example:
    return Example(tuple(np.arange(1, n + 1) for n in lengths), np.asarray(target))


def test_a_batch_says_where_each_sequence_ends() -> None:
    ids, last, targets = padded([example(2, 3, target=1), example(4)])
    assert ids.reshape(2, 2, 4).tolist() == [[[1, 2, 0, 0], [1, 2, 3, 0]], [[1, 2, 3, 4], [0, 0, 0, 0]]]
    assert last.tolist() == [[1, 2], [3, ABSENT]]
    assert targets.tolist() == [1, 0]


def test_targets_of_tokens_are_filled_up_with_what_does_not_count() -> None:
    rows = [Example((np.arange(n),), np.arange(n)) for n in (3, 1)]
    assert padded(rows, per_token=True)[2].tolist() == [[0, 1, 2], [0, IGNORE, IGNORE]]
    assert [len(batch[0]) for batch in in_batches(rows * 2, 3, per_token=True)] == [3, 1]


def test_an_epoch_reads_every_example_once_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(3).integers(1, 50, 160)
    rows = [Example((np.full(n, i),), np.asarray(i)) for i, n in enumerate(lengths)]
    stream = Examples(rows, rows=4, seed=1)
    first = [next(stream) for _ in range(40)]
    assert sorted(i for _, _, targets in first for i in targets) == list(range(160))
    filled = sum(ids.size for ids, _, _ in first)
    assert filled < 1.1 * lengths.sum()
    assert len({ids.shape[1] for ids, _, _ in first[:5]}) > 1  # not from short to long
    second = [next(stream) for _ in range(40)]
    assert [t.tolist() for _, _, t in first] != [t.tolist() for _, _, t in second]


def test_a_position_is_taken_up_anywhere() -> None:
    rows = [example(n, target=n) for n in range(1, 8)]
    stream = Examples(rows, rows=3, seed=5)
    for _ in range(4):
        next(stream)
    state, expected = stream.state_dict(), [next(stream) for _ in range(5)]
    again = Examples(rows, rows=3, seed=5)
    again.load_state_dict(state)
    for a, b in zip(expected, (next(again) for _ in range(5)), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    with pytest.raises(DataError, match="There are 6 examples, but the run began with 7"):
        Examples(rows[:6], rows=3, seed=5).load_state_dict(state)
    with pytest.raises(DataError, match="There is no example to learn from"):
        Examples([], rows=3, seed=5)


def test_the_hash_sees_ids_targets_and_where_sequences_part() -> None:
    different = [[example(2, 3)], [example(5)], [example(2, 3, target=1)], [example(2), example(3)], [example(3, 2)]]
    assert len({digest(rows) for rows in different}) == len(different)


def test_lengths_repeat_within_the_window() -> None:
    rows = [example(n) for n in (1, 8, 9, 19, 21)]
    assert [padded([row], window=20)[0].shape[1] for row in rows] == [8, 8, 16, 20, 21]
    (batch,) = in_batches(rows[:3], 3, window=20)
    assert batch[0].shape == (3, 16)
    assert batch[1].tolist() == [[0], [7], [8]]
    assert next(Examples(rows[:1], rows=1, seed=0, window=20))[0].shape == (1, 8)
