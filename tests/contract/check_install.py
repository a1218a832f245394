"""What a plain `pip install .` brings, in a fresh environment: run by `make check-install`, not by pytest.

Fails when torch comes along or site-packages grows by more than 200 MB. The time of a whole generate process (which is
to be below one second on two idle cores) is printed, not judged: a machine may be busy.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_MEGABYTES = 200
COMMAND = ["generate", "Once upon a time", "--length", "20", "--seed", "1"]


def size_of(folder: Path) -> float:
    """Return the megabytes of all files below `folder`."""
    return sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "venv"
        venv.create(folder, with_pip=True)
        scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
        (packages,) = [p for p in folder.rglob("site-packages") if p.is_dir()]
        before = size_of(packages)
        pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)]
        subprocess.run(pip, check=True)
        grown = size_of(packages) - before
        unwanted = [p.name for p in packages.iterdir() if p.name in ("torch", "transformers", "tensorflow")]
        seconds = []
        for _ in range(9):
            started = time.perf_counter()
            run = subprocess.run(
                [str(scripts / "gpt2lab"), *COMMAND], check=True, capture_output=True, text=True, cwd=name
            )
            seconds.append(time.perf_counter() - started)
        median = statistics.median(seconds)
        print(f"site-packages grew by {grown:.0f} MB (at most {MAX_MEGABYTES})")
        print(f"gpt2lab {' '.join(COMMAND)}: {median:.2f} s, at best {min(seconds):.2f} s (median of {len(seconds)})")
        print(run.stdout)
        if unwanted or grown > MAX_MEGABYTES:
            raise SystemExit(f"the install is not what it should be: it brings {unwanted} and {grown:.0f} MB")


if __name__ == "__main__":
    main()
