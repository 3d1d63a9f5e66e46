"""Download of models from a hub: Hugging Face, one of its mirrors, or ModelScope.

The worker sets ``AIPLATFORM_HUB`` to ``huggingface`` (the default) or ``modelscope``.
``HF_ENDPOINT`` is the URL of a mirror, such as https://hf-mirror.com or one inside a company. The
list of files is read first, so that only the files of the model are downloaded.
"""

import hashlib
import importlib
import importlib.util
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiplatform.protocol.model_sources import HubSource
from aiplatform.runtime.artifacts import LICENSE_NAMES
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.importing.files import MODEL_FILE_NAMES, PICKLES, Fetched

MODELSCOPE = "https://www.modelscope.cn"
CHUNK_BYTES = 1024 * 1024
RESERVED_DISK_BYTES = 1024**3
"""Bytes of disk space that a download leaves free."""

UNSAFE_CHARACTERS = frozenset('/\\:*?[]"<>|')
MAX_NAME_BYTES = 255

GGUF_PREFERENCE = ("BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_1", "Q4_0")
"""Quantizations of GGUF files, most preferred first; any others, such as F32, come last."""


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository's listing. ``sha256`` is None if the hub doesn't list it."""

    path: str
    size: int
    sha256: str | None = None


def download(source: HubSource, incoming: Path, report: Reporter) -> Fetched:
    """Download the model's files into ``incoming``.

    Raises:
        JobError: The model doesn't exist, has no accepted format, or the hub can't be reached. Only
            the last of these is retryable.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "on", "true", "yes"}:
        raise JobError(
            "This worker is set to work without a hub (HF_HUB_OFFLINE). "
            "Upload the model's files, or import it from a package."
        )
    incoming.mkdir()
    match os.environ.get("AIPLATFORM_HUB", "huggingface").lower():
        case "huggingface":
            origin = _from_huggingface(source, incoming, report)
        case "modelscope":
            origin = _from_modelscope(source, incoming, report)
        case other:
            raise JobError(f"AIPLATFORM_HUB is {other!r}; it must be huggingface or modelscope.")
    return Fetched(incoming, {"kind": "hub", **origin})


def choose(files: list[RemoteFile], repository: str) -> list[RemoteFile]:
    """Return the files in a repository that make up a model.

    Raises:
        JobError: There are no such files, or one of them has an unusable name.
    """
    here = [file for file in files if "/" not in file.path]
    for file in here:
        if file.path.lower().endswith((".safetensors", ".gguf")):
            _require_plain_name(file.path, repository)
    if any(file.path.endswith(".safetensors") for file in here):
        return [
            file
            for file in here
            if file.path.endswith(".safetensors")
            or file.path in MODEL_FILE_NAMES
            or file.path in LICENSE_NAMES
        ]
    ggufs = [file for file in here if file.path.lower().endswith(".gguf")]
    if ggufs:
        licenses = [file for file in here if file.path in LICENSE_NAMES or file.path == "README.md"]
        return [min(ggufs, key=_loss_rank), *licenses]
    if any(Path(file.path).suffix in PICKLES for file in files):
        raise JobError(
            f"{repository} has its weights as pickles only, and loading one runs whatever code is "
            "in it. Look for a repository of the same model in safetensors."
        )
    raise JobError(f"{repository} holds neither safetensors nor GGUF files at its top level.")


def _require_plain_name(name: str, repository: str) -> None:
    # Wildcards are refused as well, because the hub's library treats the names as patterns.
    if (
        name.startswith(".")
        or not name.isprintable()
        or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES
        or not UNSAFE_CHARACTERS.isdisjoint(name)
    ):
        raise JobError(f"{repository} has a file whose name can't be used: {name[:80]!a}.")


def _loss_rank(file: RemoteFile) -> tuple[int, str]:
    name = file.path.upper()
    for rank, quantization in enumerate(GGUF_PREFERENCE):
        if quantization in name:
            return rank, name
    return len(GGUF_PREFERENCE), name


def _from_huggingface(source: HubSource, incoming: Path, report: Reporter) -> dict[str, str]:
    if "HF_ENDPOINT" in os.environ:
        # Mirrors have no copy of the hub's chunk store (Xet). Without this setting, the library
        # would download from the hub's own store instead of the mirror.
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api = HfApi()
    name = source.repository
    failures: tuple[type[Exception], ...] = (HfHubHTTPError, *network_errors())
    try:
        info = api.model_info(name, revision=source.revision, files_metadata=True)
        files = choose(
            [
                RemoteFile(entry.rfilename, entry.size or 0, getattr(entry.lfs, "sha256", None))
                for entry in info.siblings or []
            ],
            name,
        )
        check_space(files, incoming)
        with reported_growth(incoming, files, report):
            snapshot_download(
                name,
                revision=info.sha or source.revision,
                allow_patterns=[file.path for file in files],
                local_dir=incoming,
            )
    except GatedRepoError as error:
        raise JobError(
            f"{name} is gated: accept its terms on {api.endpoint}, store a token with "
            "`aiplatform secrets set hub`, and import with --secret HF_TOKEN=hub."
        ) from error
    except RevisionNotFoundError as error:
        raise JobError(f"{name} has no revision {source.revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise JobError(f"There is no model {name} on {api.endpoint}, or it is private.") from error
    except HFValidationError as error:
        raise JobError(
            f"{name} can't be the name of a repository: names are OWNER/NAME of letters, digits, "
            "'-', '_' and '.', and neither begin nor end with '-' or '.'."
        ) from error
    except failures as error:
        raise unreachable(api.endpoint, error) from error
    for file in files:
        verify(incoming / file.path, file)
    shutil.rmtree(incoming / ".cache", ignore_errors=True)
    return {"hub": api.endpoint, "repository": name, "revision": info.sha or ""}


def _from_modelscope(source: HubSource, incoming: Path, report: Reporter) -> dict[str, str]:
    import httpx

    named = os.environ.get("MODELSCOPE_ENDPOINT") or os.environ.get("HF_ENDPOINT") or MODELSCOPE
    endpoint = named.rstrip("/")
    name, revision = source.repository, source.revision or "master"
    headers = {"User-Agent": "aiplatform"}
    if token := os.environ.get("MODELSCOPE_API_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx.Timeout(30, read=120)
    try:
        with httpx.Client(headers=headers, timeout=timeout, follow_redirects=True) as client:
            listing = client.get(
                f"{endpoint}/api/v1/models/{name}/repo/files",
                params={"Revision": revision, "Recursive": "true"},
            )
            if listing.status_code in {401, 403, 404}:
                raise JobError(
                    f"There is no model {name} at revision {revision!r} on {endpoint}, "
                    "or it is private."
                )
            listing.raise_for_status()
            files = choose(parse_modelscope_listing(listing.json(), name), name)
            check_space(files, incoming)
            with reported_growth(incoming, files, report):
                for file in files:
                    path = quote(file.path)
                    url = f"{endpoint}/models/{name}/resolve/{quote(revision)}/{path}"
                    with (
                        client.stream("GET", url) as answer,
                        (incoming / file.path).open("wb") as out,
                    ):
                        answer.raise_for_status()
                        for chunk in answer.iter_bytes(CHUNK_BYTES):
                            out.write(chunk)
    except (httpx.HTTPError, ValueError) as error:
        raise unreachable(endpoint, error) from error
    for file in files:
        verify(incoming / file.path, file)
    return {"hub": endpoint, "repository": name, "revision": revision}


def parse_modelscope_listing(answer: Any, name: str) -> list[RemoteFile]:
    """Return the files listed in a response from ModelScope.

    Raises:
        JobError: ModelScope rejects the request, or the response is not a listing.
    """
    if not isinstance(answer, dict) or answer.get("Success") is False:
        message = answer.get("Message") if isinstance(answer, dict) else None
        raise JobError(
            f"ModelScope does not list the files of {name}: {message or 'no reason given'}."
        )
    try:
        entries = (answer.get("Data") or {}).get("Files") or []
        files = [
            RemoteFile(entry["Path"], int(entry.get("Size") or 0), entry.get("Sha256") or None)
            for entry in entries
            if entry.get("Type") != "tree"
        ]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise JobError(f"ModelScope's answer is not a list of the files of {name}.") from error
    if not all(isinstance(file.path, str) and file.path and file.size >= 0 for file in files):
        raise JobError(f"ModelScope's answer is not a list of the files of {name}.")
    return files


def check_space(files: list[RemoteFile], directory: Path) -> None:
    """Raise an error if there is too little disk space for the files.

    The files need twice their size, because they are copied after the download.

    Raises:
        JobError: There is too little space.
    """
    needed = 2 * sum(file.size for file in files)
    free = shutil.disk_usage(directory).free
    if needed > free - RESERVED_DISK_BYTES:
        raise JobError(
            f"The model needs {needed / 1e9:.1f} GB while it is imported, "
            f"and the worker's disk has {free / 1e9:.1f} GB left."
        )


def verify(path: Path, file: RemoteFile) -> None:
    """Raise an error unless the downloaded file has the size and hash that the hub lists.

    Raises:
        JobError: The file differs; this is retryable.
    """
    if not path.is_file() or (file.size and path.stat().st_size != file.size):
        raise JobError(f"{file.path} did not arrive complete.", retryable=True)
    if file.sha256 is None:
        return
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != file.sha256:
        raise JobError(f"{file.path} is not the file that the hub lists.", retryable=True)


def network_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the hub's library raises if a hub can't be reached.

    Newer versions of the library use httpx2 instead of httpx, with its own exception classes.
    """
    found = [importlib.import_module("httpx").HTTPError]
    if importlib.util.find_spec("httpx2") is not None:
        found.append(importlib.import_module("httpx2").HTTPError)
    return tuple(found)


def unreachable(endpoint: str, error: Exception) -> JobError:
    """Return the error for a hub that can't be reached or responds with an error."""
    return JobError(
        f"The hub {endpoint} can't be reached or answers with an error: {error}. "
        "Name a mirror with AIPLATFORM_HUB_ENDPOINT, such as https://hf-mirror.com, and start the "
        "platform again; or import the model from a directory, a GGUF file or a package. "
        "`aiplatform doctor` tests the connection.",
        retryable=not _is_unknown_host(error),
    )


def _is_unknown_host(error: BaseException | None) -> bool:
    """Return True if the hub's host name does not exist, so that a retry would fail, too."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_NONAME
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def reported_growth(directory: Path, files: list[RemoteFile], report: Reporter) -> Iterator[None]:
    """Report the progress of a download, measured by the size of the files in ``directory``."""
    total = sum(file.size for file in files) or 1
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
            report.progress(0.6 * min(size / total, 1.0))

    watcher = threading.Thread(target=watch, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
