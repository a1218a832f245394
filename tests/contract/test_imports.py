"""Importing is instant, silent and light, and the layers of the design hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = (
    "torch",
    "transformers",
    "tiktoken",
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "rich",
    "fastapi",
    "pydantic",
    "uvicorn",
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )


def loaded_after(code: str) -> set[str]:
    """Run code in a new process and return which of the slow packages it loaded."""
    done = python(f"import sys\n{code}\nsys.stderr.write(' '.join(m for m in {SLOW} if m in sys.modules))")
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_the_package_loads_nothing_slow() -> None:
    assert loaded_after("import gpt2lab") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["generate", "--help"], ["tokenizer", "train", "--help"], ["--version"]]
)
def test_help_loads_nothing_slow(arguments: list[str]) -> None:
    assert loaded_after(f"from gpt2lab.cli.main import run\nassert run({arguments}) == 0") == set()


def test_generating_loads_no_torch(random_model: Path) -> None:
    arguments = ["generate", "a", "-m", str(random_model), "-l", "2", "--seed", "1"]
    loaded = loaded_after(f"from gpt2lab.cli.main import run\nassert run({arguments}) == 0")
    assert loaded <= {"numpy", "tokenizers", "safetensors"}
    assert "numpy" in loaded


def test_the_entry_point_is_ready_for_ctrl_c_at_once() -> None:
    code = "import sys; before = set(sys.modules); import gpt2lab.cli.main; print(*sorted(set(sys.modules) - before))"
    assert python(code).stdout.split() == ["__future__", "gpt2lab", "gpt2lab.cli", "gpt2lab.cli.main"]


def test_nothing_is_printed_at_import() -> None:
    code = (
        "import importlib, pkgutil, gpt2lab\n"
        "for m in pkgutil.walk_packages(gpt2lab.__path__, 'gpt2lab.'):\n"
        "    if not m.name.endswith('__main__') and m.name.split('.')[1] not in ('train',) "
        "and m.name not in ('gpt2lab.model.gpt', 'gpt2lab.model.init', 'gpt2lab.model.cache', "
        "'gpt2lab.model.vector_math', 'gpt2lab.model.relative', 'gpt2lab.model.long', 'gpt2lab.model.pieces', "
        "'gpt2lab.apps.music.task', "
        "'gpt2lab.apps.detect.head_training', 'gpt2lab.apps.seq2seq.task', "
        "'gpt2lab.engine.torch_backend'):\n"
        "        importlib.import_module(m.name)\n"
        "import sys\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_layers_hold() -> None:
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
