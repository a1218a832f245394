"""Memory and time of local and compressed attention, forward and backward, beside full attention.

    python -m benchmarks.long_attention --lengths 512,1024,2048,4096

Each figure is what a process of its own held at most, less what it held when the inputs were there. Full attention is
measured twice: as PyTorch computes it, which holds no scores but computes all of them, and with dropout of its weights,
for which it holds matrices of all pairs; the last two columns have the same dropout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

HEADS, WIDTH = 4, 64
FORMS = {
    "full": ("full", 0.0), "local": ("local", 0.0), "compressed": ("compressed", 0.0),
    "full, dropout": ("full", 0.1), "local, dropout": ("local", 0.1), "compressed, dropout": ("compressed", 0.1),
}  # fmt: skip


def measure(form: str, length: int) -> tuple[float, float]:
    """Return the megabytes that one pass forward and backward adds, and its seconds of processor time."""
    import resource

    import torch
    from torch.utils.checkpoint import checkpoint

    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt import Attention

    torch.set_num_threads(1)
    kind, dropout = FORMS[form]
    config = GPT2Config(
        n_positions=length, n_embd=HEADS * WIDTH, n_head=HEADS, n_layer=1, attn_pdrop=dropout, attention_layers=(kind,)
    )
    attention = Attention(config, 0)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.02)
    qkv = torch.randn(1, length, 3 * HEADS * WIDTH, requires_grad=True)
    small = torch.randn(1, 8, 3 * HEADS * WIDTH, requires_grad=True)
    again = checkpoint(attention, small, None, use_reentrant=False)
    again.sum().backward()  # what the first pass loads
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    attention(qkv, None).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", default="512,1024,2048,4096")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))
        return
    print(f"| positions | {' | '.join(FORMS)} |\n|{'---|' * (len(FORMS) + 1)}")
    for length in map(int, given.lengths.split(",")):
        cells = []
        for form in FORMS:
            command = [sys.executable, "-m", "benchmarks.long_attention", "--one", form, str(length)]
            megabytes, seconds = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            cells.append(f"{megabytes:,.0f} MB, {seconds:.2f} s")
        print(f"| {length} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
