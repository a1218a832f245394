"""In which order the fields of an article are learnt: three kinds, so that any field may be asked for from any others.

Zellers et al. (2019), section 3, with the shares of the released code: in 35 % of the rows the body comes first and
metadata behind it, in 15 % everything stands in canonical order, in the other half the fields fall at random into two
parts, each in canonical order. Metadata is dropped at random, so that fields may be missing when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from gpt2lab.apps.articles.fields import FIELDS, Field

BODY_FIRST, CANONICAL = 0.35, 0.15
"""Shares of two kinds of order; the rest are of the third."""

DROPOUT = 0.1
"""Chance of each field of metadata to be left out, where any may be."""

CUT = 0.2
"""Chance that a body too long for the row is cut where what stands behind it fits."""

Kind = Literal["body first", "canonical", "two parts"]


class Order(NamedTuple):
    """What comes in the first part of a row and what behind it; fields in neither are left out."""

    kind: Kind
    first: tuple[Field, ...]
    second: tuple[Field, ...]


def draw_order(generator: np.random.Generator) -> Order:
    """Return an order for one row."""
    switch = generator.random()
    if switch < BODY_FIRST:
        metadata = [f for f in FIELDS if f != "article" and generator.random() >= DROPOUT]
        return Order("body first", ("article",), tuple(metadata))
    if switch < BODY_FIRST + CANONICAL:
        return Order("canonical", FIELDS, ())
    parts: tuple[list[Field], list[Field]] = ([], [])
    for field in FIELDS:
        if field not in ("article", "title") and generator.random() < DROPOUT:
            continue
        second = generator.random() >= 0.5
        if field == "summary" and not second:
            continue  # nothing is written from a summary
        parts[second].append(field)
    return Order("two parts", tuple(parts[0]), tuple(parts[1]))


def arranged(
    pieces: Mapping[Field, Sequence[int]], size: int, padding: int, generator: np.random.Generator
) -> list[int]:
    """Return the ids of an article for a row of `size` tokens, in an order drawn anew; they may be more.

    `pieces` are the ids of each field there is, with its two tokens. Where a body in the first part makes the row too
    long, it is cut in a share `CUT` of the cases: a padding token marks the place, and what stands behind it is whole.
    (The released code does so only where the body alone would fit, which in a short window is seldom.)
    """
    order = draw_order(generator)
    first, second = ([i for f in part for i in pieces.get(f, ())] for part in (order.first, order.second))
    if not first and not second:  # of all that is there, everything was dropped
        return [i for f in FIELDS for i in pieces.get(f, ())]
    body_first = "article" in order.first and "article" in pieces
    if body_first and 0 < len(second) < size < len(first) + len(second) and generator.random() < CUT:
        first = [*first[: size - len(second) - 1], padding]
    return first + second
