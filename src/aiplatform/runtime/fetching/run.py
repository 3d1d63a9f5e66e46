"""Dataset import jobs, which fetch files and parse them in the same way as uploads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiplatform.data.errors import MalformedData
from aiplatform.data.limits import CPU_SECONDS
from aiplatform.protocol.dataset_sources import DataHubSource, S3Source, UrlSource, describe_source
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import DatasetImportSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.fetching.downloader import Downloader, FetchedFile, RemoteFile
from aiplatform.runtime.fetching.hubs import Hub

ROWS = "rows.parquet"
UPLOAD = "upload"
INHERITED_VARIABLES = ("PATH", "PYTHONPATH", "TZ")

LIMIT_OPTIONS = {
    "memory-mb": "MEMORY_MB",
    "cpu-seconds": "CPU_SECONDS",
    "max-ratio": "RATIO",
    "max-unpacked-bytes": "MAX_UNPACKED_BYTES",
}
"""Options of the parser program, each with the suffix of the corresponding setting's name."""

NO_SPACE = "[Errno 28]"


def run_dataset_import(job: Job, report: Reporter) -> dict[str, Any]:
    """Write the rows into the job's output directory; return a description with their origin.

    If only one file was fetched, it is stored along with the rows. If there were several, only
    their names and hashes are stored.
    """
    spec = job.spec
    assert isinstance(spec, DatasetImportSpec)
    output = Path(job.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    incoming = output.parent / "incoming"
    incoming.mkdir(exist_ok=True)
    fetched, origin = fetch_all(spec, incoming, report)
    report.progress(0.7)
    report.event("fetched", files=len(fetched), bytes=sum(file.size for file in fetched))
    answer = read(spec, fetched, output / ROWS, report)
    if len(fetched) == 1:
        fetched[0].path.rename(output / UPLOAD)
    return {
        "ingested": answer,
        "files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in fetched],
        "source": {**origin, "files": len(fetched)},
    }


def fetch_all(
    spec: DatasetImportSpec, incoming: Path, report: Reporter
) -> tuple[list[FetchedFile], dict[str, Any]]:
    """Fetch the source's files; return them with a description of their origin."""
    source = spec.source
    hub = Hub() if isinstance(source, DataHubSource) else None
    downloader = Downloader(report, frozenset() if hub is None else frozenset({hub.origin}))
    origin: dict[str, Any] = {"kind": source.kind, "from": describe_source(source)}
    try:
        match source:
            case UrlSource(url=url):
                token = os.environ.get("HTTP_TOKEN")
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                remotes = [RemoteFile(url, "", headers)]
            case S3Source():
                from aiplatform.runtime.fetching.s3 import locate

                remotes = [locate(source)]
            case DataHubSource():
                assert hub is not None
                remotes, found = hub.locate(source, downloader)
                origin |= found
        sizes = [remote.size for remote in remotes]
        total = sum(size or 0 for size in sizes) if all(sizes) else None
        fetched: list[FetchedFile] = []
        before = 0
        for number, remote in enumerate(remotes):
            target = incoming / f"{number:05d}"
            fetched.append(downloader.fetch(remote, target, before=before, total=total))
            before += fetched[-1].size
    finally:
        downloader.close()
    return fetched, origin


def read(
    spec: DatasetImportSpec, files: list[FetchedFile], output: Path, report: Reporter
) -> dict[str, Any]:
    """Parse the files with the program that parses uploads; return the description it prints.

    The program runs in a process without any secrets, because fetched files are as untrusted as
    uploads.

    Raises:
        JobError: A file can't be parsed or the program fails.
    """
    command = [sys.executable, "-P", "-m", "aiplatform.data.ingest", "--output", str(output)]
    for file in files:
        command += ["--input", str(file.path), f"--filename={file.name}"]
    if spec.format is not None:
        command += ["--format", spec.format.value]
    share = os.environ.get("AIPLATFORM_QUARANTINE_MAX_SHARE", "0")
    command += [f"--reading={dumps(spec.reading)}", f"--max-bad-share={share}"]
    command += [] if spec.before is None else spec.before.arguments()
    for option, name in LIMIT_OPTIONS.items():
        if value := os.environ.get(f"AIPLATFORM_INGEST_{name}"):
            command.append(f"--{option}={value}")
    kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=output.parent,
        env={**kept, "LC_ALL": "C.UTF-8", "TMPDIR": str(output.parent)},
    )
    try:
        while True:
            try:
                stdout, stderr = child.communicate(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                report.progress(0.75)  # raises JobStopped if a stop was requested
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode != 0:
        sys.stderr.write(stderr[-4000:])
        if NO_SPACE in stderr:
            raise JobError("The worker's disk is full.")
        if child.returncode == -signal.SIGXCPU:
            limit = os.environ.get("AIPLATFORM_INGEST_CPU_SECONDS", CPU_SECONDS)
            raise JobError(str(MalformedData("cpu_time", limit=limit)))
        raise JobError(f"The program that reads files ended with status {child.returncode}.")
    answer: dict[str, Any] = json.loads(stdout)
    if not answer.pop("ok"):
        raise JobError(str(answer["message"]))
    return answer
