"""Several texts in a row: which of them share one, so that little of it is left over.

Knows lengths, not texts. Longest first, each text goes where the least room is left behind it ("best-fit decreasing":
Johnson et al. 1974, "Worst-case performance bounds for simple one-dimensional packing algorithms"), so the number of
rows follows from the lengths alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def packed(lengths: Sequence[int] | npt.NDArray[np.int64], room: int) -> list[list[int]]:
    """Return rows as the numbers of the texts that each holds, together at most `room` long.

    Texts of one length are taken in the order in which they are given, and no text is longer than `room`.
    """
    rows: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(room + 1)]  # by the room that is left in each
    has_some = 0  # a bit for each room that some row has left
    sizes = np.asarray(lengths)
    for number in np.argsort(-sizes, kind="stable").tolist():
        length = int(sizes[number])
        assert 0 < length <= room
        if fitting := has_some >> length:
            left = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[left].pop()
            if not open_rows[left]:
                has_some &= ~(1 << left)
            rows[row].append(number)
        else:
            left, row = room, len(rows)
            rows.append([number])
        open_rows[left - length].append(row)
        has_some |= 1 << (left - length)
    return rows


def portions(rows: Sequence[list[int]], size: int) -> list[list[list[int]]]:
    """Return `rows` as batches of `size`, the last one of what is left."""
    whole = iter(rows)
    return list(iter(lambda: list(itertools.islice(whole, size)), []))
