from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.checkpoint import hub
from gpt2lab.checkpoint.downloads import download, repo_of
from gpt2lab.checkpoint.hf import load_hf, save_hf
from gpt2lab.checkpoint.resolve import load
from gpt2lab.errors import CheckpointError, DownloadError

pytest.importorskip("huggingface_hub")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the library from the real hub's cache, credentials and address."""
    import huggingface_hub.constants as constants

    cache = tmp_path / "hub"
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "own"))
    return cache


def put(served: Any, repo: str, folder: Path) -> None:
    """Serve the files of a folder as the hub does: SHA-256 as the tag of weights, git's hash for small files."""
    served.hub = True
    for path in folder.iterdir():
        url = f"/{repo}/resolve/main/{path.name}"
        content = served.files[url] = path.read_bytes()
        large = path.suffix in (".safetensors", ".bin")
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        served.etags[url] = hashlib.sha256(content).hexdigest() if large else git
        served.files[f"/{repo}/resolve/{'c' * 40}/{path.name}"] = content


@pytest.fixture
def repo(served: Any, model: Any, tmp_path: Path) -> str:
    put(served, "someone/small", save_hf(tmp_path / "source", model.config, model.tensors))
    return "someone/small"


def test_a_repository_comes_into_the_cache_and_loads_without_network(served: Any, model: Any, repo: str) -> None:
    counted: list[tuple[int, int]] = []
    folder = download(repo, endpoint=served.url, progress=lambda *n: counted.append(n))
    loaded = load_hf(folder)
    assert all(np.array_equal(loaded.tensors[n], model.tensors[n]) for n in model.tensors)
    sizes = [len(v) for k, v in served.files.items() if "/main/" in k]
    assert counted[-1] == (sum(sizes), sum(sizes))
    assert hub.cached(repo) == folder
    asked = len(served.requests)
    assert load(repo, offline=True).config == model.config
    assert download(repo, offline=True) == folder
    assert len(served.requests) == asked


def test_only_what_is_needed_is_fetched(served: Any, repo: str, tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "tf_model.h5", "README.md", "onnx/model.onnx"):
        served.files[f"/{repo}/resolve/main/{name}"] = b"not wanted"
    download(repo, endpoint=served.url)
    got = {path.rsplit("/", 1)[1] for method, path, _ in served.requests if method == "GET"}
    assert got == {"config.json", "generation_config.json", "model.safetensors"}


def test_into_a_folder(served: Any, repo: str, model: Any, tmp_path: Path) -> None:
    folder = download(repo, endpoint=served.url, models_dir=tmp_path / "models")
    assert folder == tmp_path / "models" / "someone" / "small"
    assert load(repo, models_dir=tmp_path / "models", offline=True).path == folder
    assert download(repo, models_dir=tmp_path / "models", offline=True) == folder


def test_shards(served: Any, model: Any, tmp_path: Path) -> None:
    folder = save_hf(tmp_path / "s", model.config, model.tensors)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(model.tensors, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    put(served, "someone/sharded", folder)
    assert len(load_hf(download("someone/sharded", endpoint=served.url)).tensors) == len(model.tensors)


def test_a_broken_connection_is_taken_up(served: Any, repo: str) -> None:
    served.break_after, served.breaks = 2000, 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        folder = download(repo, endpoint=served.url)
    assert load_hf(folder).tensors
    got = [path for method, path, _ in served.requests if method == "GET" and path.endswith("model.safetensors")]
    assert len(got) > 1


def test_a_damaged_file_is_noticed_and_removed(served: Any, repo: str) -> None:
    url = f"/{repo}/resolve/main/model.safetensors"
    good = served.files[url]
    for path in (url, url.replace("main", "c" * 40)):
        served.files[path] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(DownloadError, match=r"model.safetensors of 'someone/small' came damaged \([\d,]+ bytes"):
        download(repo, endpoint=served.url)
    served.files[url] = good
    served.files[url.replace("main", "c" * 40)] = good
    assert load_hf(download(repo, endpoint=served.url)).tensors


def test_what_is_wrong_is_said(served: Any, repo: str) -> None:
    with pytest.raises(DownloadError, match=r"'some/other' does not exist on the hub"):
        download("some/other", endpoint=served.url)
    for name in ("config.json", "model.safetensors"):
        content = served.files.pop(f"/{repo}/resolve/main/{name}")
        words = r"has no config.json" if name == "config.json" else r"has no weights; one of model.safetensors"
        with pytest.raises(DownloadError, match=words):
            download(repo, endpoint=served.url)
        served.files[f"/{repo}/resolve/main/{name}"] = content
    served.status = 403
    with pytest.raises(DownloadError, match=r"The hub refused 'someone/small': .*403"):
        download(repo, endpoint=served.url)


def test_a_closed_repository_and_the_offline_switch(served: Any, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served.status, served.error_code = 403, "GatedRepo"
    with pytest.raises(DownloadError, match=r"'someone/small' on the hub is closed to you; ask for access"):
        download(repo, endpoint=served.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"is not complete here, and HF_HUB_OFFLINE forbids fetching it"):
        download(repo, endpoint=served.url)
    with pytest.raises(DownloadError, match=r"'a/b--c' is not a hub id; those have the form USER/NAME"):
        load("a/b--c", offline=True)


def test_a_full_disk(served: Any, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(DownloadError, match=r"The folder for 'someone/small' is on a disk that is full"):
        download(repo, endpoint=served.url)


def test_no_network() -> None:
    with pytest.raises(DownloadError, match=r"could not be fetched from the hub: no network, or the connection broke"):
        download("someone/small", endpoint="http://127.0.0.1:9")
    for name in ("someone/small", "gpt2-xl"):
        with pytest.raises(DownloadError, match=rf"'{name}' is not on this machine, and fetching it was not allowed"):
            load(name, offline=True)


def test_which_repository_a_name_means() -> None:
    assert repo_of("124M") == repo_of("gpt2") == repo_of("openai-community/gpt2") == "openai-community/gpt2"
    assert repo_of("1.5B") == "openai-community/gpt2-xl"
    assert repo_of("distilbert/distilgpt2") == "distilbert/distilgpt2"
    with pytest.raises(
        CheckpointError, match=r"Unknown model 'gtp2'. Did you mean 'gpt2'\? It can be gpt2, gpt2-medium"
    ):
        repo_of("gtp2")
    for name in ("a/b/c", "../x", "a/../b", ""):
        with pytest.raises(DownloadError, match="Unknown model"):
            repo_of(name)
