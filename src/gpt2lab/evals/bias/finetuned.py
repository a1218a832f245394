"""What a fine-tuning changed in what a model expects of groups of people: the shipped probe, before and after.

GPT-2's model card warns that its bias stays in every fine-tuned version; here the run itself says how much of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gpt2lab
from gpt2lab.evals.bias.measure import changes, probe
from gpt2lab.evals.bias.page import page
from gpt2lab.evals.bias.probes import DEFAULT, read_probes
from gpt2lab.evals.bias.results import Findings, plain
from gpt2lab.evals.bias.text import report
from gpt2lab.files import atomic_write, write_json
from gpt2lab.lm.model import LanguageModel

PAGE, FIGURES = "bias.html", "bias.json"
"""What is written into the run's folder."""

FLOOR = 0.05
"""Words are followed as long as a group gives them this probability: a tenth of the work of `gpt2lab bias`."""


def compare(
    before: LanguageModel,
    after: LanguageModel,
    folder: Path,
    *,
    names: tuple[str, str] = ("", ""),
    resamples: int = 1000,
    seed: int = 42,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write `PAGE` and `FIGURES` into `folder`, and return the changes as lines of text.

    `names` are what the models are called (default: their sources). The same models, `resamples` and `seed` of the
    intervals give the same files. `progress(done, total)` counts questions of both models. Raises `RequestError` and
    `CheckpointError` where a model cannot be asked.
    """
    axes = read_probes(DEFAULT)
    asked = sum(len(list(axis.questions())) for axis in axes)
    found = []
    for place, lm in enumerate((before, after)):

        def count(done: int, _: int, *, so_far: int = place * asked) -> None:
            if progress is not None:
                progress(so_far + done, 2 * asked)

        about = {
            "floor": FLOOR, "resamples": resamples, "seed": seed, "source": lm.source,
            "engine": lm.backend.description.partition(",")[0], "fingerprint": lm.backend.fingerprint(),
            "gpt2lab": gpt2lab.__version__,
        }  # fmt: skip
        answers = probe(lm, axes, floor=FLOOR, resamples=resamples, seed=seed, progress=count)
        found.append(Findings(names[place] or lm.source, about, answers))
    old, new = found
    changed = changes(old.axes, new.axes, resamples=resamples, seed=seed)
    with atomic_write(folder / PAGE, "w") as f:
        f.write(page(new, changed, before=old.model))
    write_json(folder / FIGURES, {**plain(new), "before": plain(old), "changes": [plain(c) for c in changed]})
    return report(Findings(new.model, new.settings), changed, before=old.model)
