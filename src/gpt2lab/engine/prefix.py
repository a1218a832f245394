"""Computation of earlier texts, kept for texts that begin alike: a radix tree of token ids with caches at its leaves.

After RadixAttention (Zheng et al. 2024, "SGLang", section 3), on caches that share pages: what a leaf holds serves
every beginning of its text. What was not used for longest goes first when memory is short. Knows ids and caches, no
models: one `PrefixCache` belongs to one backend. Any thread may use it.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.protocol import Cache, Ids

DEFAULT_BYTES = 256 * 2**20
_FEWEST = 4  # shorter beginnings are computed sooner than the page that holds them is copied


@dataclass(frozen=True, slots=True)
class PrefixStatistics:
    """What a `PrefixCache` holds, and how often it helped: `found_tokens` of `asked_tokens` needed no computation."""

    texts: int
    bytes: int
    lookups: int
    hits: int
    asked_tokens: int
    found_tokens: int


@dataclass(slots=True, eq=False)
class _Node:
    """The ids between its parent and itself; a leaf has the cache of the whole text from the root."""

    ids: Ids
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)
    cache: Cache | None = None

    def adopt(self, child: _Node) -> None:
        child.parent = self
        self.children[int(child.ids[0])] = child


class PrefixCache:
    """Caches of texts, found by the longest beginning they share with another; at most `max_bytes` of them (0: none).

    A page of memory that several caches share is counted once.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        check_whole("max_bytes", max_bytes, 0)
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._statistics = Counter[str]()
        self.clear()

    def clear(self) -> None:
        """Forget every text."""
        with self._lock:
            self._root = _Node(np.zeros(0, np.int32), None)
            self._leaves: dict[_Node, None] = {}  # the one used last comes last
            self._owners = Counter[int]()  # of each page, how many leaves hold it
            self._bytes = 0

    def find(self, ids: Ids) -> Cache | None:
        """Return a cache of the caller's own with the longest known beginning of `ids`, or None."""
        with self._lock:
            node, depth = self._walk(ids)
            self._statistics.update(lookups=1, asked_tokens=len(ids))
            if depth < _FEWEST:
                return None
            self._statistics.update(hits=1, found_tokens=depth)
            leaf = self._use(node)
            assert leaf.cache is not None
            found = leaf.cache.fork()
        found.crop(depth)
        return found

    def add(self, ids: Ids, cache: Cache) -> None:
        """Keep `cache`, which holds exactly `ids` and belongs to nobody else from here on."""
        assert cache.length == len(ids)
        if len(ids) < _FEWEST or sum(size for _, size in cache.pages()) > self.max_bytes:
            return
        with self._lock:
            node, depth = self._walk(ids)
            if depth == len(ids):  # known as the beginning of something
                self._use(node)
                return
            self._put(node, ids, depth, cache)
            while self._bytes > self.max_bytes:
                self._remove(next(iter(self._leaves)))

    def statistics(self) -> PrefixStatistics:
        """Return what it holds and how often it helped."""
        with self._lock:
            counts = self._statistics
            return PrefixStatistics(
                len(self._leaves), self._bytes, counts["lookups"], counts["hits"], counts["asked_tokens"],
                counts["found_tokens"],
            )  # fmt: skip

    def _walk(self, ids: Ids) -> tuple[_Node, int]:
        """Return the node on whose edge (or at whose end) the longest known beginning ends, and its length."""
        node, depth = self._root, 0
        while depth < len(ids) and (child := node.children.get(int(ids[depth]))) is not None:
            same = shared_length(child.ids, ids[depth:])
            node, depth = child, depth + same
            if same < len(child.ids):
                break
        return node, depth

    def _put(self, node: _Node, ids: Ids, depth: int, cache: Cache) -> None:
        """Hang a leaf with ids[depth:] below the place where `_walk` stopped."""
        end = self._length(node)
        if depth < end:  # in the middle of an edge, which becomes two
            assert node.parent is not None
            cut = len(node.ids) - (end - depth)
            upper = _Node(node.ids[:cut], node.parent)
            node.parent.adopt(upper)
            node.ids = node.ids[cut:]
            upper.adopt(node)
            node = upper
        if node.cache is not None:  # the text that ended here goes on
            node.ids = np.concatenate([node.ids, ids[depth:]])
            self._give_up_pages(node)
        else:
            leaf = _Node(ids[depth:].copy(), node)
            node.adopt(leaf)
            node = leaf
        node.cache = cache
        for page, size in cache.pages():
            self._bytes += size if self._owners[page] == 0 else 0
            self._owners[page] += 1
        self._use(node)

    def _remove(self, leaf: _Node) -> None:
        self._give_up_pages(leaf)
        del self._leaves[leaf]
        parent = leaf.parent
        assert parent is not None
        del parent.children[int(leaf.ids[0])]
        if parent.parent is not None and len(parent.children) == 1:  # a fork that is none any more
            (rest,) = parent.children.values()
            rest.ids = np.concatenate([parent.ids, rest.ids])
            parent.parent.adopt(rest)

    def _give_up_pages(self, leaf: _Node) -> None:
        assert leaf.cache is not None
        for page, size in leaf.cache.pages():
            self._owners[page] -= 1
            if self._owners[page] == 0:
                del self._owners[page]
                self._bytes -= size
        leaf.cache = None

    def _use(self, node: _Node) -> _Node:
        """Return a leaf at or below a node, all of whose texts begin alike, as the one used last."""
        while node.children:
            node = next(iter(node.children.values()))
        self._leaves.pop(node, None)
        self._leaves[node] = None
        return node

    @staticmethod
    def _length(node: _Node) -> int:
        """Return the number of ids from the root to the end of a node."""
        length, at = 0, node
        while at.parent is not None:
            length += len(at.ids)
            at = at.parent
        return length


def shared_length(a: Ids, b: Ids) -> int:
    """Return how many ids two arrays have in common at their beginnings."""
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if different.size else n
