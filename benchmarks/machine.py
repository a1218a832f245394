"""The machine that is measured: its description, and how much of it others use meanwhile. Linux; silent elsewhere."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

_CPUINFO, _STAT, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/stat"), Path("/proc/meminfo")
_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX bf16",
    "amx_int8": "AMX int8",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 products",
}


def processor_flags() -> frozenset[str]:
    """Return the processor's flags as Linux names them; none elsewhere."""
    return frozenset(_field("flags").split() or _field("Features").split())


def description() -> dict[str, str]:
    """Return what a reader must know of the machine, as label -> text."""
    flags = processor_flags()
    known = [name for flag, name in _INSTRUCTIONS.items() if flag in flags]
    memory = _first_number(_MEMINFO, "MemTotal:")
    return {
        "processor": _field("model name") or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "instructions": ", ".join(known) or "unknown",
        "last cache": _last_cache(),
        "memory": f"{memory / 2**20:.0f} GB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _field(name: str) -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            label, _, value = line.partition(":")
            if label.strip() == name:
                return value.strip()
    return ""


def _first_number(path: Path, label: str) -> int:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0


def _last_cache() -> str:
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return sizes[-1].read_text(encoding="utf-8").strip() if sizes else "unknown"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: wall seconds, and the seconds that all cores together have been busy."""

    wall: float
    busy: float

    @classmethod
    def now(cls) -> Moment:
        """Return this moment; `busy` is NaN where the system does not tell."""
        return cls(time.perf_counter(), _busy())

    def share_of_others(self, own_cpu: float) -> float:
        """Return the part of all cores, 0 to 1, that others have used since, where we used `own_cpu` seconds.

        The system counts in hundredths of a second, so short spans are judged roughly; 0 where it does not tell.
        """
        now = Moment.now()
        others = now.busy - self.busy - own_cpu
        whole = (now.wall - self.wall) * (os.cpu_count() or 1)
        return max(0.0, others - 0.02) / whole if others == others and whole > 0 else 0.0


def _busy() -> float:
    if not _STAT.is_file():
        return float("nan")
    user, nice, system, _idle, _wait, *stolen = map(
        int, _STAT.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + sum(stolen[:3])) / os.sysconf("SC_CLK_TCK")
