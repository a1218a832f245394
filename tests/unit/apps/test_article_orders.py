"""The orders in which fields are learnt come as often as the paper and the released code say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from gpt2lab.apps.articles.fields import FIELDS
from gpt2lab.apps.articles.orders import arranged, draw_order

DRAWS = 40_000
METADATA = ("domain", "date", "authors", "title", "summary")


@pytest.fixture(scope="module")
def orders() -> list:
    generator = np.random.default_rng(7)
    return [draw_order(generator) for _ in range(DRAWS)]


def fits(seen: list[int], shares: list[float]) -> bool:
    """Whether counts are what the shares let expect; wrong once in a thousand times, and the draws are fixed."""
    return chisquare(seen, np.array(shares) / sum(shares) * sum(seen)).pvalue > 0.001


def test_the_three_kinds(orders: list) -> None:
    kinds = Counter(o.kind for o in orders)
    assert fits([kinds[k] for k in ("body first", "canonical", "two parts")], [0.35, 0.15, 0.5])


def test_where_each_field_stands(orders: list) -> None:
    for field in FIELDS:
        by_kind = {
            kind: Counter(
                "first" if field in o.first else "second" if field in o.second else "out"
                for o in orders
                if o.kind == kind
            )
            for kind in ("body first", "canonical", "two parts")
        }
        assert set(by_kind["canonical"]) == {"first"}
        if field == "article":
            assert set(by_kind["body first"]) == {"first"}
        else:
            seen = by_kind["body first"]
            assert fits([seen["second"], seen["out"]], [0.9, 0.1]) and not seen["first"]
        seen = by_kind["two parts"]
        expected = {
            "article": (0.5, 0.5, 0.0), "title": (0.5, 0.5, 0.0), "summary": (0.0, 0.45, 0.55),
        }.get(field, (0.45, 0.45, 0.1))  # fmt: skip
        places = [p for p, share in zip(("first", "second", "out"), expected, strict=True) if share]
        assert set(seen) == set(places)
        assert fits([seen[p] for p in places], [share for share in expected if share])


def test_fields_fall_independently(orders: list) -> None:
    pairs = Counter(("title" in o.first, "article" in o.first) for o in orders if o.kind == "two parts")
    assert fits([pairs[a, b] for a in (True, False) for b in (True, False)], [1, 1, 1, 1])


def test_each_part_is_in_canonical_order(orders: list) -> None:
    for order in orders[:2000]:
        for part in (order.first, order.second):
            assert list(part) == sorted(part, key=FIELDS.index)


def pieces(body: int) -> dict:
    """Fields as runs of one number each: the n-th field has the number n + 1."""
    lengths = {"domain": 3, "date": 4, "authors": 5, "title": 6, "article": body, "summary": 7}
    return {field: [FIELDS.index(field) + 1] * n for field, n in lengths.items()}


def test_a_long_body_is_cut_in_a_fifth_of_the_rows_that_begin_with_it() -> None:
    generator = np.random.default_rng(3)
    size, cut, could = 40, 0, 0
    for _ in range(6000):
        row = arranged(pieces(100), size, 0, generator)
        if row[0] != 5 or set(row) == {5}:
            continue
        could += 1
        if 0 in row:
            cut += 1
            assert len(row) == size
            at = row.index(0)
            assert set(row[:at]) == {5} and 5 not in row[at + 1 :] and 0 not in row[at + 1 :]
    assert fits([cut, could - cut], [0.2, 0.8])


def test_a_short_body_is_never_cut_and_nothing_is_invented() -> None:
    generator = np.random.default_rng(4)
    for _ in range(500):
        row = Counter(arranged(pieces(10), 100, 0, generator))
        assert not row.keys() - {1, 2, 3, 4, 5, 6}
        assert row[5] == 10
        assert all(row[FIELDS.index(f) + 1] in (0, len(pieces(10)[f])) for f in METADATA)


def test_missing_fields_are_no_trouble() -> None:
    generator = np.random.default_rng(5)
    assert all(arranged({"domain": [1, 2]}, 10, 0, generator) == [1, 2] for _ in range(50))
