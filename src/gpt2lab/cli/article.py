"""`gpt2lab article`: write any field of a news article from the others, train a model that can, collect what it learns.

Only the command line: what is done stands in gpt2lab.apps.articles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpt2lab.apps.articles.losses import FieldLoss
    from gpt2lab.apps.articles.records import Article
    from gpt2lab.apps.articles.write import Written
    from gpt2lab.lm.model import LanguageModel

GENERATE_EXAMPLES = examples(
    'gpt2lab article generate --model runs/articles --title "Sea lions return" --domain example.com',
    "gpt2lab article generate --model runs/articles --article-file body.txt --target title --nsamples 5",
    "gpt2lab article generate metadata.jsonl --model runs/articles --target article -o articles.jsonl",
    "gpt2lab article generate --model runs/articles --domain example.com --target missing --json",
)
TRAIN_EXAMPLES = examples(
    "gpt2lab article train news.jsonl --out runs/articles",
    "gpt2lab article train news.jsonl --model gpt2 --out runs/news --steps 5000 --batch-size 4 --accumulate 8",
)
COLLECT_EXAMPLES = examples(
    "gpt2lab article collect crawl/*.warc.gz pages/ --min-text 1000 --min-title 30 --need-date -o news.jsonl",
    "gpt2lab article collect records.jsonl --near-copies 0.8 --split-by domain -o news.jsonl",
)
LOSSES_EXAMPLES = examples("gpt2lab article losses news.jsonl --model runs/articles --split val")

MISSING = "missing"
"""The target that stands for every field that is not there."""

ModelOfArticles = Annotated[
    str, Option("--model", "-m", metavar="NAME", help="A model that has learnt fields: a run of article train.")
]


def app() -> typer.Typer:
    """Return the commands."""
    group = new_app()
    group.callback(context_settings=SETTINGS)(article)
    group.command("generate", epilog=GENERATE_EXAMPLES, context_settings=SETTINGS)(generate)
    group.command("train", epilog=TRAIN_EXAMPLES, context_settings=SETTINGS)(train)
    group.command("collect", epilog=COLLECT_EXAMPLES, context_settings=SETTINGS)(collect)
    group.command("losses", epilog=LOSSES_EXAMPLES, context_settings=SETTINGS)(losses)
    return group


def article() -> None:
    """Write news articles by metadata, or metadata by articles."""


def generate(
    file: Annotated[
        str | None,
        Argument(metavar="FILE", help="Articles as JSON lines with RealNews's keys; - is stdin.", show_default=False),
    ] = None,
    model: ModelOfArticles = "tiny",
    target: Annotated[
        list[str] | None,
        Option(
            "--target",
            metavar="FIELD",
            help="domain, date, authors, title, article or summary; several are written one after another, each from "
            "all before it; missing: whatever is not there. Default: article.",
        ),
    ] = None,
    domain: Annotated[str | None, Option("--domain", metavar="TEXT", help="Where it appears: example.com.")] = None,
    date: Annotated[str | None, Option("--date", metavar="TEXT", help="04-19-2019, 2019-04-19 or in words.")] = None,
    authors: Annotated[str | None, Option("--authors", metavar="TEXT", help="Names, with commas between.")] = None,
    title: Annotated[str | None, Option("--title", metavar="TEXT", help="The headline.")] = None,
    body: Annotated[str | None, Option("--article", metavar="TEXT", help="The body.")] = None,
    body_file: Annotated[
        str | None, Option("--article-file", metavar="FILE", help="The body from a file; - is stdin.")
    ] = None,
    summary: Annotated[str | None, Option("--summary", metavar="TEXT", help="The summary.")] = None,
    nsamples: o.NSamples = 1,
    top_p: Annotated[
        float, Option("--top-p", metavar="X", help="Keep the fewest tokens that hold this probability; 1 keeps all.")
    ] = 0.95,
    top_k: o.TopK = None,
    temperature: o.Temperature = None,
    length: Annotated[
        int | None, Option("--length", "-l", metavar="N", help="Most new tokens. Default: what fits the window.")
    ] = None,
    seed: o.Seed = None,
    batch_size: o.BatchSize = None,
    as_json: Annotated[bool, Option("--json", help="One article given by options: its record as JSON too.")] = False,
    output: o.Output = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Write fields of news articles from their other fields.

    Fields may be given or missing in any combination. Of a file, each record is written again with gens_FIELD (the
    texts), gensraw_FIELD (their token ids), probs_FIELD (the model's own probability of each token) and top_ps, as
    Grover's script does; a record's own "top_p" goes before --top-p. Of one article given by options, the text is.
    """
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.sampling import new_seed

    given = {"domain": domain, "date": date, "authors": authors, "title": title, "article": body, "summary": summary}
    articles = _given(file, given, body_file)
    console.check_output(output)
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    chosen = new_seed() if seed is None else seed
    if seed is None and temperature != 0:
        console.say(f"seed: {chosen}")
    options = {
        "samples": nsamples, "seed": chosen, "length": length, "batch_size": batch_size, "top_p": top_p,
        **{k: v for k, v in (("top_k", top_k), ("temperature", temperature)) if v is not None},
    }  # fmt: skip
    made = _written(lm, articles, target or ["article"], options)
    _write(made, output, as_text=file is None and not as_json)


def train(
    data: Annotated[list[str], Argument(metavar="FILE...", help="Articles as JSON lines; - is stdin.")],
    model: Annotated[str, Option("--model", "-m", metavar="NAME", help="The model to begin with.")] = "tiny",
    out: Annotated[
        str, Option("--out", metavar="DIR", help="The run's folder; called again, the command goes on with it.")
    ] = "runs/articles",
    steps: Annotated[int, Option("--steps", metavar="N", help="Steps of the run.")] = 1000,
    max_minutes: Annotated[float | None, Option("--max-minutes", metavar="X", help="End after so long.")] = None,
    batch_size: Annotated[int, Option("--batch-size", metavar="N", help="Articles computed at once.")] = 8,
    accumulate: Annotated[int, Option("--accumulate", metavar="N", help="Batches that make one step.")] = 1,
    learning_rate: Annotated[
        float, Option("--learning-rate", "--lr", metavar="X", help="The peak learning rate.")
    ] = 3e-4,
    optimizer: Annotated[
        str, Option("--optimizer", metavar="adamw|adam|sgd|adafactor|muon", help="Who updates the weights.")
    ] = "adamw",
    schedule: Annotated[
        str, Option("--schedule", metavar="constant|linear|cosine|wsd", help="How the learning rate goes.")
    ] = "cosine",
    warmup_steps: Annotated[
        int, Option("--warmup-steps", metavar="N", help="Steps in which the learning rate rises.")
    ] = 50,
    weight_decay: Annotated[float, Option("--weight-decay", metavar="X", help="Pull of the weights to 0.")] = 0.1,
    dropout: Annotated[float, Option("--dropout", metavar="X", help="Share of activations left out.")] = 0.0,
    window: Annotated[int | None, Option("--window", metavar="N", help="Tokens read at once. Default: all.")] = None,
    sliding: Annotated[
        bool, Option("--sliding/--beginnings", help="Read all parts of a long article, or always its beginning.")
    ] = True,
    val_share: Annotated[
        float, Option("--val-share", metavar="X", help="Share held out where the articles have no split.")
    ] = 0.05,
    val_every: Annotated[int, Option("--val-every", metavar="N", help="Validate every N steps.")] = 100,
    patience: Annotated[
        int | None, Option("--patience", metavar="N", help="End after N validations without a better one.")
    ] = None,
    seed: o.TrainingSeed = 0,
    threads: o.Threads = None,
    device: Annotated[str, Option("--device", metavar="cpu|cuda", help="Where to train.")] = "cpu",
    precision: Annotated[str, Option("--precision", metavar="auto|fp32|bf16", help="Type of the products.")] = "auto",
    models_dir: o.ModelsDir = None,
) -> None:
    """Teach a model the fields of news articles.

    The vocabulary gets a token before and behind every field; fields stand in ever new orders, as Grover learnt them,
    so that any can be written from any others. Ctrl-C saves the run and its model; the same command goes on from there.
    Prints the folder of the model, which transformers loads too.
    """
    given = dict(locals())

    from gpt2lab.apps.articles.options import ArticleOptions
    from gpt2lab.apps.articles.training import ArticleTraining
    from gpt2lab.cli import console
    from gpt2lab.config import from_dict

    values = {k: v for k, v in given.items() if k not in ("data", "model", "models_dir")}
    options = from_dict(ArticleOptions, values)
    articles = [a for path in data for a in _read(path)]
    run = ArticleTraining(articles, model, options, models_dir=models_dir)
    console.say(f"{len(run.training)} articles to learn, {len(run.held_out)} held out")
    console.write(f"{run.fit()}\n")


def collect(
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT...", help="Files, folders, patterns: .html, .warc, .jsonl, .json, also packed; - is stdin."
        ),
    ],
    output: o.Output = None,
    min_text: Annotated[int, Option("--min-text", metavar="N", help="Characters a body must have.")] = 200,
    min_title: Annotated[int, Option("--min-title", metavar="N", help="Characters a title must have.")] = 1,
    need_date: Annotated[bool, Option("--need-date", help="Leave out what has no date.")] = False,
    domains: Annotated[
        str | None, Option("--domains", metavar="FILE", help='Only these sites: JSON, {"example.com": true}.')
    ] = None,
    near_copies: Annotated[
        float | None, Option("--near-copies", metavar="X", help="Leave out what shares so much with an earlier one.")
    ] = None,
    val_share: Annotated[float, Option("--val-share", metavar="X", help="Share of articles marked val.")] = 0.05,
    split_by: Annotated[
        str, Option("--split-by", metavar="article|domain|date", help="What is divided; date: the latest are val.")
    ] = "article",
    skip_bad: Annotated[bool, Option("--skip-bad", help="Pass over broken records.")] = False,
) -> None:
    """Make a corpus of news from pages, archives and records, one distinct article a line.

    Copies by address or by the first 100 characters are left out. Each record has RealNews's keys and a split, train or
    val. What RealNews itself wants: --min-text 1000 --min-title 30 --need-date.
    """
    from gpt2lab.apps.articles.collect import CollectOptions, to_lines
    from gpt2lab.apps.articles.collect import collect as collected
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.config import from_dict

    options = from_dict(
        CollectOptions,
        {
            "least_text": min_text, "least_title": min_title, "need_date": need_date, "domains": domains,
            "near_copies": near_copies, "val_share": val_share, "split_by": split_by, "skip_bad": skip_bad,
        },
    )  # fmt: skip
    console.check_output(output)
    with console.as_files(inputs, "stdin.jsonl") as files, ProgressBar("reading", unit="texts") as bar:
        found = collected(files, options, progress=lambda count: bar.update(count, None))
    if not found.articles:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in found.left_out.items())
        raise DataError(f"There is no article to keep{f' ({reasons})' if reasons else ''}; nothing is written.")
    with console.open_output(output) as out:
        out.writelines(to_lines(found.articles))
    held_out = sum(a.split == "val" for a in found.articles)
    console.say(f"{len(found.articles)} articles, {held_out} of them val")
    for reason, count in found.left_out.items():
        console.say(f"left out, {reason}: {count}")


def losses(
    file: Annotated[str, Argument(metavar="FILE", help="Articles as JSON lines; - is stdin.")],
    model: ModelOfArticles = "tiny",
    split: Annotated[
        str | None, Option("--split", metavar="NAME", help="Only the articles of this split, such as val.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="A JSON list.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Measure what the other fields of articles tell of each field.

    For each field the nats a token of it costs alone, and behind all other fields of its article, with the standard
    error of the difference over articles.
    """
    from gpt2lab.apps.articles.losses import field_losses
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.progress import ProgressBar

    articles = [a for a in _read(file) if split is None or a.split == split]
    if not articles:
        raise DataError(f"{file} has no article{'' if split is None else f' with the split {split!r}'}.")
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    with ProgressBar("measuring", unit="texts") as bar:
        found = field_losses(lm, articles, progress=bar.update)
    if as_json:
        console.write(console.to_json([_row(loss) for loss in found], indent=2) + "\n")
        return
    cells = [tuple(_cell(v) for v in _row(loss).values()) for loss in found]
    console.write("\n".join(console.aligned([tuple(_row(found[0])), *cells], right=range(1, 7))) + "\n")


def _written(
    lm: LanguageModel, articles: list[Article], targets: list[str], options: dict[str, Any]
) -> list[tuple[Article, list[list[Written]]]]:
    """Return each article as it was given with the samples of each target; later targets see the first of earlier."""
    from gpt2lab.apps.articles.fields import FIELDS, field_named
    from gpt2lab.apps.articles.write import write_fields
    from gpt2lab.cli.progress import ProgressBar

    if MISSING in targets and len(targets) > 1:
        raise RequestError(f"--target {MISSING} stands for every field that is not there; give no other beside it.")
    chosen = [f for f in FIELDS if f != "summary"] if targets == [MISSING] else [field_named(t) for t in targets]
    now = list(articles)
    found: list[list[list[Written]]] = [[] for _ in articles]
    with ProgressBar("writing") as bar:
        options = {**options, "progress": bar.advance}
        for field in chosen:
            asked = [i for i, a in enumerate(now) if targets != [MISSING] or field not in a.texts()]
            top_ps = [_top_p(articles[i], options["top_p"]) for i in asked]
            written = write_fields(lm, [now[i] for i in asked], field, **{**options, "top_p": top_ps})
            for i, samples in zip(asked, written, strict=True):
                found[i].append(samples)
                now[i] = now[i].with_text(field, samples[0].text)
    return list(zip(articles, found, strict=True))


def _top_p(article: Article, default: float) -> float:
    value = article.record.get("top_p", default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"A record's top_p = {value!r} must be a number.")
    return float(value)


def _shown(found: list[list[Written]]) -> str:
    """Return texts for people: plain when there is one, under headings when there are more."""
    from gpt2lab.cli.samples import header

    parts = []
    for samples in found:
        for number, written in enumerate(samples, start=1):
            name = f"{written.target}: " if len(found) > 1 else ""
            head = f"{header(number)}\n" if len(samples) > 1 else ""
            parts.append(f"{head}{name}{written.text}\n")
    return "".join(parts)


def _row(loss: FieldLoss) -> dict[str, Any]:
    numbers = {"alone": loss.alone, "given": loss.given, "difference": loss.difference, "error": loss.error}
    shown = {name: round(x, 4) if math.isfinite(x) else None for name, x in numbers.items()}
    return {"field": loss.field, "articles": loss.articles, "tokens": loss.tokens, **shown}


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _given(file: str | None, texts: dict[str, str | None], body_file: str | None) -> list[Article]:
    """Return the articles of a file, or the one that options give."""
    from gpt2lab.apps.articles.dates import date_text
    from gpt2lab.apps.articles.write import article_from
    from gpt2lab.cli import console

    if body_file is not None:
        if texts["article"] is not None:
            raise ConfigError("Give the body by --article or by --article-file, not both.")
        texts = {**texts, "article": console.read_text(body_file)}
        if not texts["article"]:
            raise DataError(f"{console.named(body_file)} is empty; there is no body in it.")
    fields = {name: text for name, text in texts.items() if text}
    if file is None:
        try:
            return [article_from({**fields, **({"date": date_text(fields["date"])} if "date" in fields else {})})]
        except DataError:
            raise ConfigError(f"--date = {fields['date']!r} has no such month; write MM-DD-YYYY or in words.") from None
    if fields:
        raise ConfigError("Give articles in a file, or one by options, not both.")
    if not (found := list(_read(file))):
        raise DataError(f"{console.named(file)} holds no article; write a JSON object with its fields on each line.")
    return found


def _write(made: list[tuple[Article, list[list[Written]]]], output: str | None, *, as_text: bool) -> None:
    """Write what came: texts for people, or each record with what was written for it."""
    from gpt2lab.apps.articles.write import grover_keys
    from gpt2lab.cli import console

    if cut := sum(samples[0].cut > 0 for _, found in made for samples in found):
        console.note(f"{cut} time{'s' if cut > 1 else ''} the end of a body did not fit beside what was asked for.")
    with console.open_output(output) as out:
        for article, found in made:
            if as_text:
                out.write(_shown(found))
                continue
            record = article.to_record()
            for samples in found:
                record |= grover_keys(samples)
            out.write(console.to_json(record, for_stdout=output in (None, "-")) + "\n")


def _read(path: str) -> Iterator[Article]:
    """Yield the articles of a file of JSON lines, packed or not, or of stdin."""
    from pathlib import Path

    from gpt2lab.apps.articles.records import read_articles
    from gpt2lab.cli import console
    from gpt2lab.data.sources import open_source

    if path == console.STDIN:
        yield from read_articles(console.read_bytes(path).splitlines(), "standard input")
        return
    with open_source(Path(path).expanduser()) as lines:
        yield from read_articles(lines, path)
