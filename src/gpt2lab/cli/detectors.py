"""`gpt2lab detect build|train|report`: make machine texts, learn a detector from pairs, say how good one is."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from gpt2lab.apps.detect.discriminator import Learning
    from gpt2lab.apps.detect.pairs import Pair, Split
    from gpt2lab.apps.detect.store import Store

BUILD_EXAMPLES = examples(
    "gpt2lab detect build human.jsonl --out pairs.jsonl",
    "gpt2lab detect build human.jsonl --model gpt2 --top-p 0.95 --seed 1 --out pairs-p95.jsonl",
)
TRAIN_EXAMPLES = examples(
    "gpt2lab detect train pairs.jsonl --out detector.json",
    "gpt2lab detect train pairs.jsonl --kind discriminator --out discriminator",
    "gpt2lab detect train pairs.jsonl.xz --hold-out-corpus writing --hold-out-generator gpt2-xl --out detector.json",
)
REPORT_EXAMPLES = examples(
    "gpt2lab detect report pairs.jsonl",
    "gpt2lab detect report pairs.jsonl.xz --detector detector.json --hold-out-corpus writing --markdown",
)

Pairs = Annotated[
    list[str],
    Argument(
        metavar="PAIRS...",
        help='JSON lines with "human" and "machine" texts (also packed; - is stdin).',
    ),
]
Measured = Annotated[
    str | None,
    Option("--measured", metavar="FILE", help="Keep what the model made of the texts here, and take it up again."),
]
Corpora = Annotated[
    list[str] | None,
    Option("--hold-out-corpus", metavar="NAME", help="Learn nothing from this corpus; may be given several times."),
]
Generators = Annotated[
    list[str] | None,
    Option("--hold-out-generator", metavar="NAME", help="Learn nothing from this generator; several times."),
]
Share = Annotated[
    float, Option("--hold-out-share", metavar="X", help="Share of all documents that is held out besides.")
]
Layout = Annotated[
    bool, Option("--layout/--no-layout", help="Let line breaks and runs of blanks count as they stand in the texts.")
]


def build(
    human: Annotated[
        str,
        Argument(
            metavar="FILE",
            help='Human texts: JSON lines with "text" or "human" (also packed; - is stdin), or one text.',
        ),
    ],
    out: Annotated[str, Option("--out", "-o", metavar="FILE", help="Where the pairs go, as JSON lines.")],
    model: o.Model = "tiny",
    limit: Annotated[
        int | None, Option("--limit", metavar="N", min=1, help="Only N of the texts, spread evenly.")
    ] = None,
    length: Annotated[int, Option("--length", "-l", metavar="N", help="Tokens at which texts are cut.")] = 250,
    passages: Annotated[
        bool, Option("--passages/--beginnings", help="Cut long texts into passages of --length tokens, and use all.")
    ] = False,
    prompt_tokens: Annotated[
        int, Option("--prompt-tokens", metavar="N", help="Tokens of a human text that the model is given.")
    ] = 30,
    temperature: Annotated[float, Option("--temperature", "-t", metavar="X", help="Divides the logits.")] = 1.0,
    top_k: Annotated[int, Option("--top-k", metavar="N", help="Keep the N likeliest tokens; 0 keeps all.")] = 0,
    top_p: Annotated[
        float, Option("--top-p", metavar="X", help="Keep the fewest tokens with this mass; 1 keeps all.")
    ] = 1.0,
    seed: Annotated[int, Option("--seed", metavar="N", help="Decides every random choice.")] = 0,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Have a model continue the beginnings of human texts, to their length: pairs to learn from or to judge on."""
    from gpt2lab.apps.detect.build import Sampling, build_pairs, cut_into_passages
    from gpt2lab.apps.detect.pairs import read_humans
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.progress import ProgressBar

    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    with console.as_files([human], "stdin.jsonl") as (file,):
        texts = read_humans(file)
    if passages:
        texts = cut_into_passages(lm, texts, length, limit)
    elif limit is not None and limit < len(texts):
        texts = [texts[i * len(texts) // limit] for i in range(limit)]
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    total = len(texts) * max(length - prompt_tokens, 1)
    with ProgressBar("writing", total=total) as bar, console.open_output(out) as f:
        for pair in build_pairs(
            lm, texts, sampling=sampling, generator=model,
            prompt_tokens=prompt_tokens, length=length, seed=seed, progress=bar.advance,
        ):  # fmt: skip
            f.write(json.dumps(pair, ensure_ascii=False) + "\n")
    if out != console.STDIN:
        console.write(f"{out}\n")


def train(
    pairs: Pairs,
    out: Annotated[str, Option("--out", "-o", metavar="FILE", help="Where the detector goes.")],
    model: o.Model = "tiny",
    kind: Annotated[str, Option("--kind", metavar="features|tfidf|discriminator", help="What is learnt.")] = "features",
    name: Annotated[
        str | None, Option("--name", metavar="NAME", help="What it is called. Default: the file's name.")
    ] = None,
    measured: Measured = None,
    hold_out_corpus: Corpora = None,
    hold_out_generator: Generators = None,
    hold_out_share: Share = 0.0,
    strength: Annotated[
        float, Option("--strength", metavar="C", help="Inverse of the penalty on large weights, as scikit-learn's C.")
    ] = 0.01,
    epochs: Annotated[float, Option("--epochs", metavar="N", help="Of a discriminator: how often it reads all.")] = 2.0,
    batch_size: Annotated[int, Option("--batch-size", metavar="N", help="Of a discriminator: texts a step.")] = 16,
    learning_rate: Annotated[float, Option("--learning-rate", metavar="X", help="Of a discriminator.")] = 3e-4,
    window: Annotated[
        int, Option("--window", metavar="N", help="Of a discriminator: tokens it reads at once, at most the model's.")
    ] = 512,
    dropout: Annotated[float, Option("--dropout", metavar="X", help="Of a discriminator, while it learns.")] = 0.1,
    layout: Layout = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Learn to tell machine texts from human ones, in one of three ways. Prints what was written.

    features: a logistic regression on a few features of what a model makes of the tokens, of whole texts and their
    beginnings; it says how it did on documents that it had not learnt from. tfidf: one on words and pairs of words, the
    published baseline. discriminator: the model itself, trained further with a head of two classes; the same command
    goes on with a run that was stopped (it lies in OUT.run).
    """
    from gpt2lab.cli import console

    if not 0 < strength < math.inf:
        raise ConfigError(f"--strength = {strength} must be positive.")
    if kind not in KINDS:
        raise ConfigError(f"--kind = {kind!r} is not one of {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    learnt = _split(pairs, hold_out_corpus, hold_out_generator, hold_out_share)
    title = name or Path(out).stem
    if kind == "tfidf":
        _train_tfidf(learnt.train, title, out)
    elif kind == "discriminator":
        from gpt2lab.apps.detect.discriminator import Learning

        learning = Learning(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, window=window, dropout=dropout,
            threads=threads, device=device,
        )  # fmt: skip
        _train_discriminator(learnt, title, out, learning, model=model, layout=layout, models_dir=models_dir)
    else:
        store = _store(
            model, measured, layout=layout, models_dir=models_dir, offline=offline, precision=precision, device=device,
            threads=threads,
        )  # fmt: skip
        _train_features(learnt.train, title, out, store, strength)
    console.write(f"{out}\n")


KINDS = ("features", "tfidf", "discriminator")


def _train_features(pairs: Sequence[Pair], name: str, out: str, store: Store, strength: float) -> None:
    from gpt2lab.apps.detect.fit import fit, tabulate
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar

    with ProgressBar("reading", unit="bytes") as bar:
        table = tabulate(pairs, store, progress=bar.update)
    detector = fit(table, name=name, store=store, strength=strength)
    detector.save(out)
    for kept in detector.kept:
        console.note(f"{kept.words} words: AUROC {kept.auroc:.3f} on documents held out in turn")


def _train_tfidf(pairs: Sequence[Pair], name: str, out: str) -> None:
    from gpt2lab.apps.detect.pairs import summary
    from gpt2lab.apps.detect.reading import flattened
    from gpt2lab.apps.detect.tfidf import fit_tfidf

    texts = [flattened(text)[0] for pair in pairs for text in (pair.human, pair.machine)]
    groups = [pair.document for pair in pairs for _ in range(2)]
    fit_tfidf(texts, [0, 1] * len(pairs), groups, name=name, trained=summary(pairs)).save(out)


def _train_discriminator(
    learnt: Split, name: str, out: str, learning: Learning, *, model: str, layout: bool, models_dir: str | None
) -> None:
    from gpt2lab.apps.detect.discriminator import train_discriminator
    from gpt2lab.apps.detect.pairs import summary
    from gpt2lab.cli import loading

    folder = loading.expanded(models_dir)
    train_discriminator(
        model, learnt.train, out, learning, run=f"{out}.run", name=name, layout=layout, trained=summary(learnt.train),
        held_out=learnt.held_out[:_JUDGED] if learnt.held_out != learnt.train else (),
        models_dir=Path(folder) if folder is not None else None,
    )  # fmt: skip


_JUDGED = 100  # pairs on which a discriminator's loss is told while it learns


def report(
    pairs: Pairs,
    detector: Annotated[
        list[str] | None,
        Option(
            "--detector", metavar="FILE", help="A detector to judge; several times. Default: the one that comes along."
        ),
    ] = None,
    model: o.Model = "tiny",
    measured: Measured = None,
    hold_out_corpus: Corpora = None,
    hold_out_generator: Generators = None,
    hold_out_share: Share = 0.0,
    layout: Layout = False,
    svg: Annotated[str | None, Option("--svg", metavar="FILE", help="Write the reliability diagrams here.")] = None,
    markdown: Annotated[bool, Option("--markdown", help="Tables for a page.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object with every figure.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Judge detectors, and every method that needs no training, on pairs: AUROC and the share of machine texts found
    where one human text in a hundred is accused, by set, generator, corpus, sampler and length.

    With --hold-out-… only what a training with the same options has not seen is judged on.
    """
    from gpt2lab.apps.detect import report as reports
    from gpt2lab.apps.detect.fit import tabulate
    from gpt2lab.apps.detect.trained import judged
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar

    console.check_output(svg)
    chosen = _split(pairs, hold_out_corpus, hold_out_generator, hold_out_share).held_out
    if not chosen:
        raise DataError(
            "Nothing is held out to judge on: the human texts beside a held-out generator's are learnt beside others. "
            "Hold out a corpus or a share of the documents too."
        )
    store = _store(
        model, measured, layout=layout, models_dir=models_dir, offline=offline, precision=precision, device=device,
        threads=threads,
    )  # fmt: skip
    scorers, probabilities = judged(detector or [], store.reader, precision=precision, device=device, threads=threads)
    with ProgressBar("reading", unit="bytes") as bar:
        table = tabulate(chosen, store, progress=bar.update)
    found = reports.judge(table, {**scorers, **reports.zero_shot_scorers(), **reports.controls()}, probabilities)
    if svg is not None:
        with console.open_output(svg) as f:
            f.write(reports.diagram_svg(found.diagrams))
        if svg == console.STDIN:
            return
    if as_json:
        console.write(console.to_json(reports.plain(found), indent=2) + "\n")
        return
    for percent, title in ((False, "AUROC"), (True, "machine texts found at 1 % of human texts accused")):
        for kind, rows in reports.tables(found, percent=percent):
            console.write(f"{'### ' if markdown else ''}{title} by {kind}\n\n")
            shown = reports.markdown(rows) if markdown else "\n".join(console.aligned(rows, right=range(1, 99))) + "\n"
            console.write(shown + "\n")
    for name in found.paired:
        console.write(
            f"{name}: paired accuracy {found.paired[name]:.3f}, unpaired {found.unpaired[name]:.3f}, calibration error "
            f"{found.calibration[name]:.3f}\n"
        )


def _split(paths: Sequence[str], corpora: list[str] | None, generators: list[str] | None, share: float) -> Split:
    from gpt2lab.apps.detect.pairs import Split, read_pairs, split
    from gpt2lab.cli import console

    if not 0 <= share < 1:
        raise ConfigError(f"--hold-out-share = {share} must be from 0 to below 1.")
    with console.as_files(paths, "stdin.jsonl") as files:
        found = read_pairs(files)
    if not corpora and not generators and not share:
        return Split(tuple(found), tuple(found))
    return split(found, corpora or (), generators or (), share)


def _store(model: str, measured: str | None, *, layout: bool, **options: Any) -> Store:
    from gpt2lab.apps.detect.reading import Reader
    from gpt2lab.apps.detect.store import Store
    from gpt2lab.cli import loading

    return Store(Reader(loading.load_model(model, **options), layout=layout, name=model), measured)
