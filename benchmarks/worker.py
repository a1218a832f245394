"""A process with one engine in it: answers JSON lines on stdin with JSON lines on stdout.

    python -m benchmarks.worker MODULE:CLASS

{"call": "load", "arguments": {…}} makes the object, {"call": "memory"} tells the peak, any other call is one of the
methods that its class lists in CALLS. An answer is {"value", "seconds", "cpu"} or {"error"}. What a library prints goes
to stderr. Knows no engine, and imports nothing large itself: a cold start is timed through it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import IO, Any


def main() -> None:
    answers = own_stdout()
    served = load_class(sys.argv[1])
    made: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        call, arguments = request["call"], request.get("arguments", {})
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            if call == "load":
                made, value = served(**arguments), None
            elif call == "memory":
                value = peak_memory()
            else:
                value = answer(made, call, arguments)
            reply: dict[str, Any] = {
                "value": value,
                "seconds": time.perf_counter() - wall,
                "cpu": time.process_time() - cpu,
            }
        except Exception as error:  # whatever a foreign library raises, the driver wants to hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
    os._exit(0)  # some libraries' own tidying up takes seconds


def own_stdout() -> IO[str]:
    """Keep stdout for the answers and send what anything else prints there to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def load_class(name: str) -> Any:
    """Return the class that "module:Class" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def answer(made: Any, call: str, arguments: Mapping[str, Any]) -> Any:
    """Call one of the methods that the object offers."""
    if made is None or call not in made.CALLS:
        raise ValueError(f"{call!r} cannot be called {'before load' if made is None else 'here'}")
    return getattr(made, call)(**arguments)


def peak_memory() -> int:
    """Return the most memory in bytes that this process has had in RAM, file mappings included; 0 where unknown."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123 - pathlib is not free to import
            (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    except (OSError, ValueError):
        return 0
    return int(peak) * 1024


if __name__ == "__main__":
    main()
