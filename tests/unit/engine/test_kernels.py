"""The kernels and the packing of weights, tested in C++ by `native/tests`: as the wheel has them, with sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def tool(*names: str) -> str:
    """Return the path of the first of these programs, or skip."""
    for name in names:
        if found := shutil.which(name, path=TOOLS):
            return found
    pytest.skip(f"The tests of the kernels are compiled, and {' or '.join(names)} is not installed.")


def run(*command: str | Path) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(
            f"{' '.join(map(str, command))} exits with {done.returncode}:\n{done.stdout[-10000:]}", pytrace=False
        )


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the programs are compiled; kept, so that only what has changed is compiled again."""
    builder = tool("ninja", "make")
    tool(os.environ.get("CXX", "c++"), "g++", "clang++")
    generator = "Ninja" if Path(builder).stem == "ninja" else "Unix Makefiles"
    folder = ROOT / "build" / f"kernel-tests-{Path(builder).stem}"
    run(
        tool("cmake"),
        "-S",
        ROOT,
        "-B",
        folder,
        "-G",
        generator,
        f"-DCMAKE_MAKE_PROGRAM={builder}",
        "-DGPT2LAB_TESTS=ON",
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("program", ["kernel_tests", "kernel_tests_sanitized"])
def test_kernels(folder: Path, program: str) -> None:
    """Compared with double precision, and bit for bit with each other, on every instruction set of this processor."""
    if (
        program == "kernel_tests_sanitized"
        and "GPT2LAB_HAS_SANITIZERS:INTERNAL=1" not in (folder / "CMakeCache.txt").read_text()
    ):
        pytest.skip("The C++ compiler has no address and undefined-behaviour sanitizers that run here.")
    run(tool("cmake"), "--build", folder, "--target", program, "--parallel", str(os.cpu_count()))
    run(folder / program)
