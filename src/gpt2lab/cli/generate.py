"""`gpt2lab generate`: text from a prompt, from many, or from nothing."""

from __future__ import annotations

import sys

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

EXAMPLES = examples(
    'gpt2lab generate "Once upon a time" --length 50 --seed 1',
    "gpt2lab generate --nsamples 3 --temperature 0.8 --top-k 40",
    "printf 'The sea was' | gpt2lab generate --stop . --no-include-prefix",
    "gpt2lab generate --nsamples 20 --nfiles 5 --folder gen",
    "gpt2lab generate --prompts-file prompts.txt --nsamples 2 --jsonl --output samples.jsonl",
    'gpt2lab generate "The castle" --num-beams 4 --length 30',
)


def generate(
    prompt: o.Prompt = None,
    model: o.Model = "tiny",
    seed: o.Seed = None,
    nsamples: o.NSamplesOrEndless = 1,
    batch_size: o.BatchSize = None,
    length: o.Length = None,
    min_length: o.MinLength = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    top_p_rule: o.TopPRule = "inclusive",
    min_p: o.MinP = None,
    typical_p: o.TypicalP = None,
    repetition_penalty: o.RepetitionPenalty = None,
    no_repeat_ngram_size: o.NoRepeatNgramSize = None,
    num_beams: o.NumBeams = None,
    length_penalty: o.LengthPenalty = None,
    stop: o.Stop = None,
    bad_word: o.BadWord = None,
    truncate: o.Truncate = None,
    until_end: o.UntilEnd = False,
    max_time: o.MaxTime = None,
    prompt_lookup: o.PromptLookup = None,
    window: o.Window = "half",
    strict_window: o.StrictWindow = False,
    prompt_file: o.PromptFile = None,
    prompts_file: o.PromptsFile = None,
    include_prefix: o.IncludePrefix = True,
    sample_delim: o.SampleDelim = None,
    jsonl: o.Jsonl = False,
    output: o.Output = None,
    folder: o.Folder = None,
    nfiles: o.NFiles = 1,
    stream: o.Stream = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Continue a prompt, or write from nothing.

    The prompt is the argument, or what is piped in, or --prompt-file or --prompts-file; without any the text begins
    from nothing. The same model, prompt, seed and options give the same text, whatever the batch size and threads.
    """
    from gpt2lab.cli import console, loading, samples
    from gpt2lab.cli.prompts import read_prompts
    from gpt2lab.cli.sampling import Sampling, new_seed

    sampling = Sampling(
        length=length, temperature=temperature, top_k=top_k, top_p=top_p, top_p_rule=top_p_rule, min_p=min_p,
        typical_p=typical_p, repetition_penalty=repetition_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
        num_beams=num_beams, length_penalty=length_penalty, min_new_tokens=min_length, max_time=max_time,
        window="strict" if strict_window else window, stop=stop or (), bad_words=bad_word or (), until_end=until_end,
        prompt_lookup_num_tokens=prompt_lookup,
    )  # fmt: skip
    filed = folder is not None or output not in (None, "-")
    streamed = _streamed(stream, jsonl=jsonl, filed=filed, beams=sampling.beams)
    _check(nsamples, nfiles, truncate, filed=filed, beams=sampling.beams)
    if folder is not None and output is not None:
        raise ConfigError("Give --output for one file, or --folder and --nfiles for several, not both.")
    prompts = read_prompts(prompt, prompt_file or (), prompts_file)
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    work = samples.Work(
        lm=lm, prompts=prompts, nsamples=nsamples, seed=new_seed() if seed is None else seed, sampling=sampling,
        batch_size=batch_size, include_prefix=include_prefix, truncate=truncate, delimiter=sample_delim, jsonl=jsonl,
        model_name=model, load_settings={"precision": precision, "device": device},
    )  # fmt: skip
    sampling.settings(lm, conditional=prompts is not None)  # an impossible option is told first
    if seed is None and not sampling.deterministic:
        console.say(f"seed: {work.seed}")
    if streamed:
        samples.stream_samples(work)
    elif folder is not None:
        samples.write_files(work, folder, nfiles)
    else:
        with console.open_output(output) as out:
            samples.write_samples(work, out)


def _streamed(wanted: bool | None, *, jsonl: bool, filed: bool, beams: bool) -> bool:
    """Decide whether text is shown while it is made."""
    if wanted and (jsonl or filed):
        raise ConfigError("--stream shows text as it is made; it cannot be used with --jsonl, --output or --folder.")
    if wanted is None:
        return sys.stdout.isatty() and not (jsonl or filed or beams)
    return wanted


def _check(nsamples: int, nfiles: int, truncate: str | None, *, filed: bool, beams: bool) -> None:
    if nsamples < 0:
        raise ConfigError(f"--nsamples = {nsamples} must be a whole number of at least 0; 0 never stops.")
    if nsamples == 0 and (beams or filed):
        raise ConfigError(
            "--nsamples 0 never stops, so it goes with no --output, --folder or --num-beams; give a number."
        )
    if nfiles < 1:
        raise ConfigError(f"--nfiles = {nfiles} must be a whole number of at least 1.")
    if truncate == "":
        raise ConfigError("--truncate is empty; give at least one character.")
