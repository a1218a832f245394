"""Portions of work on the machines of a Ray cluster, by Ray Data; on one machine Ray starts itself.

The same work on a portion as anywhere: only who reads the input differs. A task is a file, or several small ones that
follow each other, so a cluster is busy when there are more files than processors. Input and output must lie in folders
that every machine sees under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpt2lab.data.chunks import CHUNK_BYTES, Position, read_chunks
from gpt2lab.data.worker import Work, Worker
from gpt2lab.errors import Gpt2labError, MissingExtraError


def run_on_ray(work: Work, start: Position) -> Iterator[int]:
    """Make the parts of everything from `start` on; yield the bytes of text that are done, after each task.

    Raises what a task raises. A cluster that is connected to already is used, else `ray.init()` finds or starts one.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("Preparing on a cluster", "cluster") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    shared = ray.put(work)

    def make(task: dict[str, Any]) -> dict[str, Any]:
        given: Work = ray.get(shared)
        worker = Worker(given)
        begin = Position(int(task["source"]), int(task["record"]))
        chunks = read_chunks(
            given.sources, given.recipe.fields, start=begin, stop=int(task["stop"]), skip_bad=given.recipe.skip_bad
        )
        try:
            for chunk in chunks:
                worker.make(chunk)
        except Gpt2labError as error:
            return {"bytes": 0, "error": type(error).__name__, "message": str(error)}
        return {"bytes": int(task["bytes"]), "error": "", "message": ""}

    tasks = list(_tasks(work, start))
    if not tasks:
        return
    done = sum(source.expected_bytes for source in work.sources[: start.source])
    for row in ray.data.from_items(tasks, override_num_blocks=len(tasks)).map(make).iter_rows():
        if row["error"]:
            raise _error(row["error"])(row["message"])
        done += row["bytes"]
        yield done


def _tasks(work: Work, start: Position) -> Iterator[dict[str, int]]:
    """Yield runs of sources, of one portion's size or one source each."""
    first, size = start, 0
    for number in range(start.source, len(work.sources)):
        size += work.sources[number].expected_bytes
        if size >= CHUNK_BYTES or number + 1 == len(work.sources):
            yield {"source": first.source, "record": first.record, "stop": number + 1, "bytes": size}
            first, size = Position(number + 1), 0


def _error(name: str) -> type[Gpt2labError]:
    from gpt2lab import errors

    kind: type[Gpt2labError] = getattr(errors, name)
    return kind
