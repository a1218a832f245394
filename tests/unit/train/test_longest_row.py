"""What a run will need follows from its longest rows, not from whichever batch comes first."""

from __future__ import annotations

import numpy as np

from gpt2lab.apps.seq2seq.batches import PairBatches
from gpt2lab.apps.seq2seq.codec import Row
from gpt2lab.train.task import longest_row


def pairs(seed: int) -> PairBatches:
    lengths = [8] * 70 + [40] * 5
    rows = [Row(ids=np.arange(n + 1), delimiter=n // 2, cut_source=0, cut_target=0) for n in lengths]
    return PairBatches(rows, size=5, filling=0, seed=seed)


def test_the_longest_of_many_batches_counts_and_none_is_lost() -> None:
    firsts = set()
    for seed in range(20):
        stream, untouched = pairs(seed), pairs(seed)
        assert longest_row(stream) == 40
        for _ in range(20):
            for found, wanted in zip(next(stream), next(untouched), strict=True):
                np.testing.assert_array_equal(found, wanted)
        firsts.add(next(pairs(seed))[0].shape[1])
    assert 8 in firsts
