from __future__ import annotations

import errno
import hashlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.checkpoint import downloads
from gpt2lab.checkpoint.downloads import OPENAI_FILES, download, download_openai
from gpt2lab.checkpoint.http_fetch import Patience, ask, check_space, fetch
from gpt2lab.errors import DownloadError

AT_ONCE = Patience(attempts=2, pause=0)
CONTENT = bytes(range(256)) * 5000


def got(served: Any, target: Path, *, attempts: int = 5, sha256: str | None = None) -> tuple[bytes, list[int]]:
    steps: list[int] = []
    remote = ask(f"{served.url}/file")
    fetch(remote, target, report=steps.append, sha256=sha256, patience=Patience(5, attempts, 0))
    return target.read_bytes(), steps


@pytest.fixture(autouse=True)
def file(served: Any) -> None:
    served.files["/file"] = CONTENT


def test_a_file_comes_whole_and_is_counted(served: Any, tmp_path: Path) -> None:
    content, steps = got(served, tmp_path / "a" / "file", sha256=hashlib.sha256(CONTENT).hexdigest())
    assert content == CONTENT
    assert sum(steps) == len(CONTENT)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file"]


def test_an_empty_file(served: Any, tmp_path: Path) -> None:
    served.files["/file"] = b""
    assert got(served, tmp_path / "file") == (b"", [0])


def test_a_broken_connection_is_taken_up_where_it_broke(served: Any, tmp_path: Path) -> None:
    served.break_after, served.breaks = 300_000, 3
    content, steps = got(served, tmp_path / "file")
    assert content == CONTENT
    assert sum(steps) == len(CONTENT)
    ranges = [wanted for method, _, wanted in served.requests if method == "GET"]
    assert ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_what_has_come_is_kept_for_the_next_call(served: Any, tmp_path: Path) -> None:
    served.break_after, served.breaks = 0, 99
    served.files["/file"] = CONTENT
    remote = ask(f"{served.url}/file")
    part = remote.part_of(tmp_path / "file")
    part.write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match=r"after 1,000 of 1,280,000 bytes \(kept for the next try\)"):
        got(served, tmp_path / "file", attempts=2)
    assert not (tmp_path / "file").exists()
    served.breaks = 0
    content, steps = got(served, tmp_path / "file")
    assert content == CONTENT
    assert steps[0] == 1000
    assert served.requests[-1][2] == "bytes=1000-"


def test_another_version_is_not_joined_to_what_was_kept(served: Any, tmp_path: Path) -> None:
    ask(f"{served.url}/file").part_of(tmp_path / "file").write_bytes(CONTENT[:1000])
    served.files["/file"] = CONTENT[::-1]
    assert got(served, tmp_path / "file")[0] == CONTENT[::-1]


def test_a_server_without_ranges_starts_again(served: Any, tmp_path: Path) -> None:
    served.ranges, served.break_after, served.breaks = False, 300_000, 1
    content, steps = got(served, tmp_path / "file")
    assert content == CONTENT
    assert sum(steps) == len(CONTENT)


def test_a_part_that_is_too_long_is_thrown_away(served: Any, tmp_path: Path) -> None:
    ask(f"{served.url}/file").part_of(tmp_path / "file").write_bytes(CONTENT + b"more")
    assert got(served, tmp_path / "file")[0] == CONTENT


def test_a_wrong_hash_leaves_nothing(served: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not the file that was published: its SHA-256 differs from 0000"):
        got(served, tmp_path / "file", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_body_shorter_than_announced(served: Any, tmp_path: Path) -> None:
    served.announced["/file"] = len(CONTENT) + 5
    with pytest.raises(DownloadError, match=r"broke off|refused|does not|cannot be reached"):
        got(served, tmp_path / "file", attempts=1)
    assert not (tmp_path / "file").exists()


def test_a_body_longer_than_announced(served: Any, tmp_path: Path) -> None:
    remote = ask(f"{served.url}/file")
    served.files["/file"] = CONTENT + b"x"
    with pytest.raises(DownloadError, match=r"sent 1,280,001 bytes or more where 1,280,000 were announced"):
        fetch(remote, tmp_path / "file", report=lambda n: None, patience=AT_ONCE)
    assert list(tmp_path.iterdir()) == []


def test_refusals(served: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/nothing does not exist \(404\)"):
        ask(f"{served.url}/nothing")
    remote = ask(f"{served.url}/file")
    for status, words in [
        (403, r"refused by the server \(403 Forbidden\)"),
        (500, r"\(500 Internal Server Error\) after 0"),
    ]:
        served.status = status
        with pytest.raises(DownloadError, match=words):
            fetch(remote, tmp_path / "file", report=lambda n: None, patience=AT_ONCE)


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as s:  # a port at which nobody listens
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/file"
    with pytest.raises(DownloadError, match="cannot be reached: no network, or the server is down"):
        ask(url)
    with pytest.raises(DownloadError, match="'nonsense' is not a web address"):
        ask("nonsense")


def test_a_server_that_does_not_answer() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(DownloadError, match=r"did not answer in time; try again"):
            ask(f"http://127.0.0.1:{s.getsockname()[1]}/file", timeout=0.2)


def test_a_full_disk(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = ask(f"{served.url}/file")
    with pytest.raises(
        DownloadError, match=r"is on a disk with [\d,]+ bytes free; 1,000,000,000,000,000,000 are needed"
    ):
        check_space(tmp_path / "not" / "yet", 10**18)

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gpt2lab.checkpoint.http_fetch._continue", full)
    with pytest.raises(DownloadError, match=r"is on a disk that is full; 1,280,000 bytes are needed for file"):
        fetch(remote, tmp_path / "file", report=lambda n: None, patience=AT_ONCE)


def test_a_folder_that_cannot_be_written(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("gpt2lab.checkpoint.http_fetch._continue", forbidden)
    with pytest.raises(DownloadError, match="cannot be written to"):
        fetch(ask(f"{served.url}/file"), tmp_path / "file", report=lambda n: None, patience=AT_ONCE)


# --- OpenAI's layout


@pytest.fixture
def openai(served: Any, tf_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server with the small TensorFlow checkpoint under OpenAI's names, whose vocabulary is not OpenAI's."""
    monkeypatch.setattr(downloads, "_SHA256", {})
    for name in OPENAI_FILES:
        path = tf_folder / name
        served.files[f"/base/355M/{name}"] = path.read_bytes() if path.exists() else b"graph"
    return served


def test_the_seven_files_come_and_load(openai: Any, tmp_path: Path) -> None:
    from gpt2lab.checkpoint import load

    counted: list[tuple[int, int]] = []
    folder = download(
        "medium",
        source="openai",
        models_dir=tmp_path,
        endpoint=f"{openai.url}/base/",
        progress=lambda *n: counted.append(n),
    )
    assert folder == tmp_path / "355M"
    assert {p.name for p in folder.iterdir()} == set(OPENAI_FILES)
    total = sum(len(openai.files[f"/base/355M/{name}"]) for name in OPENAI_FILES)
    assert counted[-1] == (total, total)
    assert load("gpt2-medium", models_dir=tmp_path).config.n_embd == 12
    asked = len(openai.requests)
    assert download_openai("355M", models_dir=tmp_path, endpoint=openai.url) == folder  # nothing is fetched again
    assert len(openai.requests) == asked
    assert download("345M", source="openai", models_dir=tmp_path, offline=True) == folder


def test_the_address_from_the_environment_and_the_default_folder(
    openai: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpt2lab.checkpoint import load

    monkeypatch.setenv("GPT2LAB_OPENAI_URL", f"{openai.url}/base")
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "cache"))
    assert download_openai("355M") == tmp_path / "cache" / "models" / "355M"
    assert load("gpt2-medium", offline=True).config.n_embd == 12


def test_openais_vocabulary_is_checked(
    openai: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.undo()
    assert {
        name: hashlib.sha256((data / "gpt2_bpe" / name).read_bytes()).hexdigest() for name in downloads._SHA256
    } == (downloads._SHA256)
    with pytest.raises(DownloadError, match=r"encoder.json is not the file that was published"):
        download_openai("355M", models_dir=tmp_path, endpoint=f"{openai.url}/base")


def test_openai_downloads_that_fail(openai: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"OpenAI published no 'gpt3'. Did you mean 'gpt2'\? There are 124M, 355M, 774M"
    ):
        download_openai("gpt3")
    with pytest.raises(DownloadError, match=r"source = 'azure' is not one of hub, openai"):
        download("gpt2", source="azure")  # type: ignore[arg-type]
    with pytest.raises(DownloadError, match=r"'355M' is not in .*355M, and fetching it was not allowed \(offline\)"):
        download_openai("355M", models_dir=tmp_path, offline=True)
    with pytest.raises(DownloadError, match=r"/base/124M/model.ckpt.data-00000-of-00001 does not exist \(404\)"):
        download_openai("124M", models_dir=tmp_path, endpoint=f"{openai.url}/base")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_noticed_and_mended(openai: Any, tmp_path: Path) -> None:
    base = f"{openai.url}/base"
    folder = download_openai("355M", models_dir=tmp_path, endpoint=base)
    (folder / OPENAI_FILES[0]).write_bytes(b"short")
    with pytest.raises(DownloadError, match=r"has 5 of the 28,752 bytes it needs, .* It was removed"):
        download_openai("355M", models_dir=tmp_path, endpoint=base)
    assert download_openai("355M", models_dir=tmp_path, endpoint=base) == folder
    (folder / "model.ckpt.index").write_bytes(b"short")
    with pytest.raises(DownloadError, match=r"model.ckpt.index is cut short .* It was removed; fetch it again"):
        download_openai("355M", models_dir=tmp_path, endpoint=base)
    assert download_openai("355M", models_dir=tmp_path, endpoint=base) == folder
    shutil.rmtree(folder)
