"""`gpt2lab finetune`: a model trained further on one's own text, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples

if TYPE_CHECKING:
    from pathlib import Path

    from gpt2lab.train.finetune import FineTune

EXAMPLES = examples(
    "gpt2lab finetune shakespeare.txt --steps 300",
    "gpt2lab generate --model checkpoint/run1",
    "gpt2lab finetune tweets.csv --column text --model gpt2 --run-name tweets --lora-rank 8",
    "gpt2lab finetune notes/ --val-share 0.05 --patience 3 --learning-rate 3e-4",
    "gpt2lab finetune play.txt --recipe recipes/finetune-lora.toml --steps 500",
)


def finetune(
    context: Context,
    dataset: Annotated[
        list[str],
        Argument(metavar="DATA...", help="Files, folders or patterns, as gpt2lab prepare reads them; - is stdin."),
    ],
    model: Annotated[
        str | None, Option("--model", "--model-name", help="The model to begin with. Default: tiny.")
    ] = None,
    models_dir: Annotated[
        str | None, Option("--models-dir", "--model-dir", metavar="DIR", help="Where models lie.")
    ] = None,
    recipe: Annotated[
        str | None, Option("--recipe", metavar="FILE", help="Take options from this file; those given beside it win.")
    ] = None,
    run_name: Annotated[
        str, Option("--run-name", metavar="NAME", help="The run's folder in --checkpoint-dir.")
    ] = "run1",
    checkpoint_dir: Annotated[str, Option("--checkpoint-dir", metavar="DIR", help="Where runs lie.")] = "checkpoint",
    steps: Annotated[int, Option("--steps", metavar="N", help="Steps of this call; -1: until Ctrl-C.")] = 1000,
    restore_from: Annotated[
        str, Option("--restore-from", metavar="latest|fresh|PATH", help="Go on with the run, begin anew, or at PATH.")
    ] = "latest",
    overwrite: Annotated[
        bool, Option("--overwrite", help="Remove a run that is in the way instead of setting it aside.")
    ] = False,
    learning_rate: Annotated[
        float, Option("--learning-rate", "--lr", metavar="X", help="The peak learning rate.")
    ] = 1e-4,
    batch_size: Annotated[int, Option("--batch-size", metavar="N", help="Windows computed at once.")] = 1,
    accumulate_gradients: Annotated[
        int, Option("--accumulate-gradients", metavar="N", help="Batches that make one step.")
    ] = 5,
    optimizer: Annotated[
        str, Option("--optimizer", metavar="adam|adamw|sgd|adafactor|muon", help="Who updates the weights.")
    ] = "adam",
    schedule: Annotated[
        str, Option("--schedule", metavar="constant|linear|cosine|wsd", help="How the learning rate goes.")
    ] = "constant",
    warmup_steps: Annotated[
        int, Option("--warmup-steps", metavar="N", help="Steps in which the learning rate rises.")
    ] = 0,
    window: Annotated[int | None, Option("--window", metavar="N", help="Tokens read at once. Default: all.")] = None,
    dropout: Annotated[float, Option("--dropout", metavar="X", help="Share of activations left out.")] = 0.0,
    only_train_transformer_layers: Annotated[
        bool, Option("--only-train-transformer-layers", help="Leave embeddings and the last norm as they are.")
    ] = False,
    freeze_layers: Annotated[
        int, Option("--freeze-layers", metavar="N", help="Leave embeddings and the first N blocks as they are.")
    ] = 0,
    lora_rank: Annotated[
        int, Option("--lora-rank", metavar="R", help="Learn corrections of rank R instead of the weights.")
    ] = 0,
    lora_alpha: Annotated[float | None, Option("--lora-alpha", metavar="X", help="Default: twice the rank.")] = None,
    use_memory_saving_gradients: Annotated[
        bool, Option("--use-memory-saving-gradients", help="Compute blocks twice instead of keeping their insides.")
    ] = False,
    save_every: Annotated[int, Option("--save-every", metavar="N", help="Save the run every N steps.")] = 1000,
    max_checkpoints: Annotated[int, Option("--max-checkpoints", metavar="N", help="Saved states that are kept.")] = 1,
    sample_every: Annotated[
        int, Option("--sample-every", metavar="N", help="Write samples every N steps; 0: never.")
    ] = 100,
    sample_length: Annotated[int, Option("--sample-length", metavar="N", help="Tokens of a sample.")] = 100,
    sample_num: Annotated[int, Option("--sample-num", metavar="N", help="Samples each time.")] = 1,
    sample_dir: Annotated[str, Option("--sample-dir", metavar="DIR", help="Where samples are written.")] = "samples",
    val_dataset: Annotated[str | None, Option("--val-dataset", metavar="PATH", help="Text to validate on.")] = None,
    val_share: Annotated[
        float, Option("--val-share", metavar="X", help="Or hold this share of every text back for it.")
    ] = 0.0,
    val_every: Annotated[int, Option("--val-every", metavar="N", help="Validate every N steps.")] = 100,
    val_batch_count: Annotated[int, Option("--val-batch-count", metavar="N", help="Batches of a validation.")] = 40,
    val_batch_size: Annotated[int, Option("--val-batch-size", metavar="N", help="Windows in each of them.")] = 2,
    patience: Annotated[
        int | None, Option("--patience", metavar="N", help="End after N validations without a better one.")
    ] = None,
    bias: Annotated[
        bool,
        Option(
            "--bias/--no-bias",
            help="Ask the model before and after what it expects of groups of people; bias.html in the run's folder "
            "compares.",
        ),
    ] = True,
    column: Annotated[str | None, Option("--column", metavar="NAME", help="The column or field of the text.")] = None,
    template: Annotated[str | None, Option("--template", metavar="TEXT", help='Such as "{title}\\n{body}".')] = None,
    seed: o.TrainingSeed = 0,
    threads: Annotated[
        int | None, Option("--threads", metavar="N", help="Threads of the CPU. Default: all cores.")
    ] = None,
    device: Annotated[str, Option("--device", metavar="cpu|cuda", help="Where to train.")] = "cpu",
    precision: Annotated[
        str,
        Option(
            "--precision",
            metavar="auto|fp32|bf16",
            help="Type of the products; auto is bf16 where the hardware has it.",
        ),
    ] = "auto",
) -> None:
    """Train a model further on your own text.

    Ctrl-C saves the run and its model; the same command goes on from there. The model lies in the run's folder, where
    generate --model finds it. Prints that folder.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("context", "bias")}

    import dataclasses

    from gpt2lab.cli import console
    from gpt2lab.lm.finetune import prepare_finetune
    from gpt2lab.train.options import FineTuneOptions

    if steps == -1:
        given["steps"] = None
    for option in dataclasses.fields(FineTuneOptions):  # a recipe decides what was not said
        if option.name in given and not _said(context, option.name):
            del given[option.name]
    with console.as_files([*dataset, *([] if val_dataset is None else [val_dataset])], "stdin.txt") as files:
        given["dataset"] = files[: len(dataset)]
        if val_dataset is not None:
            given["val_dataset"] = files[-1]
        run = prepare_finetune(**given, told=console.say, progress=None)
    model_folder = run.fit()
    if bias and run.trainer.processes.is_main:
        begun_with = model or "tiny" if run.options.restore_from in ("latest", "fresh") else run.options.restore_from
        if run.base.source.startswith("the run in "):  # it goes on
            begun_with = run.base.source
        _compare(run, model_folder, (begun_with, str(run.folder)))
    console.write(f"{model_folder}\n")


def _said(context: Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _compare(run: FineTune, made: Path, names: tuple[str, str]) -> None:
    """Write beside the model what the run changed in what it expects of groups of people, and tell it."""
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.engine.loading import load_backend
    from gpt2lab.errors import Gpt2labError
    from gpt2lab.evals.bias.finetuned import PAGE, compare
    from gpt2lab.lm.model import LanguageModel

    base, threads = run.base, run.options.threads
    try:
        before = LanguageModel(load_backend(base, threads=threads), base.tokenizer, source=base.source)
        with ProgressBar("asking before and after", unit="questions") as bar:
            after = LanguageModel.load(made, threads=threads)
            told = compare(before, after, run.folder, names=names, progress=bar.update)
    except Gpt2labError as error:  # the model is there, whatever its window is too short for
        console.note(f"What was changed in bias was not measured: {error}")
        return
    console.say(f"{told}{run.folder / PAGE} says more of it.")
