"""What `gpt2lab models` does with --compare and --masks: the survey of language models, written where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from gpt2lab.cli import console
from gpt2lab.errors import ConfigError, nearest


def first_given(options: Mapping[str, Any]) -> str:
    """Return the name of the first option that was given, "" for none."""
    return next((name for name, value in options.items() if value), "")


def write_table(
    conditions: Sequence[str],
    *,
    sort: str | None,
    descending: bool,
    columns: str | None,
    form: str | None,
    output: str | None,
) -> None:
    """Write the models that meet the conditions as a table. Raises `ConfigError`."""
    from gpt2lab.evals.survey import entries, tables

    known = entries.survey()
    chosen = entries.select(known.models, conditions, sort=sort or "date", descending=descending)
    names = [name.strip() for name in columns.split(",")] if columns is not None else []
    table = tables.render(known, chosen, cast("tables.Form", form or "text"), columns=names)
    with console.open_output(output) as f:
        f.write(table)


def draw_masks(name: str, *, sentence: str | None, seed: int, form: str | None, output: str | None) -> None:
    """Draw the masks of an objective or of a model's objectives, or write them as JSON. Raises `ConfigError`."""
    from gpt2lab.evals.survey import drawing, entries, masks
    from gpt2lab.evals.survey.tables import SENTENCE

    names = [name] if name in masks.OBJECTIVES else _masks_of(name, entries.survey(), list(masks.OBJECTIVES))
    if form == "svg" and len(names) > 1:
        raise ConfigError(f"{name} has several masks; an SVG holds one of {', '.join(names)}: choose with --masks.")
    tokens = sentence.split() if sentence is not None else SENTENCE
    patterns = [masks.pattern(n, tokens, seed=seed) for n in names]
    if form == "json":
        values = [
            {"objective": p.objective, "rows": p.rows, "columns": p.columns, "targets": p.targets,
             "mask": p.mask.astype(int).tolist()}
            for p in patterns
        ]  # fmt: skip
        text = console.to_json(values, indent=2, for_stdout=output in (None, console.STDIN)) + "\n"
    else:
        text = "\n".join(drawing.draw(p, cast("drawing.Form", form or "text")) for p in patterns)
    with console.open_output(output) as f:
        f.write(text)


def _masks_of(name: str, known: Any, objectives: list[str]) -> list[str]:
    try:
        return list(known.find(name).masks)
    except ConfigError:
        keys = [entry.key for entry in known.models]
        raise ConfigError(
            f"{name!r} is neither an objective ({', '.join(objectives)}) nor a compared model ({', '.join(keys)})."
            f"{nearest(name, [*objectives, *keys])}"
        ) from None
