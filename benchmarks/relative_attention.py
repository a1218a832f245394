"""Memory of relative attention, forward and backward, beside the form that holds a vector for every pair of positions.

    python -m benchmarks.relative_attention --lengths 512,1024,2048,4096

Each figure is what a process of its own held at most, less what it held when the inputs were there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

HEADS, WIDTH = 4, 64
FORMS = ("skewed", "naive")


def measure(form: str, length: int) -> tuple[float, float]:
    """Return the megabytes that one pass forward and backward adds, and its seconds."""
    import resource

    import torch

    from gpt2lab.model.relative import attend_relatively

    torch.set_num_threads(1)
    q, k, v = (torch.randn(1, HEADS, length, WIDTH, requires_grad=True) for _ in range(3))
    e = torch.randn(HEADS, length, WIDTH, requires_grad=True)
    small = torch.randn(64, 64, requires_grad=True)
    torch.autograd.grad((small @ small).sum(), small)  # what the first pass loads
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    if form == "skewed":
        y = attend_relatively(q, k, v, e, scale=WIDTH**-0.5)
    else:
        distance = torch.arange(length).unsqueeze(1) - torch.arange(length)  # (T, T)
        pairs = e[:, distance.clamp(min=0)]  # (H, T, T, D)
        scores = (q @ k.transpose(2, 3) + torch.einsum("bhtd,htsd->bhts", q, pairs)) * WIDTH**-0.5
        y = torch.softmax(scores.masked_fill(distance < 0, float("-inf")), -1) @ v
    torch.autograd.grad(y.sum(), (q, k, v, e))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", default="512,1024,2048,4096")
    parser.add_argument("--most", type=float, default=12_000, help="megabytes that the naive form may take")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))
        return
    print(f"| positions | {' MB | '.join(FORMS)} MB | {' s | '.join(FORMS)} s |\n|---|---|---|---|---|")
    for length in map(int, given.lengths.split(",")):
        cells = []
        for form in FORMS:
            wanted = 8 * HEADS * WIDTH * length**2 / 1e6  # the naive vectors and their gradient
            if form == "naive" and wanted > given.most:
                cells.append((f"(above {wanted:,.0f})", "-"))
                continue
            command = [sys.executable, "-m", "benchmarks.relative_attention", "--one", form, str(length)]
            megabytes, seconds = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            cells.append((f"{megabytes:,.0f}", f"{seconds:.2f}"))
        print(f"| {length} | {' | '.join(c[0] for c in cells)} | {' | '.join(c[1] for c in cells)} |", flush=True)


if __name__ == "__main__":
    main()
