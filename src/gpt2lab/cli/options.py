"""Options that several commands share, with their help; typer reads them from the annotations."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

Model = Annotated[
    str,
    Option("--model", "-m", metavar="NAME", help="tiny, gpt2 (124M) … gpt2-xl, a folder, a .gguf file or a hub id."),
]
ModelsDir = Annotated[
    str | None,
    Option("--models-dir", metavar="DIR", help="Folder with models by name (~ and $VARIABLES are expanded)."),
]
Offline = Annotated[bool, Option("--offline", help="Never use the network.")]
Precision = Annotated[
    str,
    Option(
        "--precision",
        metavar="auto|fp32|bf16|int8|int4",
        help="Weights: fp32 is exact, the others are smaller and faster.",
    ),
]
Threads = Annotated[
    int | None,
    Option("--threads", metavar="N", help="Threads; they change no token. Default: all processors."),
]
Device = Annotated[str, Option("--device", metavar="NAME", help="cpu, or a torch device such as cuda.")]

Assignments = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be given several times."),
]
Resume = Annotated[str | None, Option("--resume", metavar="RUN", help="Go on with the run in this folder.")]

Seed = Annotated[
    int | None,
    Option("--seed", metavar="N", help="Decides every random choice. Default: a random one, which is told."),
]
TrainingSeed = Annotated[
    int, Option("--seed", metavar="N", min=0, max=2**63 - 1, help="The same seed trains the same model.")
]

NSamples = Annotated[int, Option("--nsamples", "-n", metavar="N", min=1, help="Number of samples.")]
Length = Annotated[
    int | None,
    Option(
        "--length",
        "-l",
        metavar="N",
        help="New tokens. Default (and 0): half the model's window after a prompt, the whole window without one.",
    ),
]
Temperature = Annotated[
    float | None,
    Option(
        "--temperature",
        "-t",
        metavar="X",
        help="Divides the logits; 0 always takes the likeliest token. Default: the model's own, else 1.",
    ),
]
TopK = Annotated[
    int | None,
    Option("--top-k", metavar="N", help="Keep the N likeliest tokens; 0 keeps all. Default: the model's own, else 0."),
]
TopP = Annotated[
    float | None,
    Option(
        "--top-p",
        metavar="X",
        help="Keep the fewest tokens that hold this probability; 1 (or 0) keeps all. Default: the model's own, else 1.",
    ),
]
TopPRule = Annotated[
    str,
    Option(
        "--top-p-rule",
        metavar="inclusive|openai",
        help="Keep the token that crosses --top-p, or drop it as OpenAI's sampler does.",
    ),
]
MinP = Annotated[
    float | None,
    Option("--min-p", metavar="X", help="Keep tokens at least this fraction as likely as the likeliest."),
]
TypicalP = Annotated[
    float | None,
    Option("--typical-p", metavar="X", help="Locally typical sampling with this mass; 1 is off."),
]
RepetitionPenalty = Annotated[
    float | None,
    Option("--repetition-penalty", metavar="X", help="Above 1 makes tokens seen before less likely."),
]
NoRepeatNgramSize = Annotated[
    int | None,
    Option("--no-repeat-ngram-size", metavar="N", help="Never generate the same N tokens in a row twice; 0 is off."),
]
Stop = Annotated[
    list[str] | None,
    Option("--stop", metavar="TEXT", help="End before this text; may be given several times."),
]

# --- of what asks by prompt

ShowPrompt = Annotated[bool, Option("--show-prompt", help="Show what the model read too.")]
JsonReply = Annotated[bool, Option("--json", help="A JSON object on a line for each reply.")]

# --- of generate alone

Prompt = Annotated[
    str | None,
    Argument(metavar="PROMPT", help="The text to continue; - reads it from stdin.", show_default=False),
]
NSamplesOrEndless = Annotated[
    int, Option("--nsamples", "-n", metavar="N", help="Samples of each prompt; 0 never stops.")
]
BatchSize = Annotated[
    int | None,
    Option("--batch-size", metavar="N", help="Texts made at the same time; it changes no token. Default: 16."),
]
MinLength = Annotated[int | None, Option("--min-length", metavar="N", help="No end token before N tokens.")]
NumBeams = Annotated[int | None, Option("--num-beams", metavar="N", help="Beam search with N beams.")]
LengthPenalty = Annotated[
    float | None,
    Option("--length-penalty", metavar="X", help="Beams: above 0 favours longer texts. Default: 1."),
]
BadWord = Annotated[
    list[str] | None,
    Option("--bad-word", metavar="TEXT", help="Never generate this text; may be given several times."),
]
Truncate = Annotated[
    str | None,
    Option("--truncate", metavar="TEXT", help="Cut before the first occurrence of this text after the prompt."),
]
UntilEnd = Annotated[
    bool, Option("--until-end", help="Go on until the model's end token (at most 64 windows, or --length).")
]
PromptLookup = Annotated[
    int | None,
    Option(
        "--prompt-lookup",
        metavar="N",
        help="Guess up to N tokens at a time from earlier places that read alike: faster where a text repeats itself, "
        "and the same tokens.",
    ),
]
MaxTime = Annotated[float | None, Option("--max-time", metavar="S", help="Begin no further token after S seconds.")]
Window = Annotated[
    str,
    Option(
        "--window",
        metavar="half|recompute|strict",
        help="Past the model's window: go on from its last half, move it a token at a time (slow), or refuse.",
    ),
]
StrictWindow = Annotated[bool, Option("--strict-window", help="The same as --window strict.")]
PromptFile = Annotated[
    list[str] | None,
    Option("--prompt-file", metavar="FILE", help="The whole file is a prompt; may be given several times."),
]
PromptsFile = Annotated[
    str | None,
    Option("--prompts-file", metavar="FILE", help='A prompt on each line; in a .jsonl file a string or a "prompt".'),
]
IncludePrefix = Annotated[
    bool, Option("--include-prefix/--no-include-prefix", help="Show the prompt before its continuation.")
]
SampleDelim = Annotated[
    str | None,
    Option("--sample-delim", metavar="TEXT", help="Write this after each text instead of a header above it."),
]
Jsonl = Annotated[bool, Option("--jsonl", help="Write a JSON object on a line for each sample.")]
Output = Annotated[str | None, Option("--output", "-o", metavar="FILE", help="Write here, whole or not at all.")]
Stream = Annotated[
    bool | None,
    Option("--stream/--no-stream", help="Show text as it is made. Default: on a terminal.", show_default=False),
]
Folder = Annotated[
    str | None,
    Option(
        "--folder", metavar="DIR", help="Write files named by time and seed into this folder; none is ever replaced."
    ),
]
NFiles = Annotated[int, Option("--nfiles", metavar="N", help="With --folder: how many files, each with --nsamples.")]
