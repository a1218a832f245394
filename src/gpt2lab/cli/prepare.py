"""`gpt2lab prepare`: files of text to a corpus of token ids that `gpt2lab train` reads."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

if TYPE_CHECKING:
    from gpt2lab.data import CorpusRecipe, Manifest

EXAMPLES = examples(
    "gpt2lab prepare book.txt --out corpora/book --vocab-size 1000",
    "gpt2lab prepare books.jsonl.xz --out corpora/books --recipe recipes/tiny.toml",
    "gpt2lab prepare notes/ 'mails/**/*.txt' --out corpora/mine --tokenizer my-vocabulary",
    "gpt2lab prepare news.csv --out corpora/news --template '{title}\\n\\n{body}' --json",
    "gpt2lab prepare crawl.warc.gz pages/ --out corpora/web --cleaning web --language en --duplicates near",
    "gpt2lab prepare web.parquet --out corpora/web --decontaminate wikitext.txt --drop-contaminated 1",
    "zcat stories.txt.gz | gpt2lab prepare - --out corpora/stories --separator '<|endoftext|>'",
)


def prepare(
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT...",
            help="Files, folders and patterns: .txt .md .csv .tsv .jsonl .json .parquet .html .warc .npz, also with "
            ".gz .xz .zst .bz2; - is text from stdin.",
        ),
    ],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="The folder to write, whole or not at all.")],
    recipe: Annotated[
        str | None, Option("--recipe", metavar="FILE", help="Take the table [corpus] of this recipe as a start.")
    ] = None,
    column: Annotated[
        str | None, Option("--column", metavar="NAME", help="The field of a record that is its text. Default: text.")
    ] = None,
    template: Annotated[
        str | None,
        Option("--template", metavar="TEXT", help="Make the text of several fields: '{title}\\n{body}'."),
    ] = None,
    separator: Annotated[
        str | None, Option("--separator", metavar="TEXT", help="Cut text files into documents where this stands.")
    ] = None,
    kind: Annotated[
        str | None,
        Option("--kind", metavar="KIND", help="What every input is, whatever its name: text, jsonl, csv, html ..."),
    ] = None,
    skip_bad: Annotated[
        bool | None, Option("--skip-bad", help="Pass over records that are broken, and count them.")
    ] = None,
    tokenizer: Annotated[
        str | None, Option("--tokenizer", metavar="DIR", help="Use this vocabulary instead of learning one.")
    ] = None,
    vocab_size: Annotated[
        int | None, Option("--vocab-size", metavar="N", help="Tokens of a new vocabulary. Default: 4096.")
    ] = None,
    vocabulary_bytes: Annotated[
        int | None,
        Option("--vocabulary-bytes", metavar="N", help="Learn it from about so much text. Default: 256000000."),
    ] = None,
    cleaning: Annotated[
        list[str] | None,
        Option(
            "--cleaning",
            metavar="none|books|web|STEP",
            help="How the texts are cleaned; several times for several steps. Default: none.",
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        Option("--language", metavar="CODE", help="Keep texts of this language (en, de ...); several times for more."),
    ] = None,
    duplicates: Annotated[
        str | None, Option("--duplicates", metavar="keep|exact|near", help="Which copies are left out. Default: keep.")
    ] = None,
    decontaminate: Annotated[
        list[str] | None,
        Option("--decontaminate", metavar="FILE", help="Tell how many 8-grams of this evaluation set the text holds."),
    ] = None,
    drop_contaminated: Annotated[
        int | None, Option("--drop-contaminated", metavar="N", help="Leave out documents that hold N of them.")
    ] = None,
    held_out_author: Annotated[
        list[str] | None,
        Option(
            "--held-out-author", metavar="NAME", help="Keep this author for validation; may be given several times."
        ),
    ] = None,
    validation_share: Annotated[
        float | None,
        Option("--validation-share", metavar="X", help="Else keep this share of every text for it. Default: 0.01."),
    ] = None,
    workers: Annotated[int | None, Option("--workers", metavar="N", help="Processes. Default: one a core.")] = None,
    engine: Annotated[
        str, Option("--engine", metavar="local|ray", help="Work on this machine, or on a Ray cluster.")
    ] = "local",
    npz: Annotated[
        str | None, Option("--npz", metavar="FILE", help="Write the training ids as gpt-2-simple's .npz too.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the folder if it exists.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print the corpus's manifest as JSON.")] = False,
) -> None:
    """Turn text into a corpus of token ids to train on.

    Learns a vocabulary unless it is given one, cleans the texts, leaves out copies, holds a part back for validation.
    What was interrupted goes on when the same command is given again. Prints the folder; docs/corpus.md says more.
    """
    from gpt2lab.cli import console
    from gpt2lab.config import to_dict

    values = {
        "column": column,
        "template": _unescaped(template),
        "separator": _unescaped(separator),
        "kind": kind,
        "skip_bad": skip_bad,
        "tokenizer": tokenizer,
        "vocab_size": vocab_size,
        "vocabulary_bytes": vocabulary_bytes,
        "cleaning": cleaning or None,
        "duplicates": duplicates,
        "decontaminate": decontaminate or None,
        "drop_contaminated": drop_contaminated,
        "held_out_authors": held_out_author or None,
        "validation_share": validation_share,
    }
    corpus = _recipe(recipe, values, languages=language)
    laid_down = console.as_files(inputs, "stdin" if kind else "stdin.txt")
    with laid_down as files, _interruption(out, resumable=not any(map(console.is_piped, inputs))):
        manifest = _prepared(files, out, corpus, overwrite=overwrite, workers=workers, engine=engine)
    if npz is not None:
        _write_npz(out, npz)
    if not as_json:
        _tell(manifest)
    console.write(console.to_json(to_dict(manifest), indent=2) + "\n" if as_json else f"{out}\n")


def _prepared(files: list[str], out: str, recipe: CorpusRecipe, **options: Any) -> Manifest:
    """Prepare with a bar for each stage."""
    from gpt2lab import data
    from gpt2lab.cli.progress import ProgressBar

    with contextlib.ExitStack() as stack:
        bars: dict[str, ProgressBar] = {}

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(ProgressBar(what, unit="bytes"))
            bars[what].update(done, total)

        return data.prepare(files, out, recipe, progress=progress, **options)


@contextlib.contextmanager
def _interruption(out: str, *, resumable: bool) -> Iterator[None]:
    """Say how interrupted work goes on; what cannot go on, because a pipe is read only once, is removed."""
    from gpt2lab.cli import console
    from gpt2lab.data.prepare import partial_folder

    folder = partial_folder(out)
    there = folder.exists()
    try:
        yield
    except BaseException as error:
        if folder.exists() and not resumable and not there:
            shutil.rmtree(folder)
        elif folder.exists() and isinstance(error, KeyboardInterrupt):
            console.note(f"what is done lies in {folder}; the same command again goes on from there.")
        raise


def _unescaped(text: str | None) -> str | None:
    """Return an option with line ends and tabs for the \\n and \\t that a shell leaves as they are."""
    return None if text is None else text.replace("\\n", "\n").replace("\\t", "\t")


def _tell(manifest: Manifest) -> None:
    """Say on stderr what was left out and what overlaps: nobody should have to look for it."""
    from gpt2lab.cli import console

    if manifest.dropped:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in manifest.dropped.items())
        console.note(f"documents left out: {counts}.")
    if manifest.passed_over:
        console.note(f"files of other kinds passed over: {manifest.passed_over:,}.")
    for overlap in manifest.contamination:
        console.note(
            f"of the 8-grams of {overlap.file} the training text holds {overlap.left_share:.2%} "
            f"({overlap.left:,} of {overlap.ngrams:,})."
        )


def _recipe(path: str | None, given: dict[str, Any], *, languages: list[str] | None) -> CorpusRecipe:
    """Return the recipe's table [corpus] with the options that were given in place of its values."""
    from gpt2lab.config import from_dict, read_toml
    from gpt2lab.data import CorpusRecipe

    table = read_toml(path).get("corpus", {}) if path is not None else {}
    if not isinstance(table, dict):
        raise ConfigError(f"corpus in {path} is not a table.")
    values = {**table, **{key: value for key, value in given.items() if value is not None}}
    if languages:
        values["filters"] = {**values.get("filters", {}), "languages": languages}
        cleaning = values.get("cleaning", "none")
        values["cleaning"] = [*([cleaning] if isinstance(cleaning, str) else cleaning), "language"]
    return from_dict(CorpusRecipe, values, where="corpus" if path is not None else "")


def _write_npz(corpus: str, path: str) -> None:
    """Write the training ids of a corpus, each document an array."""
    from gpt2lab.data import Corpus
    from gpt2lab.data.npz import documents_of, write_npz

    opened = Corpus(corpus)
    write_npz(path, documents_of(opened.train, opened.manifest.end_of_text_id))
