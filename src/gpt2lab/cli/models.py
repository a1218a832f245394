"""`gpt2lab models`: which models there are, and which of them are on this machine."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples

EXAMPLES = examples("gpt2lab models", "gpt2lab models --models-dir models --json")


def models(
    models_dir: o.ModelsDir = None,
    as_json: Annotated[bool, Option("--json", help="A JSON list of objects.")] = False,
) -> None:
    """List the models there are and where they lie.

    The one that comes with gpt2lab, the four published sizes under all their names, and what --models-dir holds.
    """
    from gpt2lab.checkpoint import known_models
    from gpt2lab.cli import console
    from gpt2lab.cli.loading import expanded

    known = known_models(expanded(models_dir))
    if as_json:
        rows = [
            {
                "name": m.name,
                "aliases": list(m.aliases),
                "parameters": m.parameters,
                "n_layer": m.n_layer,
                "n_embd": m.n_embd,
                "n_head": m.n_head,
                "where": m.where,
                "folder": str(m.folder) if m.folder is not None else None,
                "bytes": m.bytes,
            }
            for m in known
        ]
        console.write(console.to_json(rows, indent=2) + "\n")
        return
    headings = ("name", "aliases", "parameters", "layers", "width", "where", "on disk")
    cells = [
        (m.name, ", ".join(a for a in m.aliases if a != m.name), f"{m.parameters:,}", str(m.n_layer), str(m.n_embd),
         m.where, console.size(m.bytes) if m.bytes else "-")
        for m in known
    ]  # fmt: skip
    console.write("\n".join(console.aligned([headings, *cells], right=(2, 3, 4, 6))) + "\n")
