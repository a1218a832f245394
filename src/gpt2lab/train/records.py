"""What a run leaves to be read: metrics as JSON lines and TensorBoard events, and `run.json`, which says what ran.

Only the main process of a run has these.
"""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gpt2lab
from gpt2lab.config import to_dict
from gpt2lab.errors import DataError
from gpt2lab.files import read_json, write_json
from gpt2lab.train.log import MetricsLog
from gpt2lab.train.parallel import Processes
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.tensorboard import EventFile

RUN = "run.json"
"""The name of the file in a run's folder."""


def job_name() -> str | None:
    """Return what torchrun calls the job that this process belongs to, if it has a name (--rdzv-id)."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if name == "none" else name


def begun_by(folder: Path) -> str | None:
    """Return the `job_name` of the last start of the run in `folder`; None without one."""
    try:
        name = read_json(folder / RUN)["starts"][-1].get("job")
    except (DataError, LookupError, TypeError, AttributeError):  # absent, or cut short by a crash of the system
        return None
    return name if isinstance(name, str) else None


class Records:
    """The records of a run that is at `step`; metrics behind it, left by an earlier start, are dropped."""

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._step = folder, step
        self._metrics = MetricsLog(folder, step=step)
        self._events = EventFile(folder) if tensorboard else None

    def add(self, record: Mapping[str, float]) -> None:
        """Append one record; it has "step" among its keys."""
        self._metrics.add(dict(record))
        if self._events is not None:
            scalars = {k: float(v) for k, v in record.items() if k != "step" and math.isfinite(v)}
            self._events.add(int(record["step"]), scalars)

    def describe(self, recipe: Recipe, processes: Processes, *, parameters: int, precision: str) -> None:
        """Write run.json: the recipe, and one entry for every start of the run with what it ran on."""
        path = self._folder / RUN
        starts: list[dict[str, Any]] = []
        if self._step:
            try:
                starts = list(read_json(path)["starts"])
            except (DataError, KeyError, TypeError):  # absent, or cut short by a crash of the system
                starts = []
        starts.append(
            {
                "step": self._step,
                "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "device": str(processes.device),
                "processes": processes.count,
                "threads": torch.get_num_threads(),
                "job": job_name(),
                "precision": precision,
                "versions": {
                    "gpt2lab": gpt2lab.__version__,
                    "torch": torch.__version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
                "system": platform.platform(),
            }
        )
        write_json(
            path,
            {
                "name": recipe.name,
                "seed": recipe.train.seed,
                "parameters": parameters,
                "recipe": to_dict(recipe),
                "starts": starts,
            },
        )
