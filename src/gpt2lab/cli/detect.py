"""`gpt2lab detect`: did a machine write this? And the commands that make and judge detectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option
from typer.core import TyperGroup

from gpt2lab.cli import options as o
from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import parse_json

if TYPE_CHECKING:
    from gpt2lab.apps.detect.reading import Reader, Reading
    from gpt2lab.apps.detect.trained import Judge
    from gpt2lab.apps.detect.verdict import Verdict

EXAMPLES = examples(
    "gpt2lab detect essay.txt",
    "gpt2lab generate --length 200 --no-stream | gpt2lab detect - --colours",
    "gpt2lab detect *.txt --json",
    "gpt2lab detect answers.jsonl --fail-above 0.9",
    "gpt2lab detect essay.txt --html essay.html",
)

DetectorFile = Annotated[
    str | None,
    Option("--detector", metavar="FILE", help="What `detect train` wrote. Default: the one for --model tiny."),
]


class _WithDefault(TyperGroup):
    """Commands of which one, `files`, needs no name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `files` before what names no command."""
        if args and args[0] not in self.commands and args[0] not in SETTINGS["help_option_names"]:
            args = ["files", *args]
        return super().parse_args(ctx, args)


def app() -> typer.Typer:
    """Return the commands."""
    from gpt2lab.cli import detectors

    group = new_app()
    group.callback(cls=_WithDefault, context_settings=SETTINGS)(detect)
    group.command("files", epilog=EXAMPLES, context_settings=SETTINGS)(files)
    group.command("build", epilog=detectors.BUILD_EXAMPLES, context_settings=SETTINGS)(detectors.build)
    group.command("train", epilog=detectors.TRAIN_EXAMPLES, context_settings=SETTINGS)(detectors.train)
    group.command("report", epilog=detectors.REPORT_EXAMPLES, context_settings=SETTINGS)(detectors.report)
    return group


def detect() -> None:
    """Tell machine text from human text, and say how far to trust it.

    `gpt2lab detect FILE...` is `gpt2lab detect files FILE...`.
    """


def files(
    texts: Annotated[
        list[str],
        Argument(
            metavar="FILE...", help='Text files, - for stdin; of a .jsonl file every line (its "text") is a text.'
        ),
    ],
    model: o.Model = "tiny",
    reference: Annotated[
        str | None,
        Option("--reference", metavar="NAME", help="A second model of the same vocabulary, for Binoculars."),
    ] = None,
    detector: DetectorFile = None,
    colours: Annotated[
        bool,
        Option("--colours", "--colors", help="Show each text with every token coloured by its rank, as GLTR does."),
    ] = False,
    html: Annotated[
        str | None, Option("--html", metavar="FILE", help="Write a page that any browser shows: colours and charts.")
    ] = None,
    gltr: Annotated[bool, Option("--gltr", help="GLTR's payload as JSON and nothing else.")] = False,
    as_json: Annotated[bool, Option("--json", help="A JSON object on a line for each text.")] = False,
    fail_above: Annotated[
        float | None,
        Option("--fail-above", metavar="P", help="Exit with 1 when a text's probability is above P."),
    ] = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Say how probably a machine wrote each text, if that can be said.

    The probability takes as many texts to be machine-written as human, and holds for writing like that which the
    detector was trained with; docs/detection.md says where it fails. With another --model than the detector's only the
    measurements are shown. A verdict is evidence, never proof: accuse nobody by it.
    """
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.progress import ProgressBar

    if fail_above is not None and not 0 <= fail_above <= 1:
        raise ConfigError(f"--fail-above = {fail_above} must be between 0 and 1.")
    if sum((as_json, gltr)) > 1:
        raise ConfigError("Give --json or --gltr, not both.")
    if gltr and (html is not None or fail_above is not None):
        raise ConfigError("--gltr writes GLTR's payload and nothing else; leave --html and --fail-above out.")
    given = list(_texts(texts))
    if not given:
        raise DataError(
            f"{', '.join(map(console.named, texts))} hold{'s' if len(texts) == 1 else ''} no text to judge."
        )
    console.check_output(html)
    options: Any = {
        "models_dir": models_dir, "offline": offline, "precision": precision, "device": device, "threads": threads,
    }  # fmt: skip
    lm = loading.load_model(model, **options)
    if gltr:
        from gpt2lab.apps.detect.gltr import payload

        for _, text in given:
            console.write(console.to_json(payload(lm, text)) + "\n")
        return
    other = loading.load_model(reference, **options) if reference is not None else None
    judge = _Judge(lm, other, model, detector, **options)
    worst, pages = 0.0, []
    with ProgressBar("reading") as bar:
        for name, text in given:
            reading, verdict = judge(text, top=10 if html is not None else 0, progress=bar.advance)
            if verdict is not None and verdict.probability is not None:
                worst = max(worst, verdict.probability)
            if html is not None:
                pages.append((name, reading, verdict))
            if html == console.STDIN:
                continue
            if as_json:
                console.write(console.to_json(judge.plain(name, reading, verdict)) + "\n")
            else:
                console.write("\n".join(judge.lines(name, reading, verdict, coloured=colours)) + "\n")
    if not as_json and html != console.STDIN:
        console.write("\n".join(judge.footer()) + "\n")
    if html is not None:
        from gpt2lab.apps.detect.page import page

        with console.open_output(html) as f:
            f.write(page(pages, judge.detector, judge.reader.tokenizer.token_text))
    if fail_above is not None and worst > fail_above:
        raise typer.Exit(1)


class _Judge:
    """A reader and, where there is one for its model, a detector, which is opened with `options`."""

    def __init__(self, lm: Any, reference: Any, name: str, detector: str | None, **options: Any) -> None:
        from gpt2lab.apps.detect.reading import Reader

        self.detector = _fitting(Reader(lm, name=name), detector, **options)
        layout = self.detector is not None and self.detector.layout
        self.reader: Reader = Reader(lm, reference, layout=layout, name=name)
        self._alone = reference is None

    def __call__(self, text: str, *, top: int, progress: Any) -> tuple[Reading, Verdict | None]:
        """Return what a text looks like and what the detector says of it."""
        reading = self.reader.read(text, top=top, progress=progress)
        if self.detector is None:
            return reading, None
        # the detector knows the model alone: what a second model expects is Binoculars' only
        alone = reading if self._alone else self.reader.alone(reading)
        return reading, self.detector.judge(alone)

    def lines(self, name: str, reading: Reading, verdict: Verdict | None, *, coloured: bool) -> list[str]:
        """Return what is shown of a text."""
        from gpt2lab.apps.detect.show import coloured_text, lines

        return [*lines(name, reading, verdict, self.detector), *([coloured_text(reading), ""] if coloured else [])]

    def plain(self, name: str, reading: Reading, verdict: Verdict | None) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        from gpt2lab.apps.detect.show import plain

        return plain(name, reading, verdict, self.detector)

    def footer(self) -> list[str]:
        """Return what holds for all texts."""
        from gpt2lab.apps.detect.show import footer

        return footer(self.detector, self.reader.name)


def _fitting(reader: Reader, path: str | None, **options: Any) -> Judge | None:
    """Return the detector to use; None where none was asked for and the default one is another model's."""
    from gpt2lab.apps.detect.trained import check_fits, default_for, open_detector

    if path is None:
        return default_for(reader)
    found = open_detector(path, **options)
    check_fits(found, path, reader)
    return found


def _texts(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of all texts. Raises `DataError` naming the file or line that has none."""
    from gpt2lab.cli import console

    for path in paths:
        text = console.read_text(path)
        if Path(path).suffix == ".jsonl":
            yield from _lines(path, text)
            continue
        if not text.strip():
            raise DataError(f"{console.named(path)} is empty; there is no text to judge.")
        yield ("standard input" if path == console.STDIN else path), text


def _lines(path: str, content: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            raise DataError(f"{where} is not JSON: {error}.") from None
        text = value.get("text") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where} has no text: a string, or an object with a string under 'text', is needed.")
        yield where, text
