"""Shared by all tests: a small random model on disk, the data that the project does not ship, and a command line."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from gpt2lab.checkpoint import save_hf
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import train_tokenizer
from random_music import make_model

if TYPE_CHECKING:
    from live_server import Live

ROOT = Path(__file__).parents[1]

_SUBJECTS = ("the old sailor", "a grey cat", "my sister", "the long winter", "a small model", "the café owner")
_VERBS = ("walked slowly to", "dreamt all night of", "had never seen", "wrote a letter about", "waited for")
_OBJECTS = (
    "the harbour.",
    "an open door.",
    "seven green apples!",
    "the night train?",
    "its own shadow.",
    "naïve plans.",
)


def sample_text() -> str:
    """Return some thousand words of nonsense with accents, quotes and line breaks; always the same."""
    sentences = [
        f"{subject} {verb} {thing}".capitalize() + ("\n" if i % 4 == 0 else " ")
        for i, (subject, verb, thing) in enumerate((s, v, o) for s in _SUBJECTS for v in _VERBS for o in _OBJECTS)
    ]
    return "".join(sentences) + '"Well," she said, "that is 1 of 23 answers."\n'


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random GPT-2 in Hugging Face's format: a vocabulary of about 400 tokens, a window of 64."""
    tokenizer = train_tokenizer(iter([sample_text()]), vocab_size=400)
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size,
        n_positions=64,
        n_embd=24,
        n_layer=2,
        n_head=3,
        bos_token_id=tokenizer.eos_id,
        eos_token_id=tokenizer.eos_id,
    )
    rng = np.random.default_rng(1)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in config.tensor_shapes().items()}
    return save_hf(tmp_path_factory.mktemp("models") / "random", config, tensors, tokenizer)


@pytest.fixture(scope="session")
def performer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of musical performances."""
    return make_model(tmp_path_factory.mktemp("music") / "performance", "performance")


@pytest.fixture(scope="session")
def chorister_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of chorales."""
    return make_model(tmp_path_factory.mktemp("music") / "chorales", "chorales")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that the project does not ship: $GPT2LAB_DATA, else ../shared/data beside the project."""
    folder = Path(os.environ.get("GPT2LAB_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the data folder {folder} is not here (set GPT2LAB_DATA)")
    return folder


@pytest.fixture(scope="session")
def article_model(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the random model and rows for the field tokens of articles."""
    from gpt2lab.apps.articles.training import knowing_fields
    from gpt2lab.checkpoint import load

    made = knowing_fields(load(random_model))
    return save_hf(tmp_path_factory.mktemp("articles") / "model", made.config, made.tensors, made.tokenizer)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server of the embedded model, which has loaded it."""
    from gpt2lab.lm.model import LanguageModel
    from live_server import live_server

    with live_server({"tiny": "tiny"}, ready={"tiny": LanguageModel.load("tiny", threads=1)}) as server:
        yield server


@pytest.fixture
def ctrl_c_works() -> Iterator[None]:
    """Give children the usual Ctrl-C: a run of the tests in a script's background ignores it, and so would they."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Outcome(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs a command line in this process: command("generate", "x", stdin=b"…", encoding="…").

    Without `stdin` the command reads from /dev/null.
    """
    from gpt2lab.cli.main import run

    def run_command(*arguments: str | Path, stdin: bytes | None = None, encoding: str = "utf-8") -> Outcome:
        source = Path(os.devnull)
        if stdin is not None:
            source = tmp_path / "stdin"
            source.write_bytes(stdin)
        out, err = io.BytesIO(), io.BytesIO()
        with source.open(encoding="utf-8") as given, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", given)
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, newline=""))
            patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding="utf-8", newline=""))
            code = run([str(a) for a in arguments])
            sys.stdout.flush()
            sys.stderr.flush()
            return Outcome(code, out.getvalue().decode(encoding), err.getvalue().decode())

    return run_command
