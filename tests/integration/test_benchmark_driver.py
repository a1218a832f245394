"""The benchmark's driver with engines that are made up: workers, sessions, tuning, agreement, and the whole command."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import benchmarks.agreement as agreement
import benchmarks.checkpoints as checkpoints
import benchmarks.rounds as rounds
import benchmarks.session as session
from benchmarks import __main__ as command
from benchmarks.checkpoints import ConversionError, random_model, with_tokenizer
from benchmarks.client import Worker, WorkerError
from benchmarks.engines import Engine
from benchmarks.peers import TARGETS
from benchmarks.results import Store
from benchmarks.rounds import Turns
from benchmarks.session import Choose, Place, Session, Workers, load_arguments
from benchmarks.tuning import Tuning
from benchmarks.workload import Case
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer

HERE = Path(__file__).parent
FAKE, OURS, SILENT = Engine("fake", "fp32"), Engine("gpt2lab", "fp32"), Engine("silent", "fp32")
ONE_ROUND = Turns(rounds=1, steady=0.0, tolerance=1.0)
CASE = Case(group="decode", new=5)


@pytest.fixture(autouse=True)
def made_up_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fake engines in the places of ours and of transformers, here and in worker processes."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
    for peer, name in {"fake": "Fake", "gpt2lab": "Ours", "transformers": "Ours", "silent": "Silent"}.items():
        monkeypatch.setitem(TARGETS, peer, f"fake_peer:{name}")
    monkeypatch.setattr(session, "LIMITS", "fake_peer:Machine")
    monkeypatch.setattr(rounds, "SETTLE", 0.0)
    monkeypatch.setattr(checkpoints, "preset", lambda _: GPT2Config(n_embd=8, n_layer=1, n_head=1, n_positions=16))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(work=tmp_path / "work", export=tmp_path / "export")


def plain(engine: Engine, kind: str) -> tuple[str, Mapping[str, Any]]:
    return "plain", {"speed": 1}


def ignore(_: object) -> None:
    pass


def measured(place: Place, case: Case, engines: Sequence[Engine], choose: Choose = plain) -> dict[str, Any]:
    with Session(place, ONE_ROUND, choose, ignore) as one:
        return one.run(case, engines)


def started(tmp_path: Path, name: str) -> Worker:
    return Worker(f"fake_peer:{name}", tmp_path / "log")


def test_a_worker_answers_calls_with_their_values(tmp_path: Path) -> None:
    with started(tmp_path, "Fake") as worker:
        assert worker.call("load", model="same", form="fp32", threads=1, settings={"speed": 1}).value is None
        reply = worker.call("decode_json", prompts=[[7, 8]], new=2)
        assert reply.value == {"tokens": [[1, 1]], "first": 0.25, "seconds": 2.25}
        assert reply.seconds >= 0
        assert worker.call("version").value == pytest.__version__
        assert worker.call("memory").value >= 0
    assert "prints to stdout" in (tmp_path / "log").read_text(encoding="utf-8")


def test_an_error_in_a_worker_is_an_error_here_and_the_worker_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, "Fake") as worker:
        with pytest.raises(WorkerError, match="'decode_json' cannot be called before load"):
            worker.call("decode_json", prompts=[[1]], new=1)
        with pytest.raises(WorkerError, match="ValueError: cannot be loaded like this"):
            worker.call("load", model="same", form="fp32", threads=1, settings={"speed": 0})
        worker.call("load", model="same", form="fp32", threads=1, settings={"speed": 1})
        with pytest.raises(WorkerError, match="'prepare' cannot be called here"):
            worker.call("prepare")
        assert worker.call("weight_bytes").value == 1000


def test_a_worker_that_dies_or_hangs_is_an_error(tmp_path: Path) -> None:
    with started(tmp_path, "Stubborn") as worker:
        worker.call("load")
        with pytest.raises(WorkerError, match="Stubborn ended with code 3: last words"):
            worker.call("die")
        with pytest.raises(WorkerError, match="ended with code 3"):
            worker.call("load")
    with started(tmp_path, "Stubborn") as worker:
        worker.call("load")
        with pytest.raises(WorkerError, match="did not answer within 0 s"):
            worker.call("hang", timeout=0.1)


def test_a_session_keeps_times_details_and_failures(place: Place) -> None:
    engines = [OURS, Engine("gpt2lab", "int8"), FAKE, Engine("fake", "int8")]
    values = measured(place, CASE, engines)
    engine_samples = [sample for sample in values["samples"] if not sample["entrant"].startswith("limit")]
    assert {sample["entrant"]: sample["seconds"] for sample in engine_samples} == {
        "gpt2lab fp32": 2.25,
        "gpt2lab int8": 1.25,
        "Fake fp32": 2.25,
    }
    assert {sample["round"] for sample in engine_samples} == {1}
    assert values["failed"] == {"Fake int8": "ValueError: no int8 today"}
    detail = values["details"]["gpt2lab int8"]
    assert (detail["width"], detail["ours"], detail["settings"], detail["weight_bytes"]) == (
        "int8",
        True,
        "plain",
        1000,
    )
    store = Store(place.work / "results")
    store.save(values)
    (result,) = store.load()
    assert result.case == CASE
    assert result.decode_rate("gpt2lab int8") == {1: 4.0}
    assert result.limit("limit stream 1000") == {1: 63_000.0}


def test_a_cold_start_is_timed_from_outside(place: Place) -> None:
    cold = Case(group="cold", new=1, cold=True)
    values = measured(place, cold, [OURS])
    (sample,) = values["samples"]
    assert sample["seconds"] > 0
    assert sample["seconds"] != 2.25  # not what the engine says itself


def test_what_cannot_be_loaded_is_left_out(place: Place) -> None:
    values = measured(place, CASE, [FAKE], lambda *_: ("broken", {"speed": 0}))
    assert values["samples"] == []
    assert "cannot be loaded like this" in values["failed"]["Fake fp32"]


def test_a_worker_stays_for_its_group_and_its_settings(place: Place) -> None:
    workers = Workers(place)

    def asked(case: Case, speed: int) -> Worker:
        workers.only_for(case)
        return workers.of(OURS, load_arguments(place, OURS, case, {"speed": speed}))

    one, other = Case(group="batch"), Case(group="batch", batch=8)
    first = asked(one, 1)
    assert asked(other, 1) is first
    second = asked(other, 2)
    with pytest.raises(ValueError, match="closed"):
        first.call("version")
    assert asked(Case(group="context"), 2) is not second
    workers.close()


def test_tuning_takes_the_fastest_settings_and_remembers(place: Place) -> None:
    tuning = Tuning(place.work / "tuning.json", 2)
    assert tuning.choose(FAKE, "single") == ("plain", {"speed": 1})
    said: list[str] = []
    tuning.run([FAKE], "124M", place, ONE_ROUND, again=False, say=said.append)
    assert any("broken" in line and "cannot be loaded" in line for line in said)
    again = Tuning(place.work / "tuning.json", 2)
    assert again.choose(FAKE, "prompt") == ("better", {"speed": 2})
    assert again.choose(FAKE, "cold") == ("plain", {"speed": 1})
    assert again.tried("Fake fp32") == ["plain", "better", "broken"]
    said.clear()
    again.run([FAKE], "124M", place, ONE_ROUND, again=False, say=said.append)
    assert not said
    assert Tuning(place.work / "tuning.json", 1).tried("Fake fp32") == []


def test_a_conversion_is_done_once_and_tried_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = place.model(FAKE, "124M")
    assert Tokenizer.find(Path((made / "made").read_text(encoding="utf-8"))) is not None
    (made / "made").write_text("touched", encoding="utf-8")
    assert place.model(FAKE, "124M") == made
    assert (made / "made").read_text(encoding="utf-8") == "touched"
    assert place.model(OURS, "124M") == place.work / "gpt2" / "model"
    for target in ("fake_peer:Fake", "fake_peer:NotThere"):  # the second is not even looked for
        monkeypatch.setitem(TARGETS, "fake", target)
        with pytest.raises(ConversionError, match="no int8 today"):
            place.model(Engine("fake", "int8"), "124M")


def test_the_tokenizer_for_converters_has_gpt2s_size(tmp_path: Path) -> None:
    folder = with_tokenizer(tmp_path / "with", random_model(tmp_path / "without", "gpt2"))
    tokenizer = Tokenizer.find(folder)
    assert tokenizer is not None
    assert tokenizer.vocab_size == GPT2Config().vocab_size
    assert tokenizer.decode(tokenizer.encode("naïve café 字")) == "naïve café 字"


def findings(place: Place, *engines: Engine) -> dict[str, str]:
    return agreement.agreement(engines, "124M", place, plain, ignore)


def test_equal_logits_agree(place: Place) -> None:
    assert findings(place, OURS)["gpt2lab fp32"] == "logits differ by at most 0.0e+00"


def test_ours_must_agree_and_a_peer_is_told_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Engine("fake", "fp32")
    assert findings(place, elsewhere)["Fake fp32"] == "logits differ by at most 1.0e-02"
    monkeypatch.setattr(agreement, "PEERS_TOLERANCE", 1e-3)
    assert "MORE than the 1e-03 that is allowed" in findings(place, elsewhere)["Fake fp32"]
    monkeypatch.setitem(TARGETS, "transformers", "fake_peer:Fake")
    with pytest.raises(agreement.Disagreement, match=r"differ by at most 1\.0e-02 from those of transformers"):
        findings(place, OURS)


def test_without_logits_tokens_may_part_at_ties_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NOT a tie" in findings(place, SILENT)["Silent fp32"]
    monkeypatch.setattr(agreement, "PEERS_TOLERANCE", 1.0)
    assert findings(place, SILENT)["Silent fp32"].endswith("at a tie")


def test_the_command_measures_and_writes_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    options = ["--quick", "--groups", "decode", "--only", "gpt2lab,fake", "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--output", str(page)])
    assert command.main() == 0
    text = page.read_text(encoding="utf-8")
    assert "| **gpt2lab fp32** | 31.5 | 31.5 – 31.5 |  | 0 | 50% |" in text  # 63 tokens in 2 s, of 1000 bytes each
    assert "| Fake fp32 | 31.5 | 31.5 – 31.5 | 1.00 × |" in text
    assert "- Fake int8, decode (batch 1, context 32, 124M): ValueError: no int8 today" in text
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "nothing"])
    assert command.main() == 2
    assert "'nothing' is no engine; there are " in capsys.readouterr().err
