"""An hour's use of a server in minutes: clients that ask, stream, go away in the middle, and send garbage, at random.

    python -m benchmarks.soak --minutes 10

Every answer is compared with the library's own; memory is looked at from the moment on when caches are full. Ends
with code 1 when an answer is wrong or missing, something still runs at the end, the server complains, or its memory
has grown by more than 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.garbage import complaint, garbage
from benchmarks.serving_process import ServerProcess
from benchmarks.wire import asked, post

if TYPE_CHECKING:
    from gpt2lab import LanguageModel

GROWTH = 0.05
"""Memory may be more at the end by this part of what it was."""
WARM_UP = 0.25
"""Part of the time in which caches fill and memory is not looked at."""
SAMPLE_SECONDS = 1.0
KINDS = ("whole", "stream", "leave", "garbage", "noise", "next", "vector")
WORDS = ("the", "sea", "house", "night", "and", "old", "was", "never", "a", "long", "red", "door", "she", "had", "gone")
SERVER = ("--max-output-tokens", "100000", "--prefix-memory", "0.02")


@dataclass(slots=True)
class Case:
    """A request whose answer is known."""

    body: dict[str, Any]
    texts: list[str]


@dataclass(slots=True)
class Soak:
    """What happens: `seen` counts what was done, `wrong` says what was not as it should be."""

    url: str
    cases: list[Case]
    expected_next: list[tuple[str, list[int]]]
    ends: float
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def client(self, rng: random.Random) -> None:
        """Do one thing after another until the time is up."""
        while time.monotonic() < self.ends and len(self.wrong) < 20:
            await self.act(rng.choice(KINDS), rng)
            await asyncio.sleep(rng.random() * 0.05)

    async def act(self, kind: str, rng: random.Random) -> None:
        """Do one thing."""
        doing: dict[str, Callable[[random.Random], Awaitable[None]]] = {
            "whole": self.whole, "stream": self.stream, "leave": self.leave, "garbage": self.garbage,
            "noise": self.noise, "next": self.next, "vector": self.vector,
        }  # fmt: skip
        try:
            await doing[kind](rng)
        except (OSError, EOFError, asyncio.IncompleteReadError, IndexError, ValueError) as error:
            self.wrong.append(f"{kind}: {type(error).__name__}: {error}")
        self.seen[kind] += 1

    async def whole(self, rng: random.Random) -> None:
        """Ask for texts."""
        case = rng.choice(self.cases)
        status, body = await post(self.url, "/v1/completions", case.body)
        texts = [choice["text"] for choice in json.loads(body)["choices"]] if status == 200 else [body.decode()]
        self._compare("whole", case, texts)

    async def stream(self, rng: random.Random) -> None:
        """Ask for texts piece by piece."""
        case = rng.choice(self.cases)
        texts = [""] * len(case.texts)
        async with asked(self.url, "/v1/completions", json.dumps({**case.body, "stream": True}).encode()) as answer:
            async for event in answer.events():
                for choice in event["choices"]:
                    texts[choice["index"]] += choice["text"]
        self._compare("stream", case, texts)

    def _compare(self, kind: str, case: Case, texts: list[str]) -> None:
        if texts != case.texts:
            self.wrong.append(f"{kind}: {case.body}: {texts} instead of {case.texts}")

    async def leave(self, rng: random.Random) -> None:
        """Ask for a text of which there would be no end, and go away at some moment."""
        endless = {"prompt": "On and on", "max_tokens": 100_000, "min_tokens": 100_000, "stream": rng.random() < 0.5}
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._read(endless), rng.random())

    async def _read(self, body: dict[str, Any]) -> None:
        async with asked(self.url, "/v1/completions", json.dumps(body).encode()) as answer:
            self.wrong.append(f"leave: {answer.status} {await answer.body()!r}")

    async def garbage(self, rng: random.Random) -> None:
        """Send a body that is wrong in some way."""
        path, body = garbage(rng)
        async with asked(self.url, path, body) as answer:
            if said := complaint(path, body, answer.status, await answer.body()):
                self.wrong.append(said)

    async def noise(self, rng: random.Random) -> None:
        """Send what is no HTTP, or breaks off."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
        writer.write(rng.choice([rng.randbytes(rng.randint(1, 3000)), head[: rng.randrange(1, len(head))], head]))
        with suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1000), 0.2)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def next(self, rng: random.Random) -> None:
        """Ask what comes next."""
        text, ids = rng.choice(self.expected_next)
        status, body = await post(self.url, "/api/next", {"text": text, "k": len(ids)})
        if status != 200 or [token["id"] for token in json.loads(body)["raw"]] != ids:
            self.wrong.append(f"next: {text!r}: {status} {body[:300]!r}")

    async def vector(self, rng: random.Random) -> None:
        """Ask for vectors."""
        texts = [rng.choice(self.expected_next)[0] for _ in range(3)]
        status, body = await post(self.url, "/v1/embeddings", {"input": texts})
        if status != 200 or len(json.loads(body)["data"]) != len(texts):
            self.wrong.append(f"vector: {status} {body[:300]!r}")


def known_cases(lm: LanguageModel, count: int, rng: random.Random) -> list[Case]:
    """Return requests with the texts that the library makes."""
    cases = []
    for seed in range(count):
        prompt = " ".join(rng.choices(WORDS, k=rng.randint(1, 60))).capitalize()
        n = rng.choice([1, 1, 1, 3])
        sampling: dict[str, Any] = {
            "temperature": rng.choice([0.0, 0.7, 1.0]),
            "top_p": rng.choice([0.8, 1.0]),
            "seed": seed,
        }
        tokens = rng.randint(1, 80)
        plain: dict[str, Any] = {"top_k": 0, "repetition_penalty": 1.0}
        made = lm.generate(prompt, max_new_tokens=tokens, num_return_sequences=n, **plain, **sampling)
        body = {"prompt": prompt, "max_tokens": tokens, "n": n, **sampling}
        cases.append(Case(body, [text.text for text in made]))
    return cases


async def watched(server: ServerProcess, soak: Soak, clients: int, seed: int) -> list[tuple[float, int]]:
    """Run the clients; return (monotonic seconds, bytes) of the server's memory."""
    samples = []
    running = [asyncio.create_task(soak.client(random.Random(seed * 1000 + i))) for i in range(clients)]
    while not all(task.done() for task in running):
        samples.append((time.monotonic(), server.resident_bytes()))
        await asyncio.wait(running, timeout=SAMPLE_SECONDS)
    for task in running:
        task.result()
    return samples


def growth(samples: list[tuple[float, int]]) -> tuple[float, float, float]:
    """Return the median memory of the first and of the last third after the warm-up, and the growth between them."""
    begins, ends = samples[0][0], samples[-1][0]
    settled = [size for at, size in samples if at >= begins + WARM_UP * (ends - begins)]
    third = max(len(settled) // 3, 1)
    first, last = statistics.median(settled[:third]), statistics.median(settled[-third:])
    return first, last, last / first - 1


def main() -> None:
    from gpt2lab import LanguageModel

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    lm = LanguageModel.load("tiny", threads=given.threads)
    cases = known_cases(lm, 200, rng)
    nexts = [(c.body["prompt"], [i for i, _, _ in lm.next_tokens(c.body["prompt"], k=5)]) for c in cases]
    with ServerProcess(["--threads", str(given.threads), *SERVER]) as server:
        soak = Soak(server.url, cases, nexts, time.monotonic() + 60 * given.minutes)
        samples = asyncio.run(watched(server, soak, given.clients, given.seed))
        wrong = soak.wrong
        until = time.monotonic() + 10
        while (left := server.running_texts()) and time.monotonic() < until:
            time.sleep(0.1)
        if left:
            wrong.append(f"{left} texts still run")
        failures = {k: v for k, v in server.counts().items() if 'status="5' in k and k.startswith("gpt2lab_requests")}
        if failures:
            wrong.append(f"answers with 5xx: {failures}")
        wrong += server.stop().splitlines()[:20]
    first, last, grown = growth(samples)
    if grown > GROWTH:
        wrong.append(f"memory grew by {grown:.1%}")
    sys.stdout.write("".join(f"{soak.seen[kind]:7d} {kind}\n" for kind in KINDS))
    sys.stdout.write(f"memory {first / 1e6:.1f} MB, at the end {last / 1e6:.1f} MB ({grown:+.1%})\n")
    sys.stdout.write("".join(f"{said}\n" for said in wrong) or "every answer was right\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
