"""Where data comes from: files in a folder, datasets of the hub as Parquet, and what is said without either."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpt2lab.errors import DataError
from gpt2lab.evals.place import HubData, MissingDataError, Place, parquet_rows
from gpt2lab.evals.registry import load_task

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
