"""Discovery of a dataset's data files on Hugging Face, one of its mirrors, or ModelScope.

``AIPLATFORM_HUB`` is ``huggingface`` (the default) or ``modelscope``. ``HF_ENDPOINT`` is the URL of
a mirror. Only data files are fetched, never Python code or pickles.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

import httpx

from aiplatform.data.formats import SUFFIXES
from aiplatform.data.outgoing_http import Origin, port_of
from aiplatform.protocol.dataset_sources import DataHubSource
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.fetching.downloader import Downloader, RemoteFile
from aiplatform.runtime.model_cards import front_matter

HUGGINGFACE = "https://huggingface.co"
MODELSCOPE = "https://www.modelscope.cn"
PAGE = 200
MAX_FILES = 10_000
COMPRESSED_SUFFIXES = (".gz", ".zst")
CARD = "README.md"
SPLITS = ("train", "validation", "valid", "dev", "test", "eval")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file in a repository's listing. ``sha256`` is None if the hub doesn't list it."""

    path: str
    size: int | None
    sha256: str | None


class Hub:
    """A client for the hub that is selected in the worker's settings."""

    def __init__(self) -> None:
        self.is_modelscope = os.environ.get("AIPLATFORM_HUB", "huggingface") == "modelscope"
        usual = MODELSCOPE if self.is_modelscope else HUGGINGFACE
        self.endpoint = (os.environ.get("HF_ENDPOINT") or usual).rstrip("/")
        token = os.environ.get("MODELSCOPE_API_TOKEN" if self.is_modelscope else "HF_TOKEN")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def origin(self) -> Origin:
        """The host and port of the hub; trusted because an administrator configured them."""
        url = httpx.URL(self.endpoint)
        return url.host, port_of(url)

    def locate(
        self, source: DataHubSource, downloader: Downloader
    ) -> tuple[list[RemoteFile], dict[str, str]]:
        """Return the files to fetch and their origin: the hub, repository and exact revision.

        Raises:
            JobError: There are no data files, or the choice of files is ambiguous.
        """
        revision, files = (
            self._modelscope(source, downloader)
            if self.is_modelscope
            else self._huggingface(source, downloader)
        )
        chosen = self._choose(source, files, revision, downloader)
        origin = {"hub": self.endpoint, "repository": source.repository, "revision": revision}
        return [self._remote(source, revision, file) for file in chosen], origin

    def _huggingface(
        self, source: DataHubSource, downloader: Downloader
    ) -> tuple[str, list[ListedFile]]:
        wanted = quote(source.revision or "main", safe="")
        url = f"{self.endpoint}/api/datasets/{source.repository}/revision/{wanted}?blobs=true"
        answer = self._json(url, source, downloader)
        files = [
            ListedFile(
                str(entry.get("rfilename")),
                _number(entry.get("size")),
                (entry.get("lfs") or {}).get("sha256"),
            )
            for entry in answer.get("siblings") or []
        ]
        return str(answer.get("sha") or source.revision or "main"), files

    def _modelscope(
        self, source: DataHubSource, downloader: Downloader
    ) -> tuple[str, list[ListedFile]]:
        revision = source.revision or "master"
        files: list[ListedFile] = []
        base = f"{self.endpoint}/api/v1/datasets/{source.repository}/repo/tree"
        for page in range(1, MAX_FILES // PAGE + 1):
            query = f"Revision={quote(revision, safe='')}&Recursive=true"
            url = f"{base}?{query}&PageSize={PAGE}&PageNumber={page}"
            entries = (self._json(url, source, downloader).get("Data") or {}).get("Files") or []
            files += [
                ListedFile(str(e.get("Path")), _number(e.get("Size")), e.get("Sha256") or None)
                for e in entries
                if e.get("Type") != "tree"
            ]
            if len(entries) < PAGE:
                break
        return revision, files

    def _json(self, url: str, source: DataHubSource, downloader: Downloader) -> dict[str, Any]:
        try:
            answer = json.loads(downloader.text(url, self.headers))
        except ValueError as error:
            raise JobError(f"{self.endpoint} does not answer as a hub does.") from error
        if not isinstance(answer, dict) or answer.get("Success") is False:
            said = answer.get("Message") if isinstance(answer, dict) else None
            raise JobError(
                f"{self.endpoint} does not list {source.repository}: {said or 'no reason given'}."
            )
        return answer

    def _url(self, source: DataHubSource, revision: str, path: str) -> str:
        at = quote(revision, safe="")
        if self.is_modelscope:
            base = f"{self.endpoint}/api/v1/datasets/{source.repository}/repo"
            return f"{base}?Revision={at}&FilePath={quote(path, safe='')}"
        return f"{self.endpoint}/datasets/{source.repository}/resolve/{at}/{quote(path)}"

    def _remote(self, source: DataHubSource, revision: str, file: ListedFile) -> RemoteFile:
        url = self._url(source, revision, file.path)
        name = file.path.rpartition("/")[2]
        return RemoteFile(url, name, self.headers, file.size, file.sha256)

    def _choose(
        self, source: DataHubSource, files: list[ListedFile], revision: str, downloader: Downloader
    ) -> list[ListedFile]:
        if source.file is not None:
            chosen = [file for file in files if file.path == source.file]
            if not chosen:
                raise JobError(f"{source.repository} has no file {source.file}. {_some(files)}")
            return chosen
        card: dict[str, Any] = {}
        if any(file.path == CARD for file in files):
            card = front_matter(downloader.text(self._url(source, revision, CARD), self.headers))
        data = [file for file in files if is_data(file.path)]
        if not data:
            scripts = [file.path for file in files if file.path.endswith(".py")]
            if scripts:
                raise JobError(
                    f"The rows of {source.repository} are made by a script ({scripts[0]}), and "
                    "code from outside is never run. The revision refs/convert/parquet may have "
                    "them as files."
                )
            raise JobError(f"{source.repository} has no files of rows. {_some(files)}")
        splits = by_split(source, data, card)
        if source.split is not None:
            chosen = splits.get(source.split, [])
            if not chosen:
                raise JobError(
                    f"{source.repository} has no split {source.split!r}; it has "
                    f"{', '.join(sorted(splits)) or 'none'}. {_some(data)}"
                )
            return chosen
        if len(splits) == 1:
            return next(iter(splits.values()))
        if not splits and len(data) == 1:
            return data
        named = f"Splits: {', '.join(sorted(splits))}. " if splits else ""
        raise JobError(f"Say which split or file of {source.repository}. {named}{_some(data)}")


def is_data(path: str) -> bool:
    """Return True if a file has the suffix of a data file; plain text files don't count."""
    name = path.lower()
    for packed in COMPRESSED_SUFFIXES:
        name = name.removesuffix(packed)
    return f".{name.rpartition('.')[2]}" in SUFFIXES and not name.endswith((".txt", ".text"))


def by_split(
    source: DataHubSource, data: Sequence[ListedFile], card: dict[str, Any]
) -> dict[str, list[ListedFile]]:
    """Return the files of each split, as listed in the dataset card or else guessed from paths.

    Raises:
        JobError: The subset doesn't exist, or there are several and the source names none.
    """
    configs = [c for c in card.get("configs") or [] if isinstance(c, dict) and c.get("data_files")]
    if configs:
        return _as_configured(source, data, configs)
    if source.subset is not None:
        subset = source.subset
        data = [file for file in data if subset in re.split(r"[/.]", file.path)]
        if not data:
            raise JobError(f"{source.repository} has no subset {subset!r}.")
    found: dict[str, list[ListedFile]] = {}
    for file in data:
        words = re.split(r"[^A-Za-z0-9]+", file.path.lower())
        split = next((name for name in SPLITS if name in words), None)
        if split is not None:
            found.setdefault(split, []).append(file)
    return {split: sorted(files, key=lambda file: file.path) for split, files in found.items()}


def _as_configured(
    source: DataHubSource, data: Sequence[ListedFile], configs: list[dict[str, Any]]
) -> dict[str, list[ListedFile]]:
    by_name = {str(config.get("config_name", "default")): config for config in configs}
    chosen = by_name.get(source.subset or "default")
    if chosen is None and source.subset is None:
        default = [config for config in configs if config.get("default")]
        if default or len(configs) == 1:
            chosen = (default or configs)[0]
    if chosen is None:
        names = ", ".join(sorted(by_name))
        asked = "Say which subset" if source.subset is None else f"No subset {source.subset!r}"
        raise JobError(f"{asked} of {source.repository}; it has {names}.")
    found: dict[str, list[ListedFile]] = {}
    stated = chosen["data_files"]
    for entry in stated if isinstance(stated, list) else [stated]:
        is_named = isinstance(entry, dict)
        split = str(entry.get("split", "train")) if is_named else "train"
        patterns = entry.get("path") if is_named else entry
        found.setdefault(split, []).extend(_matching(data, patterns))
    return {split: files for split, files in found.items() if files}


def _matching(data: Sequence[ListedFile], patterns: Any) -> Iterable[ListedFile]:
    wanted = patterns if isinstance(patterns, list) else [patterns]
    matched = [f for f in data if any(fnmatchcase(f.path, str(p)) for p in wanted)]
    return sorted(matched, key=lambda file: file.path)


def _some(files: Sequence[ListedFile]) -> str:
    names = ", ".join(file.path for file in files[:10])
    more = f" and {len(files) - 10} more" if len(files) > 10 else ""
    return f"Files: {names}{more}." if files else "It is empty."


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
