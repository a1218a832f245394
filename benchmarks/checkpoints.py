"""Models with random weights in GPT-2's shapes, and their conversions for each engine; made once, then reused.

    python -m benchmarks.checkpoints MODULE:CLASS FORMAT SOURCE TARGET EXPORT

converts in a process of its own, because converters keep what they load. Speed does not depend on the values of weights
as long as they are ordinary numbers; random ones need no download.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.client import ROOT
from benchmarks.peers import TARGETS, peer_class
from benchmarks.peers.base import Tools
from benchmarks.worker import load_class
from gpt2lab.checkpoint import save_hf
from gpt2lab.files import atomic_folder, write_json
from gpt2lab.model.config import GPT2Config, preset
from gpt2lab.tokenizer.bytemap import alphabet

STD = 0.02
"""GPT-2's own initialisation, here for biases too, and for layer norms around 1."""

WEIGHTS = "model.safetensors"


class ConversionError(Exception):
    """A model could not be converted for an engine; the message says why."""


def random_model(folder: Path, size: str) -> Path:
    """Return `folder`, a Hugging Face folder of a preset's shape with random weights; writes it if it is absent."""
    if not folder.is_dir():
        config = preset(size)
        rng = np.random.default_rng(0)
        tensors = {
            name: rng.standard_normal(shape, dtype=np.float32) * np.float32(STD)
            + np.float32(".ln_" in name and name.endswith("weight"))
            for name, shape in config.tensor_shapes().items()
        }
        save_hf(folder, config, tensors)
    return folder


def with_tokenizer(folder: Path, model: Path) -> Path:
    """Return `folder`: the same model with a tokenizer of the right size, which some converters ask for.

    Its tokens are the 256 bytes, pairs of bytes, and the end of text.
    """
    if not folder.is_dir():
        count = GPT2Config().vocab_size
        letters = alphabet()
        pairs = [(first, second) for first in letters for second in letters][: count - len(letters) - 1]
        tokens = [*letters, *(first + second for first, second in pairs), "<|endoftext|>"]
        with atomic_folder(folder) as made:
            for path in model.iterdir():
                (made / path.name).hardlink_to(path)
            write_json(made / "vocab.json", {token: i for i, token in enumerate(tokens)})
            merges = "".join(f"{first} {second}\n" for first, second in pairs)
            (made / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
            write_json(made / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
    return folder


def converted(work: Path, size: str, peer: str, form: str, export: Path) -> Path:
    """Return the model of `size` ("gpt2" …) as `peer` reads it in the format `form`; converts it if need be.

    Raises `ConversionError`.
    """
    model = random_model(work / size / "model", size)
    if not peer_class(peer).converted:
        return model
    target = work / size / f"{peer}-{form}"
    if not target.is_dir():
        source = with_tokenizer(work / size / "model-with-tokenizer", model)
        command = ["-m", "benchmarks.checkpoints", TARGETS[peer], form, str(source), str(target), str(export)]
        log = work / "logs" / f"convert-{size}-{peer}-{form}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stream:
            done = subprocess.run([sys.executable, *command], check=False, cwd=ROOT, stdout=stream, stderr=stream)
        if done.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ConversionError(lines[-1] if lines else f"the converter ended with code {done.returncode}")
    return target


def main() -> None:
    name, form, source, target, export = sys.argv[1:]
    with atomic_folder(Path(target)) as made:
        load_class(name).prepare(made, form, Tools(source=Path(source), export=Path(export)))


if __name__ == "__main__":
    main()
