"""`gpt2lab models`: which models there are, which of them are on this machine, and what is kept to start them fast."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

EXAMPLES = examples(
    "gpt2lab models",
    "gpt2lab models --models-dir models --json",
    "gpt2lab models --cache",
    "gpt2lab models --clear-cache",
    "gpt2lab models --compare --filter 'parameters>=300M' --sort parameters --descending",
    "gpt2lab models --compare --format html --output models.html",
    "gpt2lab models --masks xlnet --sentence 'She reads un ##read books'",
)


def models(
    models_dir: o.ModelsDir = None,
    cache: Annotated[bool, Option("--cache", help="List the packed weights that are kept for fast starts.")] = False,
    clear_cache: Annotated[bool, Option("--clear-cache", help="Remove them.")] = False,
    compare: Annotated[bool, Option("--compare", help="Compare the language models of 2018 and 2019 instead.")] = False,
    conditions: Annotated[
        list[str] | None,
        Option(
            "--filter",
            metavar="CONDITION",
            help="With --compare: a column, one of = != ~ >= <= > < and a value; may be given several times.",
        ),
    ] = None,
    sort: Annotated[str | None, Option("--sort", metavar="COLUMN", help="With --compare. Default: date.")] = None,
    descending: Annotated[bool, Option("--descending", help="With --compare: the largest first.")] = False,
    columns: Annotated[
        str | None, Option("--columns", metavar="A,B,…", help="With --compare: what to show, separated by commas.")
    ] = None,
    form: Annotated[
        str | None,
        Option(
            "--format",
            metavar="NAME",
            help="With --compare: text, markdown, csv, json or html; with --masks: text, svg or json.",
        ),
    ] = None,
    masks: Annotated[
        str | None,
        Option(
            "--masks", metavar="NAME", help="Draw what an objective, or those of a compared model, let positions see."
        ),
    ] = None,
    sentence: Annotated[
        str | None, Option("--sentence", metavar="TEXT", help="With --masks: the words, separated by blanks.")
    ] = None,
    seed: Annotated[int, Option("--seed", metavar="N", min=0, help="With --masks: decides what is hidden.")] = 0,
    output: o.Output = None,
    as_json: Annotated[bool, Option("--json", help="JSON for programs.")] = False,
) -> None:
    """List the models there are and where they lie.

    The one that comes with gpt2lab, the four published sizes under all their names, and what --models-dir holds.

    Of large models the weights are kept as the engine packed them, so that the next start only maps them; at most 8 GB,
    or what $GPT2LAB_CACHE_LIMIT says (500MB, 0 for none). What was used longest ago goes first.

    With --compare the table is of sixteen language models of 2018 and 2019, ELMo to ERNIE 2.0, every figure with its
    source; with --masks, pictures of what their objectives let each position see.
    """
    from gpt2lab.cli import comparison, console
    from gpt2lab.cli.loading import expanded

    if as_json and form not in (None, "json"):
        raise ConfigError(f"--json and --format {form} exclude each other; give one of them.")
    if masks is not None:
        wanted = "json" if as_json else form
        comparison.draw_masks(masks, sentence=sentence, seed=seed, form=wanted, output=output)
    elif compare:
        comparison.write_table(
            conditions or [], sort=sort, descending=descending, columns=columns,
            form="json" if as_json else form, output=output,
        )  # fmt: skip
    elif given := comparison.first_given(
        {"--filter": conditions, "--sort": sort, "--descending": descending, "--columns": columns, "--format": form,
         "--sentence": sentence, "--output": output}
    ):  # fmt: skip
        raise ConfigError(f"{given} goes with --compare or --masks; give one of these too.")
    elif cache or clear_cache:
        console.write(_cleared() if clear_cache else _kept(as_json=as_json))
    else:
        console.write(_known(expanded(models_dir), as_json=as_json))


def _known(models_dir: str | None, *, as_json: bool) -> str:
    from gpt2lab.checkpoint import known_models
    from gpt2lab.cli import console

    known = known_models(models_dir)
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
        return console.to_json(rows, indent=2) + "\n"
    headings = ("name", "aliases", "parameters", "layers", "width", "where", "on disk")
    cells = [
        (m.name, ", ".join(a for a in m.aliases if a != m.name), f"{m.parameters:,}", str(m.n_layer), str(m.n_embd),
         m.where, console.size(m.bytes) if m.bytes else "-")
        for m in known
    ]  # fmt: skip
    return "\n".join(console.aligned([headings, *cells], right=(2, 3, 4, 6))) + "\n"


def _kept(*, as_json: bool) -> str:
    import time

    from gpt2lab.cli import console
    from gpt2lab.engine.packed import default_cache

    cache = default_cache()
    entries = cache.entries()
    total = sum(e.bytes for e in entries)
    if as_json:
        rows = [
            {"path": str(e.path), "source": e.source, "precision": e.precision, "bytes": e.bytes, "used": int(e.used)}
            for e in entries
        ]
        kept = {"folder": str(cache.folder), "limit": cache.limit, "bytes": total, "entries": rows}
        return console.to_json(kept, indent=2) + "\n"
    summary = f"{console.size(total)} of at most {console.size(cache.limit)} in {cache.folder}\n"
    cells = [
        (e.source, e.precision, console.size(e.bytes), time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used)))
        for e in entries
    ]
    table = console.aligned([("packed from", "precision", "on disk", "last used"), *cells], right=(2,)) if cells else []
    return "".join(f"{line}\n" for line in table) + summary


def _cleared() -> str:
    from gpt2lab.cli import console
    from gpt2lab.engine.packed import default_cache

    cache = default_cache()
    return f"{console.size(cache.clear())} removed from {cache.folder}\n"
