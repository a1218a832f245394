"""`gpt2lab interactive`: OpenAI's loop. A prompt is read, its samples are shown, and the next is asked for.

Prompt string, headers and closing rule are those of OpenAI's interactive_conditional_samples.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, Gpt2labError

if TYPE_CHECKING:
    from gpt2lab.cli.samples import Work

EXAMPLES = examples(
    "gpt2lab interactive --top-k 40 --length 100",
    "gpt2lab interactive --model gpt2 --nsamples 2 --seed 1",
    "printf 'The sea\\nThe land\\n' | gpt2lab interactive --seed 1 --length 20",
)

PROMPT, CONTINUATION, EMPTY = "Model prompt >>> ", "... ", "Prompt should not be empty!"
_QUOTES = '"""'


def interactive(
    model: o.Model = "tiny",
    seed: o.Seed = None,
    nsamples: o.NSamples = 1,
    batch_size: Annotated[
        int, Option("--batch-size", metavar="N", help="Samples made at the same time; it changes no token.")
    ] = 1,
    length: o.Length = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    top_p_rule: o.TopPRule = "inclusive",
    min_p: o.MinP = None,
    typical_p: o.TypicalP = None,
    repetition_penalty: o.RepetitionPenalty = None,
    no_repeat_ngram_size: o.NoRepeatNgramSize = None,
    stop: o.Stop = None,
    strict_window: Annotated[
        bool, Option("--strict-window", help="Refuse texts longer than the model's window.")
    ] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    '''Answer prompts one after another.

    Ctrl-D ends. A prompt of several lines is written between """ and """. The same seed and the same prompts give the
    same texts again.
    '''
    from gpt2lab.cli import console, loading, samples
    from gpt2lab.cli.sampling import Sampling, new_seed

    sampling = Sampling(
        length=length, temperature=temperature, top_k=top_k, top_p=top_p, top_p_rule=top_p_rule, min_p=min_p,
        typical_p=typical_p, repetition_penalty=repetition_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
        window="strict" if strict_window else None, stop=stop or (),
    )  # fmt: skip
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    work = samples.Work(
        lm=lm, prompts=[""], nsamples=nsamples, seed=new_seed() if seed is None else seed, sampling=sampling,
        batch_size=batch_size, include_prefix=False, model_name=model, always_headed=True,
    )  # fmt: skip
    sampling.settings(lm, conditional=True)  # an impossible option is told before the first prompt is asked for
    if seed is None and not sampling.deterministic:
        console.say(f"seed: {work.seed}")
    _loop(work)


def _loop(work: Work) -> None:
    """Read and answer prompts until the input ends."""
    from gpt2lab.cli import console, samples

    _prepare_input()
    first = 0
    while (prompt := _read_prompt()) is not None:
        turn = replace(work, prompts=[prompt], first_sample=first)
        try:
            if sys.stdout.isatty():
                samples.stream_samples(turn)
            else:
                samples.write_samples(turn, sys.stdout)
        except Gpt2labError as error:  # the next prompt may do better
            from gpt2lab.cli.wording import with_flags

            console.say(f"gpt2lab: {with_flags(str(error))}")
            continue
        first += work.nsamples  # the same prompt again gives new texts
        console.write(samples.RULE + "\n")
    console.write("\n")


def _prepare_input() -> None:
    import io

    if sys.stdin is None:
        raise ConfigError("Standard input is closed; there is nobody to ask for a prompt.")
    if sys.stdin.isatty():
        try:
            import readline  # noqa: F401 - importing it gives input() its line editing and history
        except ImportError:  # Windows
            return
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")


def _read_prompt() -> str | None:
    """Return the next prompt, or None at the end of the input."""
    from gpt2lab.cli import console

    while True:
        try:
            text = input(PROMPT)
            if text.startswith(_QUOTES):
                text = _block(text.removeprefix(_QUOTES))
        except EOFError:
            return None
        if text:
            return text
        console.write(EMPTY + "\n")


def _block(first: str) -> str:
    """Return the lines up to closing quotes, joined as they stand."""
    lines, line = [], first
    while not line.rstrip().endswith(_QUOTES):
        lines.append(line)
        line = input(CONTINUATION)
    lines.append(line.rstrip().removesuffix(_QUOTES))
    return "\n".join(lines).removeprefix("\n").removesuffix("\n")
