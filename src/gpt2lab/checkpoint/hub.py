"""GPT-2 folders of the Hugging Face hub, fetched with `huggingface_hub` into its own cache.

Fetches only what this package reads: the weights (safetensors before pytorch_model.bin), the configurations and the
tokenizer. Resuming and the cache are the library's; every file is checked against the size and hash the hub gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpt2lab.checkpoint.hf import CONFIG, GENERATION, WEIGHTS, is_hf_folder
from gpt2lab.checkpoint.http_fetch import no_space
from gpt2lab.errors import DataError, DownloadError
from gpt2lab.files import read_json, sha256_of

Progress = Callable[[int, int], None]
"""Called with (bytes that are there, bytes in all as far as known)."""

_BESIDE = (
    *(GENERATION, "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "vocab.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_hub_id(name: str) -> bool:
    """Tell whether `name` has the form of a hub id: NAME or USER/NAME."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name


def cached(repo: str) -> Path | None:
    """Return the folder of `repo` in the hub's cache when its weights are all there, without using the network."""
    from huggingface_hub import try_to_load_from_cache

    with _explained(repo):
        found = try_to_load_from_cache(repo, CONFIG)
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder is not None and is_hf_folder(folder) and not _absent_shards(folder) else None


def fetch_repo(
    repo: str, *, folder: Path | None = None, progress: Progress | None = None, endpoint: str | None = None
) -> Path:
    """Fetch `repo` into `folder`, or into the hub's cache, and return the folder that holds it.

    Raises `DownloadError` when it does not exist, holds no model, is gated, breaks off or does not match its hash.
    """
    fetcher = _Fetcher(repo, folder, progress, endpoint)
    with _explained(repo):
        names = fetcher.weights()
        if not names:
            raise DownloadError(f"{repo!r} on the hub has no weights; one of {', '.join(WEIGHTS)} is needed.")
        path = fetcher.fetch(CONFIG, required=True)
        for name in (*names, *_BESIDE):
            fetcher.fetch(name)
    assert path is not None
    return path.parent


class _Fetcher:
    """The files of one repository, with the bytes counted over all of them."""

    def __init__(self, repo: str, folder: Path | None, progress: Progress | None, endpoint: str | None) -> None:
        self.repo, self.folder, self.progress, self.endpoint = repo, folder, progress, endpoint
        self.done = self.total = 0

    def weights(self) -> list[str]:
        """Return the names of the weights files: one, or an index and its shards; none where there are no weights."""
        for name in WEIGHTS:
            if self.about(name) is None:
                continue
            if not name.endswith(".json"):
                return [name]
            index = self.fetch(name)
            assert index is not None
            return [*_shards(index), name]
        return []

    def about(self, name: str) -> Any:
        """Return the hub's metadata of a file, or None where the repository has no such file."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError

        try:
            return get_hf_file_metadata(hf_hub_url(self.repo, name, endpoint=self.endpoint))
        except EntryNotFoundError:
            return None

    def fetch(self, name: str, *, required: bool = False) -> Path | None:
        """Fetch one file unless it is there already; check its size and hash."""
        from huggingface_hub import hf_hub_download

        about = self.about(name)
        if about is None:
            if required:
                raise DownloadError(f"{self.repo!r} on the hub has no {name}, so it is no model for gpt2lab.")
            return None
        self.total += about.size or 0
        start = self.done
        bar: dict[str, Any] = {} if self.progress is None else {"tqdm_class": self._bar()}
        path = Path(hf_hub_download(self.repo, name, local_dir=self.folder, endpoint=self.endpoint, **bar))
        self.done = start
        self._count(about.size or 0)
        _check(path, about, f"{name} of {self.repo!r}")
        return path

    def _count(self, further: int) -> None:
        self.done += further
        if self.progress is not None:
            self.progress(self.done, self.total)

    def _bar(self) -> type[Any]:
        """Return a silent progress bar that counts here."""
        from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # public there, though not listed

        hub_bar: Any = tqdm
        count = self._count

        class Counter(hub_bar):  # type: ignore[misc]
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                count(int(n or 0))
                return None

        return Counter


def _check(path: Path, about: Any, what: str) -> None:
    """Compare a file with the hub's size and hash: SHA-256 for large files, git's blob hash (SHA-1) for small ones."""
    etag = about.etag or ""
    size = path.stat().st_size
    wrong = about.size is not None and size != about.size
    if not wrong and re.fullmatch(r"[0-9a-f]{64}", etag):
        wrong = sha256_of(path) != etag
    elif not wrong and re.fullmatch(r"[0-9a-f]{40}", etag):
        wrong = hashlib.sha1(b"blob %d\0" % size + path.read_bytes(), usedforsecurity=False).hexdigest() != etag
    if wrong:
        path.resolve().unlink()  # the blob behind the cache's link
        path.unlink(missing_ok=True)
        raise DownloadError(f"{what} came damaged ({size:,} bytes, hash or size other than the hub's); fetch it again.")


def _shards(index: Path) -> list[str]:
    try:
        files = read_json(index).get("weight_map", {})
        return sorted({str(name) for name in files.values()})
    except (DataError, AttributeError):
        raise DownloadError(f"{index} is not an index of weights.") from None


def _absent_shards(folder: Path) -> list[str]:
    weights = next(name for name in WEIGHTS if (folder / name).is_file())
    return [s for s in _shards(folder / weights) if not (folder / s).is_file()] if weights.endswith(".json") else []


@contextlib.contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Turn what the library raises into one sentence."""
    from huggingface_hub import errors

    refusals = (errors.GatedRepoError, errors.DisabledRepoError)
    network: tuple[Any, ...] = errors.HfHubHTTPError.__bases__  # the root of the errors of the HTTP library behind it
    try:
        yield
    except DownloadError:
        raise
    except refusals:
        raise DownloadError(f"{repo!r} on the hub is closed to you; ask for access, then `hf auth login`.") from None
    except errors.RepositoryNotFoundError:
        raise DownloadError(f"{repo!r} does not exist on the hub (if it is private, `hf auth login` first).") from None
    except errors.HFValidationError:
        raise DownloadError(f"{repo!r} is not a hub id; those have the form USER/NAME.") from None
    except errors.HfHubHTTPError as error:
        raise DownloadError(f"The hub refused {repo!r}: {_first_line(error)}") from None
    except errors.OfflineModeIsEnabled:
        raise DownloadError(f"{repo!r} is not complete here, and HF_HUB_OFFLINE forbids fetching it.") from None
    except (OSError, *network) as error:
        if isinstance(error, OSError) and (space := no_space(error)):
            raise DownloadError(f"The folder for {repo!r} {space}.") from None
        raise DownloadError(
            f"{repo!r} could not be fetched from the hub: no network, or the connection broke ({_first_line(error)})."
        ) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
