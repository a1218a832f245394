"""Requests that are wrong, or merely strange, to be sent to a server of ours: none may make it fail (5xx) or fall.

    python -m benchmarks.garbage --count 10000

sends so many to a server that it starts itself and counts the answers by status; any 5xx, any failure without a
sentence and any text left running ends it with code 1. The same seed makes the same requests.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from typing import Any

FIELDS: dict[str, dict[str, Any]] = {
    "/v1/completions": {
        "model": "tiny", "prompt": "a", "max_tokens": 1, "temperature": 1.0, "top_p": 0.9, "n": 1, "best_of": 1,
        "stop": ["x"], "logprobs": 1, "echo": True, "seed": 3, "logit_bias": {"5": 1.0}, "stream": False, "user": "u",
        "presence_penalty": 0, "min_tokens": 0, "top_k": 4, "stream_options": {"include_usage": True},
    },
    "/v1/embeddings": {"model": "tiny", "input": "a", "encoding_format": "base64", "dimensions": 4, "user": "u"},
    "/api/next": {"model": "tiny", "text": "a", "k": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 3},
    "/api/analyze": {"model": "tiny", "project": "tiny", "text": "a", "topk": 3},
    "/api/tokens": {"model": "tiny", "text": "a"},
    "/api/ahead": {"model": "tiny", "text": "a", "kind": "words", "k": 3, "steps": 2},
    "/api/inspect": {"model": "tiny", "text": "a", "top": 2},
    "/api/inspect/neurons": {"model": "tiny", "text": "a", "layer": 1, "at": 1, "count": 2, "top": 2},
    "/api/inspect/without": {"model": "tiny", "text": "a", "at": 1},
    "/api/detect": {"model": "tiny", "text": "a"},
}  # fmt: skip
"""Address -> what it takes, each with a value that is right."""

STRANGE: list[Any] = [
    None, True, False, -1, 0, 1, 1e308, -1e-308, 10**30, -(2**63), 2**31, 0.5, "", "\x00", "\u202e\ufffd\U0001f600",
    "x" * 3000, [], {}, [[]], [None], [1, "a"], ["", "a"], {"a": {}}, [[1], ["a"]], [2**31], [-1], [1.5], [True],
    {"-1": 1}, {"99999999": 1}, {"1": 1e9}, {"\u0661": 1}, [[1] * 50] * 50, "<|endoftext|>", "tinyy", "../tiny",
]  # fmt: skip


def garbage(rng: random.Random) -> tuple[str, bytes]:
    """Return an address and a body; about one in ten is right after all."""
    path = rng.choice(sorted(FIELDS))
    good = FIELDS[path]
    needed = {"input", "text", "layer", "at"} & good.keys()
    body = {key: good[key] for key in good if key in needed or rng.random() < 0.3}
    for key in rng.sample(sorted(good), rng.choice((0, 1, 1, 1, 2))):
        body[key] = rng.choice(STRANGE)
    if rng.random() < 0.05:
        body[rng.choice(["tempratur", "", "n\x00", "messages"])] = rng.choice(STRANGE)
    data = json.dumps(body).encode()
    kind = rng.randrange(12)
    if kind == 0:
        return path, data[: rng.randrange(len(data))]
    if kind == 1:
        at = rng.randrange(len(data))
        return path, data[:at] + rng.randbytes(rng.randint(1, 8)) + data[at:]
    if kind == 2:
        return path, data.replace(b'"', rng.choice([b"'", b"", b'"\\ud800']), rng.randint(1, 3))
    if kind == 3:
        return path, rng.choice([b"", b"[]", b"null", b"[" * 5000, b"NaN", b"\xff\xfe{}", b'{"a":1,"a":2}', data * 2])
    return path, data


def complaint(path: str, body: bytes, status: int, answer: bytes) -> str:
    """Return what is wrong with the answer to garbage, "" where it is as it should be."""
    asked = f"{path} {body[:200]!r}"
    if status >= 500:
        return f"{asked}: {status} {answer[:300]!r}"
    if status >= 400:
        error = json.loads(answer).get("error", {})
        if set(error) != {"message", "type", "param", "code"} or not error["message"].endswith((".", "?")):
            return f"{asked}: no failure in OpenAI's shape: {answer[:300]!r}"
    return ""


def main() -> None:
    import httpx2

    from benchmarks.serving_process import ServerProcess

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, codes, wrong = random.Random(given.seed), Counter[int](), []
    with ServerProcess(["--threads", "1"]) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        for _ in range(given.count):
            path, body = garbage(rng)
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            codes[answer.status_code] += 1
            if said := complaint(path, body, answer.status_code, answer.content):
                wrong.append(said)
        if server.running_texts():
            wrong.append(f"{server.running_texts()} texts still run")
    sys.stdout.write("".join(f"{count:6d} answers with {status}\n" for status, count in sorted(codes.items())))
    sys.stdout.write("".join(f"{said}\n" for said in wrong[:20]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
