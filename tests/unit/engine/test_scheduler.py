"""The scheduler: the same tokens in every company, no stalls, bounds, ends and errors that reach whoever waits."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import random_gpt2
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output, joined
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import TextSequence
from gpt2lab.engine.running import Limits
from gpt2lab.engine.scheduler import Scheduler
from gpt2lab.engine.score import score_ids, score_pieces
from gpt2lab.engine.ticket import Ticket
from gpt2lab.errors import CheckpointError, ClosedError, ConfigError, QueueFullError, RequestError
from random_gpt2 import MODEL, native, weights_of

PARAMS = SamplingParams(max_new_tokens=25, temperature=0.9, top_k=30, seed=7, stop_ids=(), top_logprobs=2)
ENDLESS = PARAMS.replaced({"max_new_tokens": 10**9})
WIDE = dataclasses.replace(MODEL, n_positions=600)
WAIT = 600.0  # seconds after which a test that hangs fails


def prompt(length: int, seed: int = 0) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(MODEL.vocab_size, size=length).astype(np.int32)


JOBS = [Job(prompt(length, length), PARAMS, sample) for sample, length in enumerate((1, 40, 3, 17, 60, 2, 33, 70, 9))]


def alone(backend: NativeBackend, job: Job) -> Output:
    batch = Batch(backend, [job])
    for _ in batch:
        pass
    return batch.output(0)


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL, threads=2)


@pytest.fixture(scope="module")
def expected(backend: NativeBackend) -> list[Output]:
    return [alone(backend, job) for job in JOBS]


class Watched:
    """A backend that notes what each step was given, and fails when told to."""

    def __init__(self, backend: NativeBackend) -> None:
        self._backend = backend
        self.steps: list[list[int]] = []  # what was due of each text
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def decode(self, sequences: Sequence[TextSequence], steps: int, **limits: Any) -> int:
        self.steps.append([s.due for s in sequences])
        if self.error is not None:
            raise self.error
        return self._backend.decode(sequences, steps, **limits)


def outputs(tickets: Sequence[Ticket]) -> list[Output]:
    return [ticket.result(WAIT) for ticket in tickets]


# ---- tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(max_running=1),
        Limits(max_running=3, step_tokens=5, report_seconds=0),
        Limits(step_tokens=1),
        Limits(step_tokens=50, max_cached_tokens=130),
    ],
)
@pytest.mark.parametrize("prefix_bytes", [0, 2**18, 2**28])
def test_no_limit_changes_a_token(
    backend: NativeBackend, expected: list[Output], limits: Limits, prefix_bytes: int
) -> None:
    with Scheduler(backend, limits=limits, prefixes=PrefixCache(prefix_bytes)) as scheduler:
        assert outputs(scheduler.submit_all(JOBS)) == expected
        assert outputs(scheduler.submit_all(JOBS[::-1])) == expected[::-1]


def test_texts_that_join_while_others_run(backend: NativeBackend, expected: list[Output]) -> None:
    """Each text is submitted at a certain token of the one before it."""
    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        tickets: list[Ticket] = []
        known, finished = threading.Lock(), threading.Event()

        def follow(ticket: Ticket) -> None:
            with known:
                if ticket is tickets[-1] and len(tickets) < len(JOBS):
                    tickets.append(scheduler.submit(JOBS[len(tickets)], follow))
                elif all(t.done for t in tickets):
                    finished.set()

        with known:
            tickets.append(scheduler.submit(JOBS[0], follow))
        assert finished.wait(WAIT)
        assert outputs(tickets) == expected


def test_samples_of_one_prompt_share_its_computation(backend: NativeBackend) -> None:
    jobs = [Job(prompt(50), PARAMS.replaced({"max_new_tokens": 5}), sample) for sample in range(8)]
    one_by_one = [alone(backend, job) for job in jobs]
    for memory in (0, 2**28):
        watched = Watched(backend)
        scheduler = Scheduler(watched, limits=Limits(step_tokens=20), prefixes=PrefixCache(memory))
        tickets = scheduler.submit_all(jobs)
        with scheduler:
            assert outputs(tickets) == one_by_one
        statistics = scheduler.statistics()
        assert (statistics.prompt_tokens, statistics.known_tokens) == (8 * 50, 7 * 49)
        assert (
            max(sum(step) for step in watched.steps) == 50
        )  # due of the first alone; the others came when it was read


def test_a_prompt_that_another_text_is_reading(backend: NativeBackend) -> None:
    """It waits for the part they share, not for the rest."""
    backend = native(WIDE)
    long = Job(prompt(500), PARAMS)
    fork = Job(np.concatenate([prompt(100), prompt(30, 1)]), PARAMS)
    scheduler = Scheduler(backend, limits=Limits(step_tokens=50))
    tickets = scheduler.submit_all([long, fork])
    with scheduler:
        assert outputs(tickets) == [alone(backend, long), alone(backend, fork)]
    assert scheduler.statistics().known_tokens == 100


def test_prompt_lookup_in_company(backend: NativeBackend) -> None:
    params = PARAMS.replaced({"temperature": 0.0, "max_new_tokens": 100})
    jobs = [Job(np.resize(prompt(3, n), 30), params, n) for n in range(4)]
    plain = [alone(backend, job) for job in jobs]
    looking = [Job(j.prompt, params.replaced({"prompt_lookup_num_tokens": 4 * (i % 2)})) for i, j in enumerate(jobs)]
    with Scheduler(backend) as scheduler:
        assert outputs(scheduler.submit_all(looking)) == plain
    statistics = scheduler.statistics()
    assert statistics.new_tokens == 400
    assert 0 < statistics.kept_tokens <= statistics.guessed_tokens


# ---- reports ---------------------------------------------------------------------------------------------------


def test_iteration_yields_what_the_result_holds(backend: NativeBackend, expected: list[Output]) -> None:
    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        ticket = scheduler.submit(JOBS[1])
        parts = list(ticket)
        assert [part.finish for part in parts] == [""] * (len(parts) - 1) + ["length"]
        assert all(len(p.ids) == len(p.logprobs) == len(p.top_logprobs) for p in parts)
        whole = joined(0, parts)
        assert whole[1:] == (expected[1].ids, "length", expected[1].logprobs, expected[1].top_logprobs, None)
        assert ticket.result() == expected[1]
        assert ticket.finish == "length"
        assert [(part.ids, part.finish) for part in ticket] == [([], "length")]  # all was taken before


def test_the_end_token_is_told_apart(backend: NativeBackend, expected: list[Output]) -> None:
    free = expected[1]
    at = next(i for i in range(2, len(free.ids)) if free.ids[i] not in free.ids[:i])
    job = dataclasses.replace(JOBS[1], params=PARAMS.replaced({"stop_ids": (free.ids[at],)}))
    with Scheduler(backend) as scheduler:
        whole = joined(0, list(scheduler.submit(job)))
    assert (whole.ids, whole.finish, whole.logprobs) == (free.ids[:at], "eos", free.logprobs[:at])
    assert whole.end == (free.ids[at], free.logprobs[at], free.top_logprobs[at])


def test_news_comes_after_every_report(backend: NativeBackend, expected: list[Output]) -> None:
    taken = []
    done = threading.Event()

    def news(ticket: Ticket) -> None:
        taken.append(ticket.take())
        if ticket.done:
            done.set()

    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        scheduler.submit(JOBS[3], news)
        assert done.wait(WAIT)
    assert [len(part.ids) for part in taken] == [1] * 25
    assert [i for part in taken for i in part.ids] == expected[3].ids


def test_an_end_token_is_not_reported(backend: NativeBackend, expected: list[Output]) -> None:
    end = expected[0].ids[10]
    job = dataclasses.replace(JOBS[0], params=PARAMS.replaced({"stop_ids": (end,)}))
    with Scheduler(backend) as scheduler:
        output = scheduler.submit(job).result(WAIT)
    count = expected[0].ids.index(end)
    assert output == Output(
        expected[0].ids[:count], expected[0].logprobs[:count], expected[0].top_logprobs[:count], "eos"
    )
    assert scheduler.statistics().ended == {"eos": 1}


def test_nothing_to_generate(backend: NativeBackend) -> None:
    with Scheduler(backend) as scheduler:
        job = Job(prompt(50), PARAMS.replaced({"max_new_tokens": 0}))
        assert scheduler.submit(job).result(WAIT) == Output([], [], [], "length")


def test_waiting_for_a_result_can_end(backend: NativeBackend) -> None:
    ticket = Scheduler(backend).submit(JOBS[0])
    with pytest.raises(TimeoutError, match="The text has not ended within 0 seconds"):
        ticket.result(0)
    assert ticket.take().ids == []


# ---- asyncio ---------------------------------------------------------------------------------------------------


def test_an_event_loop_reads_many_texts(backend: NativeBackend, expected: list[Output]) -> None:
    async def read(ticket: Ticket) -> Output:
        parts = [part async for part in ticket]
        assert all(part.ids or part.finish for part in parts)
        return Output(*(joined(0, parts)[i] for i in (1, 3, 4, 2)))

    async def all_of_them(scheduler: Scheduler) -> list[Output]:
        return await asyncio.gather(*(read(scheduler.submit(job)) for job in JOBS))

    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        assert asyncio.run(all_of_them(scheduler)) == expected


def test_a_task_that_is_cancelled_cancels_its_text(backend: NativeBackend, expected: list[Output]) -> None:
    async def endless(scheduler: Scheduler, begun: asyncio.Event) -> None:
        with scheduler.submit(Job(prompt(5), ENDLESS)) as ticket:
            async for _ in ticket:
                begun.set()

    async def main(scheduler: Scheduler) -> Output:
        begun = asyncio.Event()
        task = asyncio.create_task(endless(scheduler, begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(scheduler.submit(JOBS[2]).result, WAIT)

    with Scheduler(backend, limits=Limits(max_running=1)) as scheduler:
        assert asyncio.run(main(scheduler)) == expected[2]
    assert scheduler.statistics().ended == {"stop": 1, "length": 1}


def test_errors_reach_an_event_loop(backend: NativeBackend) -> None:
    async def read(ticket: Ticket) -> None:
        async for _ in ticket:
            pass

    nothing = PARAMS.replaced({"bad_words_ids": [[i] for i in range(MODEL.vocab_size)]})
    with Scheduler(backend) as scheduler, pytest.raises(RequestError, match="No token is possible"):
        asyncio.run(read(scheduler.submit(Job(prompt(3), nothing))))


def test_a_loop_that_has_ended_ends_its_text_alone(backend: NativeBackend, expected: list[Output]) -> None:
    async def first_part(ticket: Ticket) -> Any:
        parts = ticket.__aiter__()
        await parts.__anext__()  # type: ignore[attr-defined]
        return parts  # left open: nobody listens any more, and nobody said so

    with Scheduler(backend) as scheduler:
        ticket = scheduler.submit(Job(prompt(5), ENDLESS))
        loop = asyncio.new_event_loop()
        parts = loop.run_until_complete(first_part(ticket))
        loop.close()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            ticket.result(WAIT)
        assert scheduler.submit(JOBS[0]).result(WAIT) == expected[0]
        with pytest.raises(StopIteration):
            parts.aclose().send(None)


def test_one_listener_at_a_time(backend: NativeBackend) -> None:
    async def read(ticket: Ticket) -> None:
        async for _ in ticket:
            pass

    ticket = Scheduler(backend).submit(JOBS[0], lambda _: None)
    with pytest.raises(RequestError, match="This text is watched already, by on_news or by another loop"):
        asyncio.run(read(ticket))


# ---- fairness --------------------------------------------------------------------------------------------------


def test_a_long_prompt_stalls_nobody() -> None:
    """While it is read in pieces, a running text gets a token in every step."""
    watched = Watched(native(WIDE))
    scheduler = Scheduler(watched, limits=Limits(step_tokens=30, report_seconds=0))
    order: list[int] = []
    begun = threading.Event()

    def note(ticket: Ticket) -> None:
        order.append(ticket.number)
        begun.set()

    with scheduler:
        first = scheduler.submit(Job(prompt(2), ENDLESS), note)
        assert begun.wait(WAIT)
        scheduler.submit(Job(prompt(500), PARAMS), note).result(WAIT)
        first.cancel()
    before = order[: order.index(1)]
    reading = [step for step in watched.steps if max(step) > 1 and len(step) == 2]
    assert len(reading) == 18  # 500 tokens, 29 at a time
    assert all(step[0] == 1 for step in reading)
    assert before.count(0) >= 18


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.0, [580, 388, 196, 4]), (1000.0, [580, 388, 88]), (math.inf, [580, 388, 88])]
)
def test_as_much_of_a_prompt_is_read_as_its_time_allows(seconds: float, read: list[int]) -> None:
    """The first step, of which nothing is known, reads 192 tokens; the next as many as fit."""
    watched = Watched(native(WIDE))
    with Scheduler(watched, limits=Limits(step_tokens=300, step_seconds=seconds)) as scheduler:
        scheduler.submit(Job(prompt(580), PARAMS)).result(WAIT)
    assert [step[0] for step in watched.steps if step[0] > 1] == read


def test_short_prompts_pass_long_ones_but_not_forever() -> None:
    watched = Watched(native(WIDE))
    short = PARAMS.replaced({"max_new_tokens": 1})
    scheduler = Scheduler(watched, limits=Limits(step_tokens=20), prefixes=PrefixCache(0))
    ended: list[int] = []
    done = threading.Event()

    def next_one(ticket: Ticket) -> None:
        if ticket.done:
            ended.append(ticket.number)
            if ticket.number == 0:
                done.set()
            if not done.is_set():
                scheduler.submit(Job(prompt(20, ticket.number), short), next_one)

    tickets = scheduler.submit_all([Job(prompt(400), short), Job(prompt(20, 99), short)], next_one)
    with scheduler:
        assert done.wait(WAIT)
    assert outputs(tickets)[0] == alone(native(WIDE), Job(prompt(400), short))
    assert ended.index(0) == pytest.approx(
        20, abs=3
    )  # of two steps, one is for a short prompt and one for the long one


def test_reports_come_in_bursts_only_when_nobody_waits(backend: NativeBackend) -> None:
    watched = Watched(backend)
    with Scheduler(watched, limits=Limits(report_seconds=10.0)) as scheduler:
        scheduler.submit(Job(prompt(5), PARAMS.replaced({"max_new_tokens": 130}))).result(WAIT)
    assert len(watched.steps) <= 5  # one step that reads the prompt, then up to 64 at a time
    assert scheduler.statistics().steps >= 130


# ---- cancelling ------------------------------------------------------------------------------------------------


def test_a_cancelled_text_keeps_what_was_reported(backend: NativeBackend, expected: list[Output]) -> None:
    job = dataclasses.replace(JOBS[4], params=ENDLESS)
    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        ticket = scheduler.submit(job)
        others = scheduler.submit_all(JOBS)
        seen: list[int] = []
        for part in ticket:
            seen += part.ids
            if len(seen) >= 10:
                ticket.cancel()
                ticket.cancel()
        output = ticket.result(WAIT)
        assert output.finish == "stop"
        assert len(output.ids) == len(output.logprobs) == len(seen) >= 10
        assert output.ids[:25] == expected[4].ids[: len(seen)][:25]
        assert outputs(others) == expected
    assert scheduler.statistics().ended == {"stop": 1, "length": len(JOBS)}


def test_a_text_cancelled_before_it_began(backend: NativeBackend, expected: list[Output]) -> None:
    scheduler = Scheduler(backend)
    tickets = scheduler.submit_all(JOBS[:3])
    tickets[1].cancel()
    assert tickets[1].result(0) == Output([], [], [], "stop")
    assert scheduler.statistics().waiting == 2
    with scheduler:
        assert outputs(tickets)[::2] == expected[:3:2]
    tickets[0].cancel()
    assert tickets[0].finish == "length"


def test_leaving_a_with_block_cancels(backend: NativeBackend) -> None:
    with Scheduler(backend) as scheduler:
        with scheduler.submit(Job(prompt(5), ENDLESS)) as ticket:
            next(iter(ticket))
        assert ticket.finish == "stop"


# ---- bounds ----------------------------------------------------------------------------------------------------


def test_the_queue_is_bounded(backend: NativeBackend, expected: list[Output]) -> None:
    scheduler = Scheduler(backend, limits=Limits(max_waiting=3))
    tickets = scheduler.submit_all(JOBS[:2])
    sentence = "2 requests are waiting and 2 more would pass the limit of 3; try again later."
    with pytest.raises(QueueFullError, match=sentence):
        scheduler.submit_all(JOBS[:2])
    assert scheduler.statistics().waiting == scheduler.statistics().submitted == 2
    other = scheduler.run(lambda: 5)
    with pytest.raises(QueueFullError, match="3 requests are waiting and 1 more"):
        scheduler.submit(JOBS[2])
    with pytest.raises(QueueFullError, match="3 requests are waiting and 1 more"):
        scheduler.run(lambda: 6)
    tickets[0].cancel()
    tickets.append(scheduler.submit(JOBS[2]))
    with scheduler:
        assert outputs(tickets[1:]) == expected[1:3]
        assert other.result(WAIT) == 5


def test_the_caches_are_bounded(backend: NativeBackend, expected: list[Output]) -> None:
    """Jobs 0 … 8 may need 26, 64, 28, 42, 64, 27, 58, 64, 34 positions."""
    watched = Watched(backend)
    scheduler = Scheduler(watched, limits=Limits(max_cached_tokens=64))
    tickets = scheduler.submit_all(JOBS)
    with scheduler:
        assert outputs(tickets) == expected
    assert max(len(step) for step in watched.steps) == 1
    watched = Watched(backend)
    scheduler = Scheduler(watched, limits=Limits(max_cached_tokens=100))
    tickets = scheduler.submit_all(JOBS)
    with scheduler:
        assert outputs(tickets) == expected
    assert max(len(step) for step in watched.steps) == 2
    assert scheduler.statistics().reserved_tokens == 0


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        ({"max_running": 0}, RequestError, "max_running = 0 must be a whole number of at least 1"),
        ({"max_waiting": 0}, RequestError, "max_waiting = 0 must be a whole number of at least 1"),
        ({"step_tokens": 0}, RequestError, "step_tokens = 0 must be a whole number of at least 1"),
        ({"step_seconds": -1}, RequestError, "step_seconds = -1 must be a number of at least 0"),
        ({"report_seconds": -1}, RequestError, "report_seconds = -1 must be a number of at least 0"),
        ({"max_cached_tokens": 63}, ConfigError, "max_cached_tokens = 63 must be at least the model's window of 64"),
    ],
)
def test_impossible_limits_are_named(
    backend: NativeBackend, values: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Scheduler(backend, limits=Limits(**values))


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (Job(np.asarray([1, 211], np.int32), PARAMS), "Token id 211 is not one of the model's"),
        (Job(np.zeros(0, np.int32), PARAMS), "The prompt is empty"),
        (Job(prompt(3), PARAMS.replaced({"stop_ids": (900,)})), "stop_ids names the token 900"),
        (Job(prompt(60), PARAMS.replaced({"window": "strict"})), "do not fit the model's window of 64"),
        (Job(prompt(3), PARAMS.replaced({"num_beams": 2})), "num_beams = 2: beams cannot join a running batch"),
    ],
)
def test_impossible_jobs_are_refused_at_once(backend: NativeBackend, job: Job, sentence: str) -> None:
    scheduler = Scheduler(backend)
    with pytest.raises(RequestError, match=sentence):
        scheduler.submit_all([JOBS[0], job])
    assert scheduler.statistics().submitted == 0


def test_time_ends_a_text(backend: NativeBackend) -> None:
    with Scheduler(backend) as scheduler:
        running = scheduler.submit(Job(prompt(5), ENDLESS.replaced({"max_time": 0.3}))).result(WAIT)
    assert running.finish == "length"
    assert len(running.ids) > 0
    scheduler = Scheduler(backend)
    waiting = scheduler.submit(Job(prompt(5), ENDLESS.replaced({"max_time": 1e-9})))
    with scheduler:
        assert waiting.result(WAIT) == Output([], [], [], "length")


# ---- errors ----------------------------------------------------------------------------------------------------


def test_an_error_of_the_backend_reaches_everyone(backend: NativeBackend, expected: list[Output]) -> None:
    watched = Watched(backend)
    watched.error = MemoryError("no pages left")
    scheduler = Scheduler(watched, limits=Limits(max_running=2))
    tickets = scheduler.submit_all(JOBS)
    with scheduler:
        for ticket in tickets:
            with pytest.raises(MemoryError, match="no pages left") as raised:
                ticket.result(WAIT)
            assert raised.value is watched.error
        with pytest.raises(MemoryError):
            list(tickets[0])
        with pytest.raises(MemoryError):
            tickets[0].take()
        watched.error = None  # what comes later may fare better
        assert outputs(scheduler.submit_all(JOBS)) == expected
    assert scheduler.statistics().ended == {"error": len(JOBS), "length": len(JOBS)}


def test_a_text_without_a_possible_token_fails_alone(backend: NativeBackend, expected: list[Output]) -> None:
    nothing = PARAMS.replaced({"bad_words_ids": [[i] for i in range(MODEL.vocab_size)]})
    with Scheduler(backend) as scheduler:
        bad, *good = scheduler.submit_all([Job(prompt(3), nothing), *JOBS])
        with pytest.raises(RequestError, match="No token is possible"):
            bad.result(WAIT)
        assert outputs(good) == expected
        assert bad.finish == "error"


def test_damaged_weights_are_named() -> None:
    weights = weights_of(MODEL)
    weights["transformer.h.0.ln_1.weight"][3] = np.nan
    with Scheduler(NativeBackend(MODEL, weights)) as scheduler, pytest.raises(CheckpointError, match="not a number"):
        scheduler.submit(JOBS[0]).result(WAIT)


def test_a_listener_that_fails_ends_its_text_alone(backend: NativeBackend, expected: list[Output]) -> None:
    def fail(_: Ticket) -> None:
        raise ZeroDivisionError("a mistake of the caller")

    with Scheduler(backend, limits=Limits(report_seconds=0)) as scheduler:
        bad = scheduler.submit(Job(prompt(3), ENDLESS), fail)
        good = scheduler.submit_all(JOBS)
        with pytest.raises(ZeroDivisionError, match="a mistake of the caller"):
            bad.result(WAIT)
        assert outputs(good) == expected
    assert scheduler.statistics().ended == {"error": 1, "length": len(JOBS)}


# ---- other work ------------------------------------------------------------------------------------------------


def test_other_work_between_steps(backend: NativeBackend, expected: list[Output]) -> None:
    ids = prompt(200)
    with Scheduler(backend) as scheduler:
        endless = scheduler.submit(Job(prompt(5), ENDLESS))
        tickets = scheduler.submit_all(JOBS)
        pieces = scheduler.run(score_pieces(backend, ids, context=0, top=2, piece=7))
        simple = scheduler.run(lambda: threading.current_thread().name)
        scores, whole = pieces.result(WAIT), score_ids(backend, ids, context=0, top=2)
        for field in dataclasses.fields(scores):
            np.testing.assert_array_equal(getattr(scores, field.name), getattr(whole, field.name))
        assert simple.result(WAIT) == "gpt2lab scheduler"
        assert outputs(tickets) == expected
        endless.cancel()


def test_pieces_of_work_take_turns_with_steps_and_each_other(backend: NativeBackend) -> None:
    done: list[str] = []

    def pieces(name: str, count: int) -> Any:
        for _ in range(count):
            done.append(name)
            yield
        return name

    watched = Watched(backend)
    scheduler = Scheduler(watched, limits=Limits(report_seconds=0))
    scheduler.submit(JOBS[0], lambda ticket: done.append("text"))
    futures = [scheduler.run(pieces("a", 3)), scheduler.run(pieces("b", 2))]
    with scheduler:
        assert [f.result(WAIT) for f in futures] == ["a", "b"]
    assert done[:9:2] == ["a", "b", "a", "b", "a"]
    assert done[1:8:2] == ["text"] * 4


def test_an_error_in_other_work_is_its_own(backend: NativeBackend, expected: list[Output]) -> None:
    def fails() -> None:
        raise ZeroDivisionError("here")

    with Scheduler(backend) as scheduler:
        tickets = scheduler.submit_all(JOBS)
        with pytest.raises(ZeroDivisionError, match="here"):
            scheduler.run(fails).result(WAIT)
        assert outputs(tickets) == expected


def test_work_can_be_cancelled_between_its_pieces(backend: NativeBackend) -> None:
    closed = threading.Event()
    begun = threading.Event()

    def endless() -> Any:
        try:
            while True:
                begun.set()
                yield
        finally:
            closed.set()

    with Scheduler(backend) as scheduler:
        future = scheduler.run(endless())
        assert begun.wait(WAIT)
        assert future.cancel()
        assert closed.wait(WAIT)


# ---- the end ---------------------------------------------------------------------------------------------------


def test_closing_finishes_what_was_submitted(backend: NativeBackend, expected: list[Output]) -> None:
    scheduler = Scheduler(backend, limits=Limits(max_running=2))
    scheduler.start()
    scheduler.start()
    tickets = scheduler.submit_all(JOBS)
    assert scheduler.close()
    assert [ticket.result(0) for ticket in tickets] == expected
    assert scheduler.close()
    with pytest.raises(ClosedError, match="The engine is closing and takes no more requests"):
        scheduler.submit(JOBS[0])
    with pytest.raises(ClosedError, match="takes no more requests"):
        scheduler.run(lambda: 1)
    with pytest.raises(ClosedError):
        scheduler.start()


@pytest.mark.parametrize("how", [{"drain": False}, {"timeout": 0.01}])
def test_closing_in_a_hurry_cancels(backend: NativeBackend, how: dict[str, Any]) -> None:
    scheduler = Scheduler(backend, limits=Limits(max_running=2))
    scheduler.start()
    tickets = scheduler.submit_all([Job(prompt(5), ENDLESS, n) for n in range(5)])
    next(iter(tickets[0]))

    def endless() -> Any:
        while True:
            yield

    future = scheduler.run(endless())
    assert not scheduler.close(**how)
    assert [ticket.result(0).finish for ticket in tickets] == ["stop"] * 5
    assert future.cancelled()


def test_an_error_in_the_with_block_does_not_wait_for_texts(backend: NativeBackend) -> None:
    with pytest.raises(ZeroDivisionError), Scheduler(backend) as scheduler:
        ticket = scheduler.submit(Job(prompt(5), ENDLESS))
        raise ZeroDivisionError
    assert ticket.finish == "stop"


def test_closing_what_never_started(backend: NativeBackend) -> None:
    scheduler = Scheduler(backend)
    ticket = scheduler.submit(JOBS[0])
    assert not scheduler.close()
    assert ticket.result(0).finish == "stop"


def test_statistics(backend: NativeBackend) -> None:
    scheduler = Scheduler(backend)
    tickets = scheduler.submit_all([Job(prompt(20), PARAMS, n) for n in range(2)])
    statistics = scheduler.statistics()
    assert (statistics.waiting, statistics.running, statistics.submitted, statistics.ended) == (2, 0, 2, {})
    seen = []
    with scheduler:
        tickets.append(scheduler.submit(Job(prompt(70, 1), PARAMS), lambda t: seen.append(scheduler.statistics())))
        outputs(tickets)
    assert seen[0].running >= 1
    assert seen[0].reserved_tokens >= 38 + 25
    statistics = scheduler.statistics()
    assert (statistics.waiting, statistics.running, statistics.reserved_tokens, statistics.submitted) == (0, 0, 0, 3)
    assert statistics.ended == {"length": 3}
    assert statistics.new_tokens == 75
    assert statistics.prompt_tokens == 20 + 20 + 38  # of 70 tokens the window of 64 begins at 32
    assert statistics.prefixes.lookups == 3
    assert (statistics.guessed_tokens, statistics.kept_tokens) == (0, 0)


FORGOTTEN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from random_gpt2 import native
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.scheduler import Scheduler

scheduler = Scheduler(native(threads=2))
scheduler.start()
ticket = scheduler.submit(Job(np.asarray([5], np.int32), SamplingParams(max_new_tokens=10**9, stop_ids=())))
next(iter(ticket))
print("begun")
"""


def test_a_process_that_forgets_to_close_ends_all_the_same() -> None:
    command: list[str] = [sys.executable, "-W", "error", "-c", FORGOTTEN, str(Path(random_gpt2.__file__).parent)]
    done = subprocess.run(command, capture_output=True, timeout=WAIT, check=True)
    assert done.stdout == b"begun\n"
    assert done.stderr == b""


# ---- many threads ----------------------------------------------------------------------------------------------


def test_many_threads_submit_read_and_cancel(backend: NativeBackend, expected: list[Output]) -> None:
    """Whoever reads to the end has the whole text, whoever leaves has its beginning, whatever the others do."""
    problems: list[str] = []

    def client(scheduler: Scheduler, seed: int) -> None:
        r = np.random.default_rng(seed)
        for _ in range(12):
            which = int(r.integers(len(JOBS)))
            leave_after = int(r.integers(1, 25)) if r.random() < 0.5 else None
            seen: list[int] = []
            with scheduler.submit(JOBS[which]) as ticket:
                for part in ticket:
                    seen += part.ids
                    if leave_after is not None and len(seen) >= leave_after:
                        break
            whole = expected[which].ids
            complete = ticket.finish == "length" and ticket.result(0) == expected[which]
            left = ticket.finish == "stop" and leave_after is not None
            if seen != whole[: len(seen)] or not (complete or left) or (leave_after is None and seen != whole):
                problems.append(f"client {seed}, job {which}: {len(seen)} tokens, {ticket.finish}")

    limits = Limits(max_running=5, step_tokens=20, report_seconds=0.001, max_cached_tokens=200)
    with Scheduler(backend, limits=limits, prefixes=PrefixCache(2**19)) as scheduler:
        run_threads([lambda seed=seed: client(scheduler, seed) for seed in range(16)])
    assert problems == []
    statistics = scheduler.statistics()
    assert statistics.submitted == sum(statistics.ended.values()) == 16 * 12
    assert set(statistics.ended) <= {"length", "stop"}
    assert statistics.prefixes.bytes <= 2**19


def run_threads(work: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=w) for w in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
