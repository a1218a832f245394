"""Run the commands that docs/evaluation.md shows and put under each what it printed.

    python docs/refresh_evaluation.py CORPORA [--cache DIR]

CORPORA is a folder with the official files (docs/evaluation.md lists them); the commands see it under the name corpora.
They keep their answers in DIR, so that a refresh that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evaluation.md"


def readme_tools() -> dict[str, Any]:
    """Return what docs/refresh.py has for pages with commands and their output."""
    return runpy.run_path(str(ROOT / "docs" / "refresh.py"), run_name="refresh")


def main() -> None:
    """Refresh the page; stop at the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, help="folder with the official files")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "evaluation", help="where answers are kept")
    given = parser.parse_args()
    tools = readme_tools()
    text = PAGE.read_text(encoding="utf-8")
    results = {}
    with tempfile.TemporaryDirectory(prefix="gpt2lab-evaluation-") as name:
        folder = Path(name)
        (folder / "corpora").symlink_to(given.corpora.resolve())
        given.cache.mkdir(parents=True, exist_ok=True)
        (folder / ".cache").symlink_to(given.cache.resolve())
        for block in tools["blocks"](text):
            if not block.runs or block.output is None:
                continue
            sys.stderr.write(block.code)
            results[block] = ran = tools["execute"](block.language, block.code, folder, timeout=24 * 3600)
            if ran.code != 0:
                raise SystemExit(ran.err)
    PAGE.write_text(tools["refreshed"](text, results), encoding="utf-8")


if __name__ == "__main__":
    main()
