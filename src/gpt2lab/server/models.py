"""The models of a server: loaded when they are asked for; when memory is short the least recently used goes first.

Memory is that of packed weights and of remembered texts. A model that answers somebody stays. Knows no HTTP; belongs
to one event loop, and does the heavy work in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gpt2lab import checkpoint
from gpt2lab.engine.native import NativeBackend, choose_precision
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.scheduler import Scheduler, Statistics
from gpt2lab.errors import CheckpointError, ClosedError, ConfigError, Gpt2labError, nearest
from gpt2lab.lm.model import LanguageModel
from gpt2lab.model.config import canonical_name
from gpt2lab.server.settings import ServerSettings
from gpt2lab.tokenizer import Tokenizer

_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.1, "int4": 0.6}
"""About what a parameter takes when it is packed."""


class Loader(Protocol):
    """Where models come from."""

    def load(self, source: str) -> LanguageModel:
        """Return a model."""

    def bytes(self, source: str) -> int:
        """Return about how much memory its weights will take."""

    def tokenizer(self, source: str) -> Tokenizer | None:
        """Return its tokenizer, None where it has none; nothing is fetched for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLoader:
    """Models as `LanguageModel.load` finds them, all in one precision, each with `threads` threads."""

    precision: str = "fp32"
    threads: int | None = None
    models_dir: str | None = None
    offline: bool = False

    def load(self, source: str) -> LanguageModel:
        """See `Loader.load`."""
        return LanguageModel.load(
            source, precision=self.precision, threads=self.threads, models_dir=self.models_dir, offline=self.offline
        )

    def bytes(self, source: str) -> int:
        """See `Loader.bytes`; reads no weights."""
        found = checkpoint.load(source, models_dir=self.models_dir, offline=self.offline)
        return int(found.config.parameter_count() * _BYTES[choose_precision(self.precision)])

    def tokenizer(self, source: str) -> Tokenizer | None:
        """See `Loader.tokenizer`; reads no weights."""
        return checkpoint.load(source, models_dir=self.models_dir, offline=True).tokenizer


class UnknownModelError(ConfigError):
    """A request names a model that this server does not have."""


@dataclass(slots=True, eq=False)
class LoadedModel:
    """A model that runs: `lm` for text and parameters, `scheduler` for all that computes."""

    name: str
    lm: LanguageModel
    scheduler: Scheduler
    fingerprint: str

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer, which every served model has."""
        assert self.lm.tokenizer is not None
        return self.lm.tokenizer


@dataclass(slots=True, eq=False)
class _Entry:
    name: str
    source: str
    loading: asyncio.Task[LoadedModel] | None = None
    leaving: asyncio.Task[None] | None = None  # goes on when the request that asked for room is given up
    bytes: int = 0
    users: int = 0
    used: float = 0.0
    retired: Counter[str] = field(default_factory=Counter)

    @property
    def loaded(self) -> LoadedModel | None:
        task = self.loading
        ready = task is not None and task.done() and not task.cancelled() and task.exception() is None
        return task.result() if ready and task is not None else None


class ModelPool:
    """Models by the names that requests use: `async with pool.use("tiny") as model`.

    `sources` maps each name to what the loader takes; the first is the default. `ready` are models that are loaded
    already.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        loader: Loader,
        settings: ServerSettings,
        ready: Mapping[str, LanguageModel] | None = None,
    ) -> None:
        if not sources:
            raise ConfigError("A server needs at least one model.")
        self._loader, self._settings, self._ready = loader, settings, dict(ready or {})
        self._entries = {name: _Entry(name, source) for name, source in sources.items()}
        self._turn = asyncio.Lock()  # whoever waits for room is not overtaken by those who need none
        self._freed = asyncio.Event()
        self._closing = False

    @property
    def names(self) -> list[str]:
        """Names of all models, the default one first."""
        return list(self._entries)

    def resolve(self, name: str | None) -> str:
        """Return the name of a model under which it is served; None is the first. Raises `UnknownModelError`."""
        if name is None:
            return self.names[0]
        if name in self._entries:
            return name
        for known in self._entries:
            if canonical_name(known) == canonical_name(name):
                return known
        raise UnknownModelError(
            f"The model {name[:100]!r} is not served here.{nearest(name[:100], self._entries)} "
            f"There are: {', '.join(self.names)}."
        )

    def loaded(self, name: str) -> LoadedModel | None:
        """Return a model if it is loaded; it may be gone after the next await."""
        return self._entries[name].loaded

    async def tokenizer(self, name: str) -> Tokenizer | None:
        """Return a model's tokenizer without loading the model; None where it has none that is here."""
        entry = self._entries[self.resolve(name)]
        found = entry.loaded
        lm = found.lm if found is not None else self._ready.get(entry.name)
        if lm is not None:
            return lm.tokenizer
        try:
            return await asyncio.to_thread(self._loader.tokenizer, entry.source)
        except Gpt2labError:  # whoever asks for the model itself is told
            return None

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[LoadedModel]:
        """Load a model if need be and keep it as long as the block runs.

        Raises `UnknownModelError`, `ClosedError`, and what loading it raises.
        """
        entry = self._entries[self.resolve(name)]
        async with self._turn:
            if self._closing:
                raise ClosedError("The server is stopping and takes no more requests.")
            if entry.leaving is not None:
                await asyncio.shield(entry.leaving)
            if entry.loading is None:
                await self._make_room(await asyncio.to_thread(self._estimate, entry), keep=entry)
                entry.loading = asyncio.create_task(self._loaded(entry))
            loading = entry.loading
            entry.users += 1
        try:
            yield await asyncio.shield(loading)
        finally:
            entry.users -= 1
            entry.used = time.monotonic()
            self._freed.set()  # and no await here: this also runs in a task that is being cancelled

    async def close(self, seconds: float) -> None:
        """Take no more requests, finish what runs for at most `seconds`, and let every model go."""
        self._closing = True
        await asyncio.gather(*(self._leave(e, seconds) for e in self._entries.values() if e.loading is not None))

    def statistics(self) -> dict[str, tuple[Statistics | None, Counter[str], int]]:
        """Return of each model its scheduler's state (None: not loaded), the counts of earlier ones, its bytes."""
        return {
            name: (entry.loaded.scheduler.statistics() if entry.loaded else None, entry.retired, entry.bytes)
            for name, entry in self._entries.items()
        }

    async def _loaded(self, entry: _Entry) -> LoadedModel:
        try:
            model = await asyncio.to_thread(self._start, entry)
        except BaseException:
            entry.loading, entry.bytes = None, 0
            raise
        return model

    def _start(self, entry: _Entry) -> LoadedModel:
        lm = self._ready.pop(entry.name, None) or self._loader.load(entry.source)
        if lm.tokenizer is None:
            raise CheckpointError(f"{lm.source} has no tokenizer, and the server speaks text; give it one.")
        entry.bytes = _weight_bytes(lm) + self._settings.prefix_bytes
        scheduler = Scheduler(
            lm.backend, limits=self._settings.engine, prefixes=PrefixCache(self._settings.prefix_bytes)
        )
        scheduler.start()
        return LoadedModel(entry.name, lm, scheduler, "fp_" + lm.backend.fingerprint()[:16])

    def _estimate(self, entry: _Entry) -> int:
        """Return about how much memory a model will take; one that is already there takes what it takes."""
        ready = self._ready.get(entry.name)
        weights = _weight_bytes(ready) if ready is not None else self._loader.bytes(entry.source)
        return weights + self._settings.prefix_bytes

    async def _make_room(self, needed: int, keep: _Entry) -> None:
        """Let go of models that nobody uses until `needed` bytes more fit; wait where all are in use."""
        keep.bytes = needed
        while sum(e.bytes for e in self._entries.values() if e is keep or e.loading) > self._settings.memory_bytes:
            others = [e for e in self._entries.values() if e.loading is not None and e is not keep]
            if not others:  # it alone is more than there may be: better that it runs than that nothing does
                return
            self._freed.clear()
            idle = [e for e in others if e.users == 0]
            if idle:
                await self._leave(min(idle, key=lambda e: e.used), self._settings.stop_seconds)
            else:
                await self._freed.wait()

    async def _leave(self, entry: _Entry, seconds: float) -> None:
        """Let a model go; this is brought to its end even if whoever waits for it is cancelled."""
        if entry.leaving is None:
            entry.leaving = asyncio.create_task(self._let_go(entry, seconds))
        await asyncio.shield(entry.leaving)

    async def _let_go(self, entry: _Entry, seconds: float) -> None:
        task = entry.loading
        assert task is not None
        await asyncio.wait([task])
        model = entry.loaded
        if model is not None:
            await asyncio.to_thread(model.scheduler.close, timeout=seconds)
            entry.retired.update(counts_of(model.scheduler.statistics()))
        entry.loading, entry.leaving, entry.bytes = None, None, 0


def counts_of(statistics: Statistics) -> Counter[str]:
    """Return the counts that only grow, by name; those of ended texts as ended:<finish>."""
    counts = Counter({name: getattr(statistics, name) for name in GROWING})
    counts.update({f"ended:{finish}": count for finish, count in statistics.ended.items()})
    return counts


GROWING = ("submitted", "prompt_tokens", "known_tokens", "new_tokens", "steps", "guessed_tokens", "kept_tokens")


def _weight_bytes(lm: LanguageModel) -> int:
    return lm.backend.weight_bytes if isinstance(lm.backend, NativeBackend) else 4 * lm.config.parameter_count()


def named_sources(given: Iterable[str]) -> dict[str, str]:
    """Return name -> source of models as they are given: NAME=SOURCE, or a source, which is its own name.

    A folder or file goes by its last part. Raises `ConfigError` when two would have one name.
    """
    sources: dict[str, str] = {}
    for text in given:
        name, sign, source = text.partition("=")
        if not sign:
            name, source = _short(text), text
        if not name or not source:
            raise ConfigError(f"{text!r} is no model; write --model SOURCE or --model NAME=SOURCE.")
        if name in sources:
            raise ConfigError(f"Two models are called {name!r}; write --model NAME=SOURCE for one of them.")
        sources[name] = source
    return sources


def _short(source: str) -> str:
    path = Path(source).expanduser()
    return path.resolve().name if "/" in source and path.exists() else source
