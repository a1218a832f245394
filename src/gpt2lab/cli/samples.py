"""Run a generation and write its samples as they are wanted: streamed, as text under headers, or as JSON lines."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from gpt2lab.cli import console
from gpt2lab.cli.progress import ProgressBar
from gpt2lab.cli.sampling import Sampling
from gpt2lab.engine.generate import DEFAULT_BATCH_SIZE
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.results import Generation
from gpt2lab.lm.stopping import TextStream

RULE = "=" * 80
_ROUND = 8  # batches that are asked for at once: rows are then seldom idle, and results appear now and then


def header(number: int) -> str:
    """Return the line above a sample, as OpenAI's scripts print it."""
    return f"{'=' * 40} SAMPLE {number} {'=' * 40}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to generate: `nsamples` texts (0: without end) for each prompt (None: from nothing), and how to show them.

    `delimiter` follows each text in place of a header above it; `truncate` cuts a text before its first occurrence;
    `first_sample` numbers the random stream of the first.
    """

    lm: LanguageModel
    prompts: Sequence[str] | None
    nsamples: int
    seed: int
    sampling: Sampling
    batch_size: int | None = None
    include_prefix: bool = True
    truncate: str | None = None
    delimiter: str | None = None
    jsonl: bool = False
    model_name: str = ""
    load_settings: Mapping[str, Any] = field(default_factory=dict)
    first_sample: int = 0
    always_headed: bool = False

    @property
    def each_prompt(self) -> list[str | None]:
        """The prompts one by one; None for a text from nothing."""
        return [None] if self.prompts is None else list(self.prompts)

    @property
    def headed(self) -> bool:
        """Whether samples stand under headers."""
        return self.always_headed or (self.nsamples * len(self.each_prompt) != 1 and self.delimiter is None)

    @property
    def options(self) -> dict[str, Any]:
        """The options of `generate`, with the text to cut at among the stop strings where these can be used."""
        options = self.sampling.options(self.lm, conditional=self.prompts is not None)
        if self.truncate and not self.sampling.beams:
            options["stop"] = [*options["stop"], self.truncate]
        return options


def stream_samples(work: Work) -> None:
    """Write every sample to stdout while it is made."""
    options, numbers = work.options, itertools.count(1)
    for prompt in work.each_prompt:
        for sample in itertools.islice(itertools.count(work.first_sample), work.nsamples or None):
            number = next(numbers)
            pieces = work.lm.stream(prompt, sample=sample, seed=work.seed, **options)
            if work.headed:
                console.write(header(number) + "\n")
            console.write(prompt if prompt and work.include_prefix else "")
            for piece in pieces:
                console.write(piece)
            console.write("\n" + _delimiter(work))


def write_samples(work: Work, out: IO[str]) -> None:
    """Make every sample and write it to `out`."""
    settings = work.sampling.settings(work.lm, conditional=work.prompts is not None) if work.jsonl else {}
    settings = {**settings, **work.load_settings, "truncate": work.truncate}
    unfinished = 0
    for number, made in enumerate(_generations(work), start=1):
        made_text, ids = _truncated(work, made)
        unfinished += work.sampling.until_end and made.finish_reason == "length"
        if work.jsonl:
            row = {
                "prompt": made.prompt,
                "text": made_text,
                "token_ids": ids,
                "finish_reason": made.finish_reason,
                "seed": made.seed,
                "sample": made.sample,
                "model": work.model_name,
                "settings": settings,
            }
            out.write(console.to_json(row, for_stdout=out is sys.stdout) + "\n")
        else:
            out.write(header(number) + "\n" if work.headed else "")
            out.write((made.prompt or "" if work.include_prefix else "") + made_text + "\n" + _delimiter(work))
        if out is sys.stdout:
            out.flush()
    if unfinished:
        console.note(
            f"{unfinished} of the texts had not come to their end when they reached the bound of their length."
        )


def write_files(work: Work, folder: str, count: int) -> None:
    """Write `count` files of samples into `folder`, all different, and print their names as they are done."""
    stamp, ending = time.strftime("%Y%m%d_%H%M%S"), "jsonl" if work.jsonl else "txt"
    for i in range(count):
        path = _free(Path(folder).expanduser() / f"gpt2lab_{stamp}_{work.seed}_{i + 1}.{ending}")
        with console.open_output(str(path)) as out:
            write_samples(replace(work, first_sample=work.first_sample + i * work.nsamples), out)
        console.write(f"{path}\n")


def _free(path: Path) -> Path:
    """Return the path, or one like it with a number where something has that name already."""
    names = itertools.chain([path], (path.with_stem(f"{path.stem}_{n}") for n in itertools.count(2)))
    return next(name for name in names if not name.exists())


def _delimiter(work: Work) -> str:
    if work.delimiter is None:
        return ""
    return work.delimiter if work.delimiter.endswith("\n") else work.delimiter + "\n"


def _generations(work: Work) -> Iterator[Generation]:
    """Yield every sample of every prompt in order, made in rounds of several batches."""
    options = work.options
    total = work.nsamples * len(work.each_prompt) * options["max_new_tokens"]
    with ProgressBar("generating", total=total or None) as bar:
        for prompts, first, count in _rounds(work):
            more: dict[str, Any] = {
                "batch_size": work.batch_size,
                "seed": work.seed,
                "progress": bar.advance,
                **options,
            }
            if prompts is None:
                yield from work.lm.generate(first_sample=first, num_return_sequences=count, **more)
            else:
                for group in work.lm.generate(prompts, first_sample=first, num_return_sequences=count, **more):
                    yield from group


def _rounds(work: Work) -> Iterator[tuple[list[str] | None, int, int]]:
    """Yield (prompts, number of the first sample, how many) of each call of `generate`; the split changes no token."""
    base = work.first_sample
    prompts = list(work.prompts) if work.prompts is not None else None
    size = work.batch_size or DEFAULT_BATCH_SIZE
    if work.nsamples == 0:
        for first in itertools.count(base, work.batch_size or 1):
            for prompt in work.each_prompt:
                yield None if prompt is None else [prompt], first, work.batch_size or 1
    elif work.sampling.beams:  # the samples of a beam search are made together or not at all
        for prompt in work.each_prompt:
            yield None if prompt is None else [prompt], base, work.nsamples
    elif prompts is None or work.nsamples >= _ROUND * size:
        for prompt in work.each_prompt:
            for first in range(0, work.nsamples, _ROUND * size):
                yield None if prompt is None else [prompt], base + first, min(_ROUND * size, work.nsamples - first)
    else:
        group = max(_ROUND * size // work.nsamples, 1)
        for i in range(0, len(prompts), group):
            yield prompts[i : i + group], base, work.nsamples


def _truncated(work: Work, made: Generation) -> tuple[str, list[int]]:
    """Return a sample's text and ids; beams, which no stop string can end, are cut here."""
    if not (work.truncate and work.sampling.beams and work.lm.tokenizer):
        return made.text, made.token_ids
    text = TextStream(work.lm.tokenizer, [work.truncate])
    text.push(made.token_ids)
    text.finish()
    return text.text, made.token_ids[: text.token_count]
