"""How long OpenMP's threads wait is decided in time, and never against the user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_ASK = "import sys, os, gpt2lab.train.waiting as w{}; w.wait_briefly(); print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("before", "given", "said"),
    [
        ("", {}, "1000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("", {"OMP_WAIT_POLICY": "passive"}, "None"),
        ("; sys.modules['torch'] = sys", {}, "None"),
    ],
    ids=["alone", "the user's count", "the user's policy", "torch was there"],
)
def test_spins_are_few_unless_the_user_or_a_loaded_torch_decides(before: str, given: dict[str, str], said: str) -> None:
    others = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", _ASK.format(before)], capture_output=True, text=True, env=others | given, check=True
    )
    assert done.stdout.strip() == said
