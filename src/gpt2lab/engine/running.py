"""The texts that run at the moment: which are let in, what one step computes, what is reported of them.

Prompts are read in pieces beside the texts that are being written, which therefore never stall (Agrawal et al. 2024,
"Sarathi-Serve"), and texts that begin alike share that computation (prefix.py). No choice made here changes a token.
Knows one thread, its caller's.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gpt2lab.engine.jobs import Text
from gpt2lab.engine.params import check_whole
from gpt2lab.engine.prefix import PrefixCache, shared_length
from gpt2lab.engine.protocol import Backend, Cache, Ids
from gpt2lab.engine.ticket import Ticket
from gpt2lab.errors import CheckpointError, ConfigError, RequestError

_MAX_BURST = 64
_WORTH_SHARING = 8  # tokens that another text computes and that are rather shared than computed again
_OFTEN_TOLD = 8  # texts that are reported as often as can be
_LEAST_STEP = 192  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a `Scheduler` takes on.

    max_running, max_waiting: texts that are written at once; texts (and pieces of other work) that wait behind them.
    max_cached_tokens: positions in the caches of all running texts, each counted at the length it may reach; the
        default is a whole window for each. The prefix cache has a bound of its own.
    step_tokens: most tokens computed in one step: one of each text that is being written, and of prompts what is left,
        but at least a third.
    step_seconds: where so many tokens of prompts take longer, fewer are read in one step, for texts that are being
        written wait for it; but 192 in any case, which a model's weights are worth being read for.
    report_seconds: a text is reported about this often when a step takes less, and more seldom where more than 8 texts
        run, since reports cost the machine that computes; its beginning and its end at once. 0 reports every step.
    """

    max_running: int = 32
    max_waiting: int = 256
    max_cached_tokens: int | None = None
    step_tokens: int = 1024
    step_seconds: float = 0.1
    report_seconds: float = 0.02

    def __post_init__(self) -> None:
        for name in ("max_running", "max_waiting", "step_tokens"):
            check_whole(name, getattr(self, name), 1)
        for name in ("step_seconds", "report_seconds"):
            if not getattr(self, name) >= 0:
                raise RequestError(f"{name} = {getattr(self, name)!r} must be a number of at least 0.")

    def cached_tokens(self, n_positions: int) -> int:
        """Return max_cached_tokens for a model with this window."""
        given = self.max_cached_tokens
        if given is not None and given < n_positions:
            raise ConfigError(
                f"max_cached_tokens = {given} must be at least the model's window of {n_positions} tokens."
            )
        return self.max_running * n_positions if given is None else given


@dataclass(slots=True, eq=False)
class _Entry:
    ticket: Ticket
    text: Text
    window: Ids  # what the model reads of the prompt
    reserved: int  # positions that its cache may come to hold
    told: float = -math.inf  # when it was last reported, on the monotonic clock

    @property
    def read(self) -> int:
        """How much of its prompt has been read."""
        return len(self.window) - (self.text.sequence.due if self.text.reading else 0)


class RunningTexts:
    """Texts on one backend; `counts` has what `Statistics` says of tokens and steps."""

    def __init__(self, backend: Backend, limits: Limits, prefixes: PrefixCache) -> None:
        self._backend, self._limits, self._prefixes = backend, limits, prefixes
        self._room = limits.cached_tokens(backend.config.n_positions)
        self._entries: list[_Entry] = []
        self._rounds = 0
        self._in_time = _LEAST_STEP  # tokens that a step can compute in its time, by the last one that read so many
        self.counts = Counter[str]()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tickets(self) -> list[Ticket]:
        """Those of the running texts."""
        return [entry.ticket for entry in list(self._entries)]

    @property
    def reserved_tokens(self) -> int:
        """Positions that their caches may come to hold."""
        return sum(entry.reserved for entry in list(self._entries))

    def admit(self, waiting: Iterable[Ticket]) -> list[Ticket]:
        """Let in the first of those that wait, as far as there is room; return them."""
        admitted = []
        free = self._room - self.reserved_tokens
        n = self._backend.config.n_positions
        for ticket in waiting:
            job = ticket.job
            window = job.window(n)
            reserved = min(len(window) + job.params.max_new_tokens, n)
            if len(self._entries) == self._limits.max_running or reserved > free:
                break
            if self._is_coming(window):
                continue
            self._entries.append(_Entry(ticket, self._begun(ticket, window), window, reserved))
            free -= reserved
            admitted.append(ticket)
        return admitted

    def round(self, *, hurry: bool) -> None:
        """Compute one step with every text, or a burst of them unless there is `hurry`; report what came."""
        for entry in [e for e in self._entries if e.ticket.done]:  # cancelled
            self._leave(entry)
        if self._entries:
            self._step(hurry=hurry)
            self._report()

    def fail(self, error: BaseException) -> None:
        """End all of them with an error."""
        for entry in list(self._entries):
            self._leave(entry)
            entry.ticket.fail(error)

    def _is_coming(self, window: Ids) -> bool:
        """Whether a running text is about to read much of what this one begins with."""
        return any(
            min(shared_length(entry.window, window), len(window) - 1) - entry.read >= _WORTH_SHARING
            for entry in self._entries
            if entry.text.reading
        )

    def _begun(self, ticket: Ticket, window: Ids) -> Text:
        """Return a text on top of the longest beginning that earlier or running texts have computed."""
        job = ticket.job
        known = self._known(window)
        sequence = self._backend.sequence(job.prompt, job.params, job.sample, known)
        self.counts.update(prompt_tokens=len(window), known_tokens=len(window) - sequence.due)
        return Text(ticket.number, job, sequence)

    def _known(self, window: Ids) -> Cache | None:
        known = self._prefixes.find(window[:-1])
        best, length = None, 0 if known is None else known.length
        for other in self._entries:
            shared = min(shared_length(other.window, window), other.read)
            if shared - length >= _WORTH_SHARING:
                best, length = other, shared
        if best is None:
            return known
        held, cache = best.text.sequence.snapshot()
        cache.crop(shared_length(held, window))  # less than `length` when its window has moved
        return cache if known is None or cache.length > known.length else known

    def _step(self, *, hurry: bool) -> None:
        writing = [e.text.sequence for e in self._entries if e.text.sequence.due <= 1]
        reading = [e.text.sequence for e in self._entries if e.text.sequence.due > 1]
        self._rounds += 1
        if self._rounds % 2:  # every other step short prompts pass the long ones; in between, who came first goes first
            reading.sort(key=lambda sequence: sequence.due)
        most = min(self._limits.step_tokens, self._in_time)
        due = sum(sequence.due for sequence in reading)
        began = time.monotonic()
        self.counts["steps"] += self._backend.decode(
            [*writing, *reading],
            1 if reading or hurry else _MAX_BURST,
            budget=max(most - len(writing), most // 3, 1),
            seconds=self._limits.report_seconds,
        )
        read = due - sum(sequence.due for sequence in reading)
        if read >= _LEAST_STEP // 3:  # of fewer the weights are most of the time
            per_second = (read + len(writing)) / max(time.monotonic() - began, 1e-6)
            fitting = min(per_second * self._limits.step_seconds, self._limits.step_tokens)  # the time may be infinite
            self._in_time = max(_LEAST_STEP, int(fitting))

    def _report(self) -> None:
        """Tell every text's ticket what is new, and let go of those that have ended."""
        now = time.monotonic()
        pause = self._limits.report_seconds * max(len(self._entries) / _OFTEN_TOLD, 1)
        for entry in list(self._entries):
            entry.text.stop_if_late(now - entry.ticket.submitted)
            if entry.text.sequence.running and now - entry.told < pause:
                continue
            try:
                part = entry.text.report()
            except (RequestError, CheckpointError) as error:  # of this text alone
                self._leave(entry)
                entry.ticket.fail(error)
                continue
            self.counts["new_tokens"] += len(part.ids)
            entry.text.remember_in(self._prefixes, ended=part.finish != "")
            if part.finish:
                self._leave(entry)
            if part.ids or part.finish:
                entry.told = now
                entry.ticket.put(part)

    def _leave(self, entry: _Entry) -> None:
        """Free the place of a text that has ended."""
        guessed, kept = entry.text.sequence.lookups
        self._entries.remove(entry)
        self.counts.update(guessed_tokens=guessed, kept_tokens=kept)
