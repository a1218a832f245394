"""Where data comes from: files in a folder, datasets of the hub as Parquet, and what is said without either."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.place import HubData, MissingDataError, Place, parquet_rows, read_source
from gpt2lab.evals.registry import TASKS, load_task
from small_server import Served, serving

HUB = HubData("someone/data", "default", "test")


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Datasets of a made hub: (repository, file) -> rows."""
    datasets: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def about(url: str) -> None:
        from huggingface_hub.errors import RemoteEntryNotFoundError

        if not any(url.endswith(f"/datasets/{r}/resolve/refs%2Fconvert%2Fparquet/{name}") for r, name in datasets):
            answer: Any = SimpleNamespace(headers={}, request=None)
            raise RemoteEntryNotFoundError(url, response=answer)

    def download(repo: str, name: str, *, repo_type: str, revision: str, endpoint: str | None) -> str:
        assert (repo_type, revision, endpoint) == ("dataset", "refs/convert/parquet", None)
        return str(write_parquet(tmp_path / "fetched.parquet", datasets[repo, name]))

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", about)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return datasets


def test_a_file_below_the_tasks_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "ptb").mkdir()
    for path in (tmp_path / "ptb" / "b", tmp_path / "b", tmp_path / "a"):
        path.touch()
    assert Place(tmp_path).find("ptb", ("a", "b"), None) == tmp_path / "a"
    (tmp_path / "a").unlink()
    assert Place(tmp_path).find("ptb", ("a", "b"), None) == tmp_path / "ptb" / "b"


def test_the_hubs_lines_become_the_files(hub: Any, shared_data: Path) -> None:
    """WikiText, the Penn Treebank and LAMBADA from the hub read as the official files do."""
    real = shared_data / "eval"
    wiki = (real / "wikitext2" / "test.txt").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [{"text": line + "\n" if line.strip() else ""} for line in wiki]
    hub["Salesforce/wikitext", "wikitext-2-v1/test/0000.parquet"] = rows
    ptb = (real / "ptb" / "ptb.test.txt").read_text(encoding="utf-8").split("\n")[:-1]
    hub["ptb-text-only/ptb_text_only", "penn_treebank/test/0000.parquet"] = [{"sentence": line.strip()} for line in ptb]
    for name, folder in (("wikitext2", "wikitext2"), ("ptb", "ptb")):
        fetched, provenance = load_task(name, place=Place()).load()
        local, _ = load_task(name, place=Place(real / folder)).load()
        assert fetched == local
        assert provenance.official is True


def test_questions_from_the_hub(hub: Any) -> None:
    cbt = {"sentences": ["A cat ."] * 20, "question": "The XXXXX sat .", "answer": "cat", "options": ["cat", "dog"]}
    hub["cam-cst/cbt", "NE/validation/0000.parquet"] = [cbt]
    (document,), provenance = load_task("cbt-ne", place=Place(official=False)).load()
    assert document.choices == ("cat", "dog")
    assert provenance.official is False
    winograd = {"text": "Jim comforted Kevin because he was upset.", "pronoun": "he", "pronoun_loc": 28,
                "options": ["Jim", "Kevin"], "label": 1}  # fmt: skip
    hub["lighteval/winograd_wsc", "wsc273/test/0000.parquet"] = [winograd]
    task = load_task("wsc273", preset="lm-eval", place=Place(official=False))
    (document,), _ = task.load()
    assert document.asked["accuracy"][1] == ("Jim comforted Kevin because Kevin", "  was upset.")
    possessive = {**winograd, "pronoun": "his", "text": "He took his hat.", "pronoun_loc": 8}
    hub["lighteval/winograd_wsc", "wsc273/test/0000.parquet"] = [possessive]
    (document,), _ = load_task("wsc273", preset="paper", place=Place(official=False)).load()
    assert document.asked["partial"][0] == ("He took Jim's", " hat.")


def test_what_is_not_to_be_had_is_said(hub: Any, tmp_path: Path) -> None:
    looked = f"{tmp_path} has none of a, b"
    for place, source, words in (
        (Place(tmp_path), None, rf"The data of x are not here: {looked}. Put a into a folder and name that"
         r" \(--data\); it is published at there\."),
        (Place(), None, "The data of x are not here: no data folder was given"),
        (Place(tmp_path, offline=True), HUB, rf"{looked}, and the hub's {HUB.repo} \(default, test\) may not be asked"),
        (Place(tmp_path), HUB, rf"\({looked}\), and the hub has no someone/data \(default, test\)"),
    ):  # fmt: skip
        with pytest.raises(MissingDataError, match=words):
            place.find("x", ("a", "b"), source, origin="there")
    with pytest.raises(DataError, match=r"The data folder .*/no does not exist"):
        Place(tmp_path / "no").find("x", ("a",), HUB)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"the hub's someone/data \(default, test\) could not be fetched: \S+"):
        Place(endpoint="http://127.0.0.1:9").find("x", ("a",), HUB)


def test_what_was_fetched_once_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(tmp_path / "here"))
    assert Place(endpoint="http://127.0.0.1:9").find("x", ("a",), HUB) == tmp_path / "here"


def test_damaged_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [{"a": 1}])
    with pytest.raises(DataError, match=r"has no column 'text'; its columns are a"):
        parquet_rows(path, ["text"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x.parquet is not a whole Parquet file: "):
        parquet_rows(path, ["a"])


# ---- every loader, and where else data may be


ROWS: dict[str, dict[str, Any]] = {
    "wikitext2": {"text": " The cat sat . \n"},
    "wikitext103": {"text": " The cat sat . \n"},
    "ptb": {"sentence": "the cat sat"},
    "1bw": {"text": "The cat sat ."},
    "lambada": {"text": "The cat sat on the mat"},
    "lambada_original": {"text": "the cat sat on the mat"},
    "cbt-cn": {"sentences": ["A cat ."] * 20, "question": "The XXXXX .", "answer": "cat", "options": ["cat", "dog"]},
    "cbt-ne": {"sentences": ["A cat ."] * 20, "question": "The XXXXX .", "answer": "cat", "options": ["cat", "dog"]},
    "wsc273": {"text": "Jim saw that he sat.", "pronoun": "he", "pronoun_loc": 13, "options": ["Jim", "Tom"],
               "label": 0},
    "hellaswag": {"ctx_a": "A cat.", "ctx_b": "it", "ctx": "A cat. it", "activity_label": "Sitting",
                  "endings": ["sits.", "runs."], "label": "0"},
    "coqa": {"story": "A cat sat.", "questions": ["Who?"], "answers": {"input_text": ["a cat"]}},
    "cnndm": {"article": "A cat sat.", "highlights": "Cat sits."},
    "wmt14-en-fr": {"translation": {"en": "A cat.", "fr": "Un chat."}},
    "wmt14-fr-en": {"translation": {"en": "A cat.", "fr": "Un chat."}},
    "nq": {"question": "who sat", "answer": ["a cat"]},
    "webqs": {"question": "who sat?", "answers": ["a cat"]},
}  # fmt: skip
"""A row of the dataset that each task names on the hub."""
LOCAL = ("enwik8", "text8", "storycloze")
"""Tasks that the hub has no dataset for."""


def named_dataset(name: str) -> tuple[str, str]:
    """Return the repository and the file that a task asks the hub for."""
    with pytest.raises(MissingDataError, match="the hub has no") as told:
        load_task(name, place=Place()).load()
    found = re.search(r"the hub has no (\S+) \((\S+), (\S+)\)", str(told.value))
    assert found is not None
    return found[1], f"{found[2]}/{found[3]}/0000.parquet"


def test_every_task_is_named_here() -> None:
    assert {*ROWS, *LOCAL} == set(TASKS)


@pytest.mark.parametrize("name", ROWS)
def test_every_loader_reads_the_hubs_rows_and_refuses_others(hub: Any, name: str) -> None:
    wanted = named_dataset(name)
    hub[wanted] = [ROWS[name]]
    documents, provenance = load_task(name, place=Place(official=False)).load()
    assert len(documents) == 1
    assert provenance.official is False
    with pytest.raises(DataError, match=r"holds 1 \w.* where the official file has [\d,]+: it is damaged or another"):
        load_task(name, place=Place()).load()
    hub[wanted] = [{"nothing": "of it"}]
    with pytest.raises(DataError, match=r"has no column '\w+'; its columns are nothing\."):
        load_task(name, place=Place(official=False)).load()


@pytest.mark.parametrize("name", [*ROWS, *LOCAL])
def test_every_loader_says_in_a_sentence_what_is_missing(hub: Any, tmp_path: Path, name: str) -> None:
    for place in (Place(tmp_path, offline=True), Place(offline=True), Place(tmp_path), Place(source=tmp_path / "no")):
        with pytest.raises(MissingDataError) as told:
            load_task(name, place=place).load()
        assert re.fullmatch(r"The data of \S+ are not here[^\n]*\.", str(told.value)), told.value


def test_a_dataset_of_another_name(hub: Any) -> None:
    row = ROWS["hellaswag"]
    hub["me/copy", "default/validation/0000.parquet"] = [row]
    hub["me/copy", "small/validation/0000.parquet"] = [row] * 2
    hub["me/copy", "small/train/0000.parquet"] = [row] * 3
    for source, count in (("me/copy", 1), ("me/copy:small", 2), ("me/copy:small:train", 3)):
        place = Place(official=False, source=read_source(source))
        assert len(load_task("hellaswag", place=place).load()[0]) == count
    with pytest.raises(
        MissingDataError, match=r"\(another dataset was named\), and the hub has no me/copy \(large, vali"
    ):
        load_task("hellaswag", place=Place(source=read_source("me/copy:large"))).load()
    with pytest.raises(
        MissingDataError, match=r"another dataset was named, and the hub's me/no \(default, .* \(offline\)"
    ):
        load_task("hellaswag", place=Place(offline=True, source=read_source("me/no"))).load()


def test_a_file_of_another_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "mine.parquet", [ROWS["nq"]])
    source = read_source(str(path))
    assert source == path
    (document,), provenance = load_task("nq", place=Place(official=False, offline=True, source=source)).load()
    assert document.answers == ("a cat",)
    assert provenance.source == str(path)
    with pytest.raises(DataError, match=r"mine.parquet is a table, but text8 is measured byte by byte; give the file"):
        load_task("text8", place=Place(official=False, source=source)).load()


@pytest.mark.parametrize("text", ["", "nothing", "a/b/c", "a/b:c:d:e", "https://x/y", "a b/c"])
def test_sources_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is neither a file that is here nor a dataset of the hub, written USER/NAME"):
        read_source(text)


def test_the_whole_way_from_a_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """huggingface_hub itself against a server of ours: fetched once, then read without network, also when offline."""
    import huggingface_hub.constants as constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    content = write_parquet(tmp_path / "x.parquet", [ROWS["nq"]]).read_bytes()
    with serving(Served(hub=True)) as served:
        for revision in ("refs%2Fconvert%2Fparquet", "c" * 40):
            served.files[f"/datasets/me/copy/resolve/{revision}/nq_open/validation/0000.parquet"] = content
        place = Place(official=False, endpoint=served.url, source=read_source("me/copy"))
        (document,), first = load_task("nq", place=place).load()
        assert document.text == "who sat"
        with pytest.raises(MissingDataError, match=r"the hub has no me/copy \(default, test\)\."):
            load_task("webqs", place=place).load()
        with pytest.raises(MissingDataError, match=r"the hub has no you/copy \(nq_open, validation\)\."):
            load_task("nq", place=Place(endpoint=served.url, source=read_source("you/copy"))).load()
        served.status = 503
        with pytest.raises(MissingDataError, match=r"you/copy \(nq_open, validation\) could not be fetched: .*503"):
            load_task("nq", place=Place(endpoint=served.url, source=read_source("you/copy"))).load()
        asked = len(served.requests)
        for again in (place, replace(place, offline=True)):
            assert load_task("nq", place=again).load() == ([document], first)
        assert len(served.requests) == asked
