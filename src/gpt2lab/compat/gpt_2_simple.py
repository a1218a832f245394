"""gpt-2-simple's functions under their names, on this engine: `import gpt2lab.compat.gpt_2_simple as gpt2`.

Arguments, defaults, files and printed lines are those of gpt-2-simple 0.8; TensorFlow is not needed, and a session is
just the place of a model. Checkpoints are folders as `gpt2lab finetune` writes them, not TensorFlow's.
"""

from __future__ import annotations

import csv
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt2lab.checkpoint import download
from gpt2lab.checkpoint.resolve import in_models_dir
from gpt2lab.errors import DataError, RequestError
from gpt2lab.files import atomic_write
from gpt2lab.lm.model import LanguageModel

DRIVE = Path("/content/drive/My Drive")
"""Where Colab shows a mounted Google Drive."""


class Session:
    """The place of a loaded or trained model, where gpt-2-simple had a TensorFlow session."""

    def __init__(self, threads: int = -1) -> None:
        self.threads = threads if threads > 0 else None
        self.model: LanguageModel | None = None


# ---- models and sessions -------------------------------------------------------------------------------------


def download_gpt2(model_dir: str = "models", model_name: str = "124M") -> None:
    """Fetch a published model into `model_dir`/`model_name`, from OpenAI's storage and in its layout."""
    download(model_name, models_dir=model_dir, source="openai")


def is_gpt2_downloaded(model_dir: str = "models", model_name: str = "124M") -> bool:
    """Tell whether `model_dir` holds that model."""
    return in_models_dir(model_name, model_dir) is not None


def start_tf_sess(threads: int = -1, server: object = None) -> Session:
    """Return an empty session; `threads` of -1 are as many as there are cores. `server` has no meaning here."""
    return Session(threads)


def reset_session(sess: Session, threads: int = -1, server: object = None) -> Session:
    """Drop the session's model and return an empty session. It is never needed to train or load another model."""
    sess.model = None
    return Session(threads)


def get_available_gpus() -> list[str]:
    """Return the names of the GPUs that training could use."""
    try:
        import torch
    except ModuleNotFoundError:
        return []
    return [f"/device:GPU:{i}" for i in range(torch.cuda.device_count())]


def load_gpt2(
    sess: Session,
    checkpoint: str = "latest",
    run_name: str = "run1",
    checkpoint_dir: str = "checkpoint",
    model_name: str | None = None,
    model_dir: str = "models",
    multi_gpu: bool = False,
    reuse: bool = False,
) -> None:
    """Load a trained run into the session, or the published model `model_name` if that is given.

    `checkpoint` other than "latest" is a folder. `multi_gpu` and `reuse` have no meaning here.
    """
    if model_name:
        sess.model = LanguageModel.load(model_name, models_dir=model_dir, threads=sess.threads)
        print(f"Loading pretrained model {Path(model_dir) / model_name}")
        return
    folder = Path(checkpoint_dir) / run_name if checkpoint == "latest" else Path(checkpoint)
    sess.model = LanguageModel.load(folder, threads=sess.threads)
    print(f"Loading checkpoint {folder}")


# ---- training ------------------------------------------------------------------------------------------------


def finetune(
    sess: Session,
    dataset: str,
    steps: int = -1,
    model_name: str = "124M",
    model_dir: str = "models",
    combine: int = 50000,
    batch_size: int = 1,
    learning_rate: float = 0.0001,
    accumulate_gradients: int = 5,
    restore_from: str = "latest",
    run_name: str = "run1",
    checkpoint_dir: str = "checkpoint",
    sample_every: int = 100,
    sample_length: int = 1023,
    sample_num: int = 1,
    multi_gpu: bool = False,
    save_every: int = 1000,
    print_every: int = 1,
    max_checkpoints: int = 1,
    use_memory_saving_gradients: bool = False,
    only_train_transformer_layers: bool = False,
    optimizer: str = "adam",
    overwrite: bool = False,
    reuse: bool = False,
    **more: Any,
) -> None:
    """Train `model_name` further on `dataset`: a file, a folder, a pattern, an .npz, or a .csv whose first column is
    the text of each row, below a header.

    `more` are options of `gpt2lab.train.options.FineTuneOptions` that gpt-2-simple lacks, such as seed or lora_rank.
    `combine`, `multi_gpu` and `reuse` have no meaning here: texts are joined by the real end-of-text token.
    """
    from gpt2lab.lm.finetune import prepare_finetune
    from gpt2lab.train.loop import Every

    lines = _Lines()
    with _readable(dataset) as inputs:
        run = prepare_finetune(
            inputs, model_name, models_dir=model_dir, sample_every=sample_every, sample_length=sample_length,
            sample_num=sample_num, sample_dir="samples", told=print, progress=None,
            callbacks=[Every(print_every, lines)], steps=None if steps == -1 else steps, batch_size=batch_size,
            learning_rate=learning_rate, accumulate_gradients=accumulate_gradients, restore_from=restore_from,
            run_name=run_name, checkpoint_dir=checkpoint_dir, save_every=save_every, max_checkpoints=max_checkpoints,
            use_memory_saving_gradients=use_memory_saving_gradients,
            only_train_transformer_layers=only_train_transformer_layers, optimizer=optimizer, overwrite=overwrite,
            threads=sess.threads, **more,
        )  # fmt: skip
    lines.loss = lambda: run.trainer.loss
    try:
        folder = run.fit()
    except KeyboardInterrupt:
        print("interrupted")
        folder = run.export()
    sess.model = LanguageModel.load(folder, threads=sess.threads)


class _Lines:
    """Prints gpt-2-simple's line of a step: seconds so far, the loss, and its average, which forgets slowly."""

    def __init__(self) -> None:
        self._began, self._sum, self._weight = time.time(), 0.0, 0.0
        self.loss: Callable[[], float] = float

    def __call__(self, model: object, step: int) -> Mapping[str, float]:
        loss = self.loss()
        self._sum, self._weight = 0.99 * self._sum + loss, 0.99 * self._weight + 1.0
        average = self._sum / self._weight
        print(f"[{step} | {time.time() - self._began:2.2f}] loss={loss:2.2f} avg={average:2.2f}")
        return {}


@contextmanager
def _readable(dataset: str) -> Iterator[str]:
    """Yield the data set; the first column of a .csv becomes texts between start and end tokens, as there."""
    if not dataset.endswith(".csv"):
        yield dataset
        return
    import json
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gpt2lab-") as folder:
        path = Path(folder) / "texts.jsonl"
        with path.open("w", encoding="utf-8") as f:
            for text in _column(dataset, header=True):
                f.write(json.dumps({"text": f"<|startoftext|>{text}"}) + "\n")
        yield str(path)


def _column(path: str, *, header: bool) -> Iterator[str]:
    """Yield the first field of every row."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as f:
            rows = csv.reader(f)
            if header:
                next(rows, None)
            yield from (row[0] for row in rows if row)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; a table is needed.") from None
    except csv.Error as error:
        raise DataError(f"{path} is not a table that can be read: {error}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None


# ---- generation ----------------------------------------------------------------------------------------------


def generate(
    sess: Session,
    run_name: str = "run1",
    checkpoint_dir: str = "checkpoint",
    model_name: str | None = None,
    model_dir: str = "models",
    sample_dir: str = "samples",
    return_as_list: bool = False,
    truncate: str | None = None,
    destination_path: str | None = None,
    sample_delim: str = "=" * 20 + "\n",
    prefix: str | None = None,
    seed: int | None = None,
    nsamples: int = 1,
    batch_size: int = 1,
    length: int = 1023,
    temperature: float = 0.7,
    top_k: int = 0,
    top_p: float = 0.0,
    include_prefix: bool = True,
) -> list[str] | None:
    """Write `nsamples` texts of `length` tokens: returned, appended to a file, or printed.

    The session's model writes; an empty session loads the run, or `model_name`, first. With `truncate` a text ends
    before its first occurrence and nothing behind it is computed; without `include_prefix` it begins behind the prefix,
    if it is truncated, as gpt-2-simple does it.
    """
    if nsamples % batch_size:
        raise RequestError(f"nsamples = {nsamples} must be a multiple of batch_size = {batch_size}.")
    if sess.model is None:
        load_gpt2(sess, run_name=run_name, checkpoint_dir=checkpoint_dir, model_name=model_name, model_dir=model_dir)
    assert sess.model is not None
    prefix = prefix or None
    options: dict[str, Any] = {"stop": [truncate]} if truncate else {}
    made = sess.model.generate(
        prefix, max_new_tokens=length, temperature=temperature, top_k=top_k, top_p=top_p or 1.0, seed=seed,
        num_return_sequences=nsamples, batch_size=batch_size, stop_ids=(), include_stop=True, **options,
    )  # fmt: skip
    texts = [cut((prefix or "") + one.text, prefix, truncate, include_prefix=include_prefix) for one in made]
    if nsamples == 1:
        sample_delim = ""
    if destination_path:
        with Path(destination_path).open("a", encoding="utf-8") as f:
            f.writelines(f"{text}\n{sample_delim}" for text in texts)
        return None
    if return_as_list:
        return texts
    for text in texts:
        print(f"{text}\n{sample_delim}", end="")
    return None


def cut(text: str, prefix: str | None, truncate: str | None, *, include_prefix: bool) -> str:
    """Return what gpt-2-simple shows of a text that begins with the prefix."""
    if truncate:
        begin = f"(?:{re.escape(prefix)})" if prefix and not include_prefix else ""
        found = re.search(f"{begin}(.*?)(?:{re.escape(truncate)})", text, re.DOTALL)
        if found:
            text = found.group(1)
    return text.lstrip("\n")


def generate_to_file(
    sess: Session,
    run_name: str = "run1",
    checkpoint_dir: str = "checkpoint",
    model_name: str | None = None,
    model_dir: str = "models",
    truncate: str | None = None,
    destination_path: str = "gpt_2_gen_texts.txt",
    sample_delim: str = "=" * 20 + "\n",
    prefix: str | None = None,
    seed: int | None = None,
    nsamples: int = 1,
    batch_size: int = 1,
    length: int = 1023,
    temperature: float = 0.7,
    top_k: int = 0,
    top_p: float = 0.0,
    include_prefix: bool = True,
) -> None:
    """Append to `destination_path` what `generate` would print."""
    generate(
        sess, run_name, checkpoint_dir, model_name, model_dir, truncate=truncate, destination_path=destination_path,
        sample_delim=sample_delim, prefix=prefix, seed=seed, nsamples=nsamples, batch_size=batch_size, length=length,
        temperature=temperature, top_k=top_k, top_p=top_p, include_prefix=include_prefix,
    )  # fmt: skip


# ---- data ----------------------------------------------------------------------------------------------------


def encode_csv(
    csv_path: str,
    out_path: str = "csv_encoded.txt",
    header: bool = True,
    start_token: str = "<|startoftext|>",
    end_token: str = "<|endoftext|>",
) -> None:
    """Write the first column of a table as a text file, each row between the two tokens."""
    with atomic_write(Path(out_path), "w") as f:
        f.writelines(f"{start_token}{text}{end_token}\n" for text in _column(csv_path, header=header))


def encode_dataset(
    file_path: str,
    model_dir: str = "models",
    out_path: str = "text_encoded.npz",
    model_name: str = "124M",
    combine: int = 50000,
) -> None:
    """Write the token ids of files, a folder or a pattern as an .npz, in that model's vocabulary."""
    from gpt2lab.checkpoint import load
    from gpt2lab.data import read_documents, write_npz

    tokenizer = load(model_name, models_dir=model_dir).tokenizer
    if tokenizer is None:
        raise DataError(f"{model_name} in {model_dir} has no tokenizer.")
    end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]

    def texts() -> Iterator[list[int]]:
        empty = True
        for document in read_documents([file_path]):
            empty = empty and not document.text
            yield [*tokenizer.encode(document.text), *end]
        if empty:
            raise DataError(f"There is no text in {file_path}.")

    write_npz(out_path, texts())


# ---- Google Drive --------------------------------------------------------------------------------------------


def mount_gdrive() -> None:
    """Mount the user's Google Drive; only within Colab."""
    try:
        from google.colab import drive
    except ImportError:
        raise RequestError("Google Drive can be mounted in Colab only.") from None
    drive.mount(str(DRIVE.parent))


def copy_checkpoint_to_gdrive(run_name: str = "run1", copy_folder: bool = False) -> None:
    """Copy a run to the mounted Drive, as a folder or as one .tar file."""
    source = Path("checkpoint") / run_name
    if copy_folder:
        shutil.copytree(source, _drive() / source)
    else:
        shutil.make_archive(str(_drive() / f"checkpoint_{run_name}"), "tar", ".", str(source))


def copy_checkpoint_from_gdrive(run_name: str = "run1", copy_folder: bool = False) -> None:
    """Copy a run from the mounted Drive."""
    source = Path("checkpoint") / run_name
    if copy_folder:
        shutil.copytree(_drive() / source, source)
    else:
        shutil.unpack_archive(str(_drive() / f"checkpoint_{run_name}.tar"), ".", "tar", filter="data")


def copy_file_to_gdrive(file_path: str) -> None:
    """Copy a file to the mounted Drive."""
    shutil.copyfile(file_path, _drive() / Path(file_path).name)


def copy_file_from_gdrive(file_path: str) -> None:
    """Copy a file of that name from the mounted Drive."""
    shutil.copyfile(_drive() / Path(file_path).name, file_path)


def _drive() -> Path:
    if not DRIVE.is_dir():
        raise RequestError("No Google Drive is mounted: call mount_gdrive() in Colab first.")
    return DRIVE


__all__: Sequence[str] = [
    "copy_checkpoint_from_gdrive", "copy_checkpoint_to_gdrive", "copy_file_from_gdrive", "copy_file_to_gdrive",
    "download_gpt2", "encode_csv", "encode_dataset", "finetune", "generate", "generate_to_file", "get_available_gpus",
    "is_gpt2_downloaded", "load_gpt2", "mount_gdrive", "reset_session", "start_tf_sess",
]  # fmt: skip
