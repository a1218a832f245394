"""Run what the READMEs and docs/samples.md show and put under it what it printed; write the picture and docs/cli.md.

    python docs/refresh.py            (with the Python that has gpt2lab installed)

tests/contract/test_readme.py uses this file to see that nothing shown is out of date. Conventions in the READMEs:

- a block ```sh or ```python is run, all of them in order and in one temporary folder, as a reader would;
- a block ```text right behind it is its standard output, character for character;
- `<!-- make -->` before a block: its lines are `make` targets, which are looked up, not run;
- `<!-- install -->`: its lines install this checkout; the extras they name are looked up;
- `<!-- train -->`: it is run where torch is installed;
- `<!-- serve -->`: its first line starts a server, which the others ask (on a free port instead of 8000);
- `<!-- network -->`: its lines need a network; they are run with --offline and must end in one sentence;
- README.zh.md shows the blocks of README.md, in the same order.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = (ROOT / "README.md", ROOT / "README.zh.md")
PAGES = (ROOT / "docs" / "samples.md",)
PICTURE = ROOT / "docs" / "images" / "generate.svg"

_BLOCK = re.compile(
    r"(?:<!-- (?P<marker>\w+) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```\n"
    r"(?:\n?```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of code in a README: `output` is what is shown as printed by it (None: nothing is shown)."""

    language: str
    code: str
    marker: str
    output: str | None

    @property
    def runs(self) -> bool:
        """Whether the code is run here as it stands."""
        if self.marker == "train":
            return importlib.util.find_spec("torch") is not None
        return self.marker in ("", "serve")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a piece of code did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a README in order."""
    return [Block(m["language"], m["code"], m["marker"] or "", m["output"]) for m in _BLOCK.finditer(text)]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the commands: `gpt2lab` and `python` are this interpreter's, caches are empty."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("gpt2lab", " -m gpt2lab"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPT2LAB_", "HF_", "PYTEST_"))}
    cache = str(folder / ".cache")
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "GPT2LAB_CACHE": cache,
        "HF_HOME": cache,
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
    }


def execute(language: str, code: str, folder: Path, *, timeout: float = 300) -> Ran:
    """Run code in `folder` and return what it did."""
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout,
        check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def serve(code: str, folder: Path) -> Ran:
    """Start the server of the first line on a free port, run the other lines against it, and end it."""
    first, _, rest = code.partition("\n")
    command = ["bash", "-c", f"exec {first} --port 0"]
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline().decode()
            address = re.search(r"http://[\w.:]+", told)
            if address is None:
                return Ran(server.wait(), "", told)
            return execute("sh", rest.replace("http://127.0.0.1:8000", address[0]), folder)
        finally:
            server.terminate()


def run_all(found: list[Block], folder: Path) -> dict[Block, Ran]:
    """Run every block that runs, in order, in `folder`, which gets the checkout's recipes/."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    return {
        block: serve(block.code, folder) if block.marker == "serve" else execute(block.language, block.code, folder)
        for block in found
        if block.runs
    }


def refreshed(text: str, results: dict[Block, Ran]) -> str:
    """Return a README with the output of every block that shows one replaced by what it printed now."""
    by_code = {block.code: ran for block, ran in results.items()}

    def replace(match: re.Match[str]) -> str:
        if match["output"] is None or match["code"] not in by_code:
            return match[0]
        begin, end = (place - match.start() for place in match.span("output"))
        return match[0][:begin] + by_code[match["code"]].out.rstrip("\n") + "\n" + match[0][end:]

    return _BLOCK.sub(replace, text)


def main() -> None:
    """Refresh the READMEs, the pages, the picture and the reference; stop at the first command that fails."""
    for paths in (READMES, *((page,) for page in PAGES)):
        texts = [path.read_text(encoding="utf-8") for path in paths]
        with tempfile.TemporaryDirectory(prefix="gpt2lab-readme-") as folder:
            results = run_all(blocks(texts[0]), Path(folder))
            reference = execute("sh", "python -m gpt2lab.cli.reference", Path(folder))
        for block, ran in results.items():
            if ran.code != 0:
                raise SystemExit(f"This no longer runs:\n\n{block.code}\n{ran.err}")
        for path, text in zip(paths, texts, strict=True):
            path.write_text(refreshed(text, results), encoding="utf-8")
            sys.stdout.write(f"{path}\n")
    picture = runpy.run_path(str(PICTURE.with_name("make.py")))["picture"]
    PICTURE.write_text(picture(), encoding="utf-8")
    if reference.code != 0:
        raise SystemExit(reference.err)
    (ROOT / "docs" / "cli.md").write_text(reference.out, encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n{ROOT / 'docs' / 'cli.md'}\n")


if __name__ == "__main__":
    main()
