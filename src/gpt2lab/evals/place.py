"""Where the data of evaluations lie: files on this machine, and datasets on the Hugging Face hub.

A task names the files it takes, by the names they have where they were published, and the dataset that holds the same.
Files are looked for in one folder: below it under the task's own name, then in itself. Of a dataset the hub's own
Parquet form is fetched (its branch refs/convert/parquet), which is alike for every dataset. A `source` replaces all of
that: names on the hub change, and copies lie elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.errors import ConfigError, DataError, MissingExtraError

PARQUET_BRANCH = "refs/convert/parquet"


class MissingDataError(DataError):
    """The data of a task are neither in the folder that was given nor to be had from the hub."""


@dataclass(frozen=True, slots=True)
class HubData:
    """A split of a dataset on the hub: USER/NAME, configuration, split."""

    repo: str
    config: str
    split: str

    def __str__(self) -> str:
        return f"{self.repo} ({self.config}, {self.split})"

    @property
    def file(self) -> str:
        """The Parquet file's path in the repository."""
        return f"{self.config}/{self.split}/0000.parquet"

    def over(self, usual: HubData | None) -> HubData:
        """Return this dataset, with what it leaves empty as in the `usual` one of the task."""
        known = usual or HubData("", "default", "test")
        return HubData(self.repo, self.config or known.config, self.split or known.split)


_DATASET = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+){0,2}")


def read_source(text: str) -> Path | HubData:
    """Return what USER/NAME, USER/NAME:CONFIGURATION, USER/NAME:CONFIGURATION:SPLIT or the path of a file names.

    A file that is there is meant before a dataset of the same name. Raises `ConfigError` for anything else.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if _DATASET.fullmatch(text):
        repo, config, split = [*text.split(":"), "", ""][:3]
        return HubData(repo, config, split)
    raise ConfigError(
        f"{text!r} is neither a file that is here nor a dataset of the hub, written USER/NAME, "
        "USER/NAME:CONFIGURATION or USER/NAME:CONFIGURATION:SPLIT."
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with data (None: no local files), and whether the hub may be asked.

    `official`: refuse files whose counts or hash are not those published. `endpoint` replaces the hub's address.
    `source`: the one file, or the dataset of the hub, to take instead of what the task names; a dataset's empty
    configuration and split are those of the task's own.
    """

    folder: Path | None = None
    offline: bool = False
    official: bool = True
    endpoint: str | None = None
    source: Path | HubData | None = None

    def find(self, task: str, names: Sequence[str], hub: HubData | None, *, origin: str = "") -> Path:
        """Return the first of the files `names` that is there, or the dataset's Parquet file.

        A name may hold folders; `origin` says where the files are published. Raises `MissingDataError` where nothing
        is to be had.
        """
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise MissingDataError(f"The data of {task} are not here: the file {self.source} does not exist.")
            return self.source
        if self.source is not None:
            return self._asked(task, self.source.over(hub), "another dataset was named")
        if self.folder is not None:
            if not self.folder.is_dir():
                raise DataError(f"The data folder {self.folder} does not exist.")
            for name in names:
                for path in (self.folder / task / name, self.folder / name):
                    if path.is_file():
                        return path
        looked = "no data folder was given" if self.folder is None else f"{self.folder} has none of {', '.join(names)}"
        published = f"; it is published at {origin}" if origin else ""
        if hub is None:
            raise MissingDataError(
                f"The data of {task} are not here: {looked}. "
                f"Put {names[0]} into a folder and name that (--data){published}."
            )
        return self._asked(task, hub, looked, names[0])

    def _asked(self, task: str, hub: HubData, looked: str, file: str = "a file of the data") -> Path:
        """Return the dataset's file: what was fetched once needs no network. Raises `MissingDataError`."""
        if (here := _fetched(hub)) is not None:
            return here
        if self.offline:
            raise MissingDataError(
                f"The data of {task} are not here: {looked}, and the hub's {hub} may not be asked (offline). "
                f"Give a folder with {file}, or allow the network."
            )
        return self._fetch(task, hub, looked)

    def _fetch(self, task: str, hub: HubData, looked: str) -> Path:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

        network: tuple[Any, ...] = (
            errors.HfHubHTTPError.__bases__
        )  # the root of the errors of the HTTP library behind it
        try:
            url = hf_hub_url(hub.repo, hub.file, endpoint=self.endpoint, **_BRANCH)
            get_hf_file_metadata(url)  # fails at once, unlike:
            return Path(hf_hub_download(hub.repo, hub.file, endpoint=self.endpoint, **_BRANCH))
        except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError, errors.RevisionNotFoundError):
            raise MissingDataError(f"The data of {task} are not here ({looked}), and the hub has no {hub}.") from None
        except (OSError, ValueError, *network) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise MissingDataError(
                f"The data of {task} are not here ({looked}), and the hub's {hub} could not be fetched: {first}"
            ) from None


_BRANCH: Any = {"repo_type": "dataset", "revision": PARQUET_BRANCH}


def _fetched(hub: HubData) -> Path | None:
    """Return the dataset's file in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    here = try_to_load_from_cache(hub.repo, hub.file, **_BRANCH)
    return Path(here) if isinstance(here, str) else None


def parquet_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file. Raises `DataError` for a damaged one or one without these columns."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading datasets of the hub", "eval") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := [c for c in columns if c not in names]:
                raise DataError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(names)}.")
            rows: list[dict[str, Any]] = file.read(columns=list(columns)).to_pylist()
            return rows
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from None


def is_parquet(path: Path) -> bool:
    """Tell whether a file is one of Parquet's, by its first bytes."""
    with path.open("rb") as f:
        return f.read(4) == b"PAR1"


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file as it is, line ends included. Raises `DataError`."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; it is damaged.") from None


def check_counts(
    path: Path, found: Mapping[str, int], wanted: Mapping[str, int] | None, *, refuse: bool
) -> bool | None:
    """Return whether counts are the published ones, None where none are; with `refuse` others are a `DataError`."""
    if not wanted:
        return None
    wrong = next((name for name, count in wanted.items() if found.get(name) != count), None)
    if wrong is not None and refuse:
        raise DataError(
            f"{path} holds {found.get(wrong, 0):,} {wrong} where the official file has {wanted[wrong]:,}: it is "
            "damaged or another file; fetch it again, or allow other data (--any-data)."
        )
    return wrong is None
