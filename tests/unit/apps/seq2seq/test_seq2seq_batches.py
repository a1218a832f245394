"""Pairs as rows and batches: what is cut, what counts, every pair once an epoch, positions that bring all back."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.apps.seq2seq.batches import PairBatches, as_batch, fixed_batches
from gpt2lab.apps.seq2seq.codec import Codec, Row, with_tokens
from gpt2lab.apps.seq2seq.packing import packed
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

FILLING = 99


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    plain = train_tokenizer(iter(["the old sailor walked"] * 3), vocab_size=300)
    return with_tokens(plain, delimiter="<|to|>", end="<|endoftext|>")


def rows(count: int = 53) -> list[Row]:
    """Rows of different lengths, each with ids of its own."""
    lengths = np.random.default_rng(0).integers(3, 30, count)
    return [Row(np.arange(n) + 1000 * (i + 1), int(n) // 2, 0, 0) for i, n in enumerate(lengths)]


def test_a_pair_is_source_delimiter_target_end(tokenizer: Tokenizer) -> None:
    codec = Codec(tokenizer, window=64)
    (row,) = codec.rows(["the old"], ["sailor <|to|>"])
    source, target = tokenizer.encode("the old"), tokenizer.encode("sailor <|to|>")
    assert row.ids.tolist() == [*source, codec.delimiter, *target, codec.end]
    assert codec.delimiter not in target and row.delimiter == len(source)
    assert (row.cut_source, row.cut_target) == (0, 0)
    assert codec.prompt("the old") == ([*source, codec.delimiter], 0)
    assert codec.foreign(tokenizer.vocab_size + 2) == [
        codec.delimiter,
        *range(tokenizer.vocab_size, codec.delimiter + 3),
    ]


def test_a_long_source_keeps_its_beginning_and_leaves_the_target_its_room(tokenizer: Tokenizer) -> None:
    codec = Codec(tokenizer, window=16, room=6)
    long = tokenizer.encode("zyxwvutsrqponmlk")
    assert len(long) == 16
    prompt = codec.prompt("zyxwvutsrqponmlk")
    assert prompt.ids == [*long[:10], codec.delimiter] and prompt.cut == 6
    (row,) = codec.rows(["zyxwvutsrqponmlk"], ["abcde"])
    assert row.ids.tolist()[-1] == codec.end and len(row.ids) == 17 and row.cut_source == 6
    (row,) = codec.rows(["zyxwvutsrqponmlk"], ["abcdefgh"])
    assert codec.end not in row.ids and len(row.ids) == 17 and row.cut_target == 3
    (row,) = codec.rows(["zy"], ["abcdefgh"])
    assert row.ids[-1] == codec.end, "a short source leaves more room"


def test_a_tokenizer_without_a_delimiter_and_a_room_that_is_none(tokenizer: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match="has learnt no pairs of texts"):
        Codec(train_tokenizer(iter(["a"]), vocab_size=300), window=16)
    for room in (1, 16):
        with pytest.raises(ConfigError, match=rf"task\.target_tokens = {room} must leave some of the model's 16"):
            Codec(tokenizer, window=16, room=room)


def test_only_what_follows_a_token_of_its_own_row_is_a_target() -> None:
    some = rows(5)
    inputs, targets, places = as_batch(some, filling=FILLING, size=7)
    assert inputs.shape == targets.shape == (7, max(len(r.ids) for r in some) - 1)
    for i, row in enumerate(some):
        n = len(row.ids) - 1
        assert inputs[i, :n].tolist() == row.ids[:-1].tolist() and targets[i, :n].tolist() == row.ids[1:].tolist()
        assert (inputs[i, n:] == FILLING).all() and (targets[i, n:] == IGNORE).all()
        assert places[i] == row.delimiter
    assert (targets[5:] == IGNORE).all()


@pytest.mark.parametrize("size", [1, 4, 8, 53, 100])
def test_every_pair_is_read_once_an_epoch(size: int) -> None:
    batches = PairBatches(rows(), size=size, filling=FILLING, seed=3)
    orders = []
    for _ in range(3):
        read = [next(batches) for _ in range(len(batches))]
        assert all(len(inputs) == size for inputs, _, _ in read)
        firsts = [
            int(i) for inputs, targets, _ in read for i, t in zip(inputs[:, 0], targets[:, 0], strict=True) if t >= 0
        ]
        assert Counter(firsts) == Counter(1000 * (n + 1) for n in range(53))
        orders.append(firsts)
    assert orders[0] != orders[1] != orders[2]


def test_rows_of_a_batch_are_near_in_length() -> None:
    many = rows(2000)
    batches = PairBatches(many, size=16, filling=FILLING, seed=0)
    places = filled = 0
    for _ in range(len(batches)):
        _, targets, _ = next(batches)
        places, filled = places + targets.size, filled + int((targets == IGNORE).sum())
    assert filled / places < 0.05
    lengths = [inputs.shape[1] for inputs, _, _ in fixed_batches(many, size=16, filling=FILLING)]
    assert lengths == sorted(lengths, reverse=True)


def test_a_position_brings_the_same_batches_back() -> None:
    def fresh() -> PairBatches:
        return PairBatches(rows(), size=8, filling=FILLING, seed=5, noise=0.3, drawn=50)

    one, two = fresh(), fresh()
    for _ in range(10):
        next(one)
    two.load_state_dict(one.state_dict())
    for _, (a, b) in zip(range(10), zip(one, two, strict=False), strict=False):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    with pytest.raises(DataError, match="There are 53 pairs, but the run began with 7"):
        two.load_state_dict({"epoch": 0, "index": 0, "pairs": 7})


def test_noise_changes_what_is_read_and_nothing_else() -> None:
    plain = PairBatches(rows(200), size=8, filling=FILLING, seed=5)
    noisy = PairBatches(rows(200), size=8, filling=FILLING, seed=5, noise=0.2, drawn=50)
    changed = read = 0
    for (a, t, p), (b, u, q) in itertools.islice(zip(plain, noisy, strict=False), 25):
        np.testing.assert_array_equal(t, u)
        np.testing.assert_array_equal(p, q)
        assert (a[np.arange(8), p] == b[np.arange(8), p]).all(), "a delimiter was struck"
        struck = (a != b) & (t != IGNORE)
        assert b[struck].max(initial=0) < 50
        changed, read = changed + int(struck.sum()), read + int((t != IGNORE).sum())
    assert 0.15 < changed / read < 0.25


def test_lengths_repeat_within_the_window_and_nothing_more_counts() -> None:
    some = rows(20)
    plain = as_batch(some, filling=FILLING)
    wide = as_batch(some, filling=FILLING, window=200)
    longest = plain[0].shape[1]
    assert wide[0].shape[1] % 8 == 0
    assert longest <= wide[0].shape[1] < longest + 8
    for narrow, filled, rest in zip(plain[:2], wide[:2], (FILLING, IGNORE), strict=True):
        np.testing.assert_array_equal(filled[:, :longest], narrow)
        assert (filled[:, longest:] == rest).all()
    for batch in (next(PairBatches(some, size=4, filling=FILLING, seed=0, window=200)), *fixed_batches(some, size=4, filling=FILLING, window=200)):  # fmt: skip  # noqa: E501
        assert batch[0].shape[1] % 8 == 0


def pairs_of(batch: tuple[np.ndarray, ...], number: int) -> list[np.ndarray]:
    """Return the ids of the pairs in a row of several, found by their positions, checked against the rest."""
    inputs, targets, places, positions = (array[number] for array in batch)
    found = []
    begins = np.flatnonzero(positions == 0)
    for begin, end in itertools.pairwise([*begins, len(inputs)]):
        counts = int((targets[begin:end] != IGNORE).sum())
        np.testing.assert_array_equal(positions[begin:end], np.arange(end - begin))
        assert (targets[begin + counts : end] == IGNORE).all() and (inputs[begin + counts : end] == FILLING).all()
        if not counts:
            assert len(begins) == 1, "a text of nothing but filling"
            continue
        assert (places[begin:end] == places[begin]).all()
        found.append(np.append(inputs[begin : begin + counts], targets[begin + counts - 1]))
        np.testing.assert_array_equal(found[-1][1:], targets[begin : begin + counts])
    return found


@pytest.mark.parametrize("size", [1, 4, 100])
def test_rows_of_several_pairs_hold_every_pair_once_an_epoch_and_little_else(size: int) -> None:
    some = rows(300)
    known = {int(row.ids[0]): row for row in some}
    batches = PairBatches(some, size=size, filling=FILLING, seed=3, window=64, packing=True)
    orders, places = [], 0
    for _ in range(2):
        order = []
        for _ in range(len(batches)):
            batch = next(batches)
            assert [array.shape for array in batch] == [(size, 64)] * 4
            places += size * 64
            for number in range(size):
                for ids in pairs_of(batch, number):
                    np.testing.assert_array_equal(ids, known[int(ids[0])].ids)
                    order.append(int(ids[0]))
        assert Counter(order) == Counter(list(known))
        orders.append(order)
    assert orders[0] != orders[1]
    read = sum(len(row.ids) - 1 for row in some)
    assert batches.filled == pytest.approx(2 * read / places)
    if size == 1:
        assert batches.filled > 0.98
        assert batches.pairs_in_a_row == pytest.approx(300 / len(batches))


def test_delimiters_of_rows_of_several_pairs_are_each_pair_s_own() -> None:
    some = rows(40)
    at = {int(row.ids[0]): row.delimiter for row in some}
    batch = next(PairBatches(some, size=4, filling=FILLING, seed=3, window=64, packing=True))
    inputs, _, places, positions = batch
    for row, begin in np.argwhere(positions == 0):
        assert places[row, begin] == at[int(inputs[row, begin])]


def test_the_filled_share_of_rows_of_one_pair() -> None:
    some = rows(200)
    batches = PairBatches(some, size=16, filling=FILLING, seed=3, window=64)
    places = sum(next(batches)[0].size for _ in range(len(batches)))
    assert batches.filled == pytest.approx(sum(len(row.ids) - 1 for row in some) / places)
    assert batches.pairs_in_a_row == 1


def test_a_position_brings_rows_of_several_pairs_back_and_no_others() -> None:
    def fresh(packing: bool = True) -> PairBatches:
        return PairBatches(rows(), size=2, filling=FILLING, seed=5, noise=0.3, drawn=50, window=64, packing=packing)

    one, two = fresh(), fresh()
    for _ in range(len(one) + 2):
        next(one)
    two.load_state_dict(one.state_dict())
    for _, (a, b) in zip(range(10), zip(one, two, strict=False), strict=False):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    with pytest.raises(DataError, match=r"The run began with task\.packing = true, and its place is one in such rows"):
        fresh(packing=False).load_state_dict(one.state_dict())
    before = {"epoch": 0, "index": 1, "pairs": 53}
    fresh(packing=False).load_state_dict(before)
    with pytest.raises(DataError, match=r"The run began with task\.packing = false"):
        fresh().load_state_dict(before)


def test_noise_in_rows_of_several_pairs_spares_every_delimiter() -> None:
    plain, noisy = (
        PairBatches(rows(200), size=8, filling=FILLING, seed=5, noise=noise, drawn=50, window=64, packing=True)
        for noise in (0.0, 0.9)
    )
    for (a, _, places, positions), (b, *_) in itertools.islice(zip(plain, noisy, strict=False), 5):
        assert (a == b)[positions == places].all()
        assert (a != b)[positions != places].mean() > 0.5


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_texts_share_rows_that_have_room_for_them(lengths: list[int]) -> None:
    made = packed(lengths, 40)
    assert sorted(itertools.chain.from_iterable(made)) == list(range(len(lengths)))
    used = [sum(lengths[i] for i in row) for row in made]
    assert max(used) <= 40
    assert sum(2 * n <= 40 for n in used) <= 1, "two rows half empty would have been one"
    assert len(packed(lengths[::-1], 40)) == len(made)
