"""`gpt2lab bias`: what a model expects of groups of people, exactly, and before and after a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, nearest

if TYPE_CHECKING:
    from gpt2lab.evals.bias.probes import Axis
    from gpt2lab.evals.bias.results import Card, Findings
    from gpt2lab.lm.model import LanguageModel

EXAMPLES = examples(
    "gpt2lab bias",
    'gpt2lab bias --template "The {group} man worked as a" --groups White,Black --n 5 --seed 42',
    "gpt2lab bias --model checkpoint/run1 --before tiny --html bias.html",
    "gpt2lab bias --crows crows_pairs_anonymized.csv --json > pairs.json",
)


def bias(
    model: o.Model = "tiny",
    before: Annotated[
        str | None,
        Option("--before", metavar="NAME", help="Compare with this model, for example before a fine-tuning."),
    ] = None,
    template: Annotated[
        list[str] | None,
        Option(
            "--template",
            metavar="TEXT",
            help="The beginning of a sentence with {group} in it; may be given several times.",
        ),
    ] = None,
    groups: Annotated[
        str | None, Option("--groups", metavar="A,B,…", help="With --template: the words that take {group}'s place.")
    ] = None,
    probes: Annotated[
        str | None, Option("--probes", metavar="FILE", help="Templates and groups of your own (TOML; docs/bias.md).")
    ] = None,
    axis: Annotated[
        list[str] | None, Option("--axis", metavar="NAME", help="Only this axis; may be given several times.")
    ] = None,
    n: Annotated[
        int, Option("--n", metavar="N", help="First show N samples of every prompt, as GPT-2's model card does.")
    ] = 0,
    max_length: Annotated[
        int, Option("--max-length", metavar="N", help="With --n: tokens of a sample, prompt included.")
    ] = 10,
    crows: Annotated[
        str | None, Option("--crows", metavar="FILE", help="Pairs of sentences in the format of CrowS-Pairs.")
    ] = None,
    winogender: Annotated[
        str | None, Option("--winogender", metavar="FILE", help="Sentences of Winogender schemas (all_sentences.tsv).")
    ] = None,
    occupations: Annotated[
        str | None,
        Option("--occupations", metavar="FILE", help="With --winogender: occupations-stats.tsv, for the correlation."),
    ] = None,
    floor: Annotated[
        float, Option("--floor", metavar="P", help="Words are followed while a group gives them this probability.")
    ] = 0.001,
    resamples: Annotated[int, Option("--resamples", metavar="N", help="Bootstrap resamples of an interval.")] = 1000,
    seed: Annotated[int, Option("--seed", metavar="N", min=0, help="Decides the samples and the bootstrap.")] = 42,
    html: Annotated[str | None, Option("--html", metavar="FILE", help="Write a report that any browser shows.")] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON object with every figure.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Measure what a model expects of groups of people.

    It is asked what follows the beginning of a sentence when only the group that the sentence names is exchanged. The
    distributions of the next token are exact, those of the next word too down to --floor; nothing is sampled but
    what --n shows. Intervals are bootstrapped over templates. With --crows or --winogender alone, only those files are
    measured. What the figures do not say stands in docs/bias.md.
    """
    from gpt2lab.cli import console, loading
    from gpt2lab.evals.bias.measure import changes
    from gpt2lab.evals.bias.page import page
    from gpt2lab.evals.bias.results import plain
    from gpt2lab.evals.bias.text import report

    if n < 0:
        raise ConfigError(f"--n = {n} must be a whole number of at least 0; 0 shows no samples.")
    if resamples < 2:
        raise ConfigError(f"--resamples = {resamples} must be a whole number of at least 2.")
    if occupations is not None and winogender is None:
        raise ConfigError("--occupations goes with --winogender; give the sentences too.")
    console.check_output(html)
    asked = _axes(template, groups, probes, axis, only_files=crows is not None or winogender is not None)
    settings = {"floor": floor, "resamples": resamples, "seed": seed, "n": n, "max_length": max_length}
    files = {"crows": crows, "winogender": winogender, "occupations": occupations}
    options = {
        "precision": precision,
        "threads": threads,
        "device": device,
        "models_dir": models_dir,
        "offline": offline,
    }

    def measured(name: str, *, cards: int) -> Findings:
        return _measured(loading.load_model(name, **options), name, asked, files, {**settings, "n": cards})  # type: ignore[arg-type]

    found = measured(model, cards=n)
    old = measured(before, cards=0) if before is not None else None
    changed = changes(old.axes, found.axes, resamples=resamples, seed=seed) if old is not None else ()
    if html is not None:
        with console.open_output(html) as f:
            f.write(page(found, changed, before=before or ""))
        if html == console.STDIN:
            return
    if as_json:
        value: dict[str, Any] = plain(found)
        if old is not None:
            value |= {"before": plain(old), "changes": [plain(change) for change in changed]}
        console.write(console.to_json(value, indent=2) + "\n")
        return
    console.write(report(found, changed, before=before or ""))
    if old is not None and (old.crows or old.winogender):
        console.write(f"\nbefore ({before}):\n\n{report(_files_only(old))}")


def _axes(
    template: list[str] | None, groups: str | None, probes: str | None, names: list[str] | None, *, only_files: bool
) -> list[Axis]:
    """Return the axes that the options ask for."""
    from gpt2lab.evals.bias.probes import DEFAULT, axis_of, read_probes

    if (template is None) != (groups is None):
        lacking, given = ("--groups", "--template") if groups is None else ("--template", "--groups")
        raise ConfigError(
            f"{given} goes with {lacking}; give both, or neither for the templates that come with gpt2lab."
        )
    if template is not None and groups is not None:
        if probes is not None or names:
            raise ConfigError("Give --template and --groups, or --probes and --axis, not both.")
        return [axis_of(template, [group.strip() for group in groups.split(",")])]
    if only_files and probes is None and not names:
        return []
    axes = read_probes(probes if probes is not None else DEFAULT)
    known = [axis.name for axis in axes]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"There is no axis {name!r}.{nearest(name, known)} Axes: {', '.join(known)}.")
    return [axis for axis in axes if not names or axis.name in names]


def _measured(
    lm: LanguageModel, name: str, axes: list[Axis], files: dict[str, str | None], settings: dict[str, Any]
) -> Findings:
    """Ask one model everything."""
    from gpt2lab import __version__
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.evals.bias import card, measure, pairs
    from gpt2lab.evals.bias.results import Findings

    again = {"resamples": settings["resamples"], "seed": settings["seed"]}
    sentences = pairs.read_crows(files["crows"]) if files["crows"] is not None else []
    schemas = pairs.read_winogender(files["winogender"]) if files["winogender"] is not None else []
    women = pairs.read_occupations(files["occupations"]) if files["occupations"] is not None else None
    cards: tuple[Card, ...] = ()
    if settings["n"]:
        cards = card.samples(lm, axes, n=settings["n"], seed=settings["seed"], max_length=settings["max_length"])
    with ProgressBar(f"asking {name}", unit="questions") as bar:
        found = measure.probe(lm, axes, floor=settings["floor"], progress=bar.update, **again)
    with ProgressBar(f"reading pairs with {name}") as bar:
        crows = pairs.prefer(lm, sentences, progress=bar.update, **again) if sentences else ()
    with ProgressBar(f"reading schemas with {name}") as bar:
        wino = pairs.occupations(lm, schemas, women, progress=bar.update, **again) if schemas else None
    about = {
        **settings, **files, "source": lm.source, "engine": lm.backend.description.partition(",")[0],
        "fingerprint": lm.backend.fingerprint(), "gpt2lab": __version__,
    }  # fmt: skip
    return Findings(name, about, found, cards, crows, wino)


def _files_only(found: Findings) -> Findings:
    from dataclasses import replace

    return replace(found, axes=(), cards=())
