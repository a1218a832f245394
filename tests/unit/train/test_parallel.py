"""How the processes of a run find each other, also after torchrun has started them again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch.distributed as dist

from gpt2lab.errors import Gpt2labError
from gpt2lab.files import write_json
from gpt2lab.train.parallel import fresh_store
from gpt2lab.train.records import begun_by, job_name


def meet(store: dist.Store, count: int) -> list[dist.Store]:
    """Return what each of `count` processes, here threads, gets."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda rank: fresh_store(store, rank, count, patience=20), range(count)))


def test_every_start_has_a_store_of_its_own_that_all_share() -> None:
    store = dist.HashStore()
    for start in range(3):  # questions, answers and addresses of the starts before are still there
        own = meet(store, 3)
        assert not own[0].check(["address"])
        own[start].set("address", str(start))
        assert [each.get("address") for each in own] == [str(start).encode()] * 3


def test_processes_that_do_not_come() -> None:
    store = dist.HashStore()
    store.set("gpt2lab/question/1", "asked by one that is dead")
    with pytest.raises(Gpt2labError, match="Of 3 processes 2 did not come within 0 seconds"):
        fresh_store(store, 0, 3, patience=0.0)


def test_who_began_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert job_name() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what torchrun says when it was given no name
    assert job_name() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
    assert job_name() == "night"
    assert begun_by(tmp_path) is None
    for starts, name in (([], None), ([{"step": 0}], None), ([{"job": "day"}, {"job": "night"}], "night"), (3, None)):
        write_json(tmp_path / "run.json", {"starts": starts})
        assert begun_by(tmp_path) == name
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    assert begun_by(tmp_path) is None
