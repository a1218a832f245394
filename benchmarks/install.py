"""Make the benchmark's own environments and install gpt2lab and the other engines, each at its pinned version.

    python3 -m benchmarks.install ENVIRONMENT

Makes ENVIRONMENT and ENVIRONMENT-export, with the standard library alone. An engine that cannot be installed is left
out: the file absent.json in the environment says why, and the report repeats it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ABSENT = "absent.json"
WITHOUT_AMX = "llama-cpp-without-amx"
"""Folder in the environment with llama.cpp built without AMX, where the processor has it."""

_CMAKE = {
    "avx": "GGML_AVX",
    "avx2": "GGML_AVX2",
    "fma": "GGML_FMA",
    "f16c": "GGML_F16C",
    "bmi2": "GGML_BMI2",
    "avx512f": "GGML_AVX512",
    "avx512_vbmi": "GGML_AVX512_VBMI",
    "avx512_vnni": "GGML_AVX512_VNNI",
    "avx512_bf16": "GGML_AVX512_BF16",
    "amx_tile": "GGML_AMX_TILE",
    "amx_int8": "GGML_AMX_INT8",
    "amx_bf16": "GGML_AMX_BF16",
}
"""Flag of a processor -> the switch of llama.cpp's build."""


def main() -> None:
    environment = Path(sys.argv[1])
    absent: dict[str, str] = {}
    _make(environment)
    if why := _pip(environment, [f"{ROOT}[serve]"]):
        sys.exit(f"gpt2lab itself could not be installed: {why}")
    for requirement in requirements(HERE / "requirements.txt"):
        installed = _llama_cpp if requirement.startswith("llama-cpp-python") else _plainly
        if why := installed(environment, requirement):
            absent[requirement] = why
    export = environment.with_name(f"{environment.name}-export")
    _make(export)
    if why := _pip(export, ["--requirement", str(HERE / "requirements-export.txt")]):
        absent["the converters of OpenVINO and ONNX Runtime"] = why
    (environment / ABSENT).write_text(json.dumps(absent, indent=2), encoding="utf-8")
    for name, why in absent.items():
        print(f"Left out: {name}: {why}")


def requirements(path: Path) -> list[str]:
    """Return the lines of a requirements file that are not comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def llama_switches(flags: Sequence[str], *, amx: bool) -> dict[str, str]:
    """Return the environment variables that build llama.cpp for a processor with these flags, with AMX or without."""
    wanted = [switch for flag, switch in _CMAKE.items() if flag in flags and (amx or not flag.startswith("amx"))]
    return {"CMAKE_ARGS": " ".join(["-DGGML_NATIVE=OFF", *(f"-D{switch}=ON" for switch in wanted)])}


def _plainly(environment: Path, requirement: str) -> str:
    return _pip(environment, [requirement])


def _llama_cpp(environment: Path, requirement: str) -> str:
    """Install llama.cpp; where the processor has AMX, one build with it and another without, made for its flags."""
    flags = _processor_flags()
    if "amx_tile" not in flags:
        return _pip(environment, [requirement])
    anew = ["--no-cache-dir", "--no-binary", "llama-cpp-python", requirement]
    without = environment / WITHOUT_AMX
    if not without.is_dir():
        _pip(environment, ["--no-deps", "--target", str(without), *anew], llama_switches(flags, amx=False))
    loads = [str(environment / "bin" / "python"), "-c", "import llama_cpp"]
    if subprocess.run(loads, check=False, capture_output=True).returncode == 0:
        return ""
    return _pip(environment, anew, llama_switches(flags, amx=True))


def _processor_flags() -> list[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def _make(environment: Path) -> None:
    if not (environment / "bin" / "python").exists():
        print(f"Making {environment} …", flush=True)
        venv.create(environment, with_pip=True)


def _pip(environment: Path, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Install, and return why it failed, or an empty string."""
    print(f"Installing {' '.join(arguments)} …", flush=True)
    command = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run(
        [*command, *arguments],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(variables or {})},
    )
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.strip().splitlines()
    return "" if not done.returncode else (errors or [f"pip ended with code {done.returncode}"])[-1]


if __name__ == "__main__":
    main()
