"""Indexes built by child processes: differences between two versions, and rows with findings."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from anyio import to_thread

from aiplatform.data import diff_index
from aiplatform.data.finding_rows_file import read_positions
from aiplatform.data.row_access import Found
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.protocol.fixes import OURS, TOKEN_FINDINGS, fixes_of
from aiplatform.protocol.rows import Condition
from aiplatform.protocol.specs import FixAction
from aiplatform.server.core.database import transaction
from aiplatform.server.core.files import open_file
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import disk_space_required
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import FindingWithoutRows, NoSuchFinding
from aiplatform.server.datasets.rules import LEAKAGE, suggestion
from aiplatform.server.datasets.service import content
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.ingest import (
    WaitForDisconnect,
    never_disconnected,
    run_row_program,
)
from aiplatform.server.projects.access import ProjectContext


async def get_or_build_index(
    name: str,
    module: str,
    make_input: Callable[[], dict[str, Any]],
    disconnected: WaitForDisconnect,
) -> Path:
    """Return the path of the index ``name``, which ``module`` builds if it does not exist.

    The index appears at its path only once it is complete, even if several processes build it at
    the same time or one of them fails. It is deleted when it has not been read for a day.

    Args:
        name: the file name of the index in the spool.
        module: the program that builds it.
        make_input: returns the program's input, to which the output path is added.
        disconnected: returns when the client has disconnected.

    Raises:
        MalformedFile, UploadAborted, InsufficientStorage, IngestFailed: see
            :func:`aiplatform.server.datasets.service.ingest.ingest`.
    """
    directory = get_settings().spool_dir
    index = directory / name
    job = directory / f"{uuid4().hex}.job"
    # The partial file belongs to this call alone, because others may be building the same index.
    partial = job.with_suffix(".partial")

    def prepare() -> bool:
        try:
            os.utime(index)
        except FileNotFoundError:
            pass
        else:
            return True
        with disk_space_required():
            known = {**make_input(), "output": str(partial)}
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            job.write_text(dumps(known))
        return False

    if not await to_thread.run_sync(prepare):
        command = [sys.executable, "-P", "-m", module, "--job", str(job)]
        try:
            await run_row_program(command, directory, disconnected)
            partial.replace(index)
        finally:
            job.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
    return index


DIFFERENCES_LAYOUT = "1"
"""Version of the index layout; increase it when the same input would give a different index."""

PAGE_BYTES = 8 << 20


async def build_differences(
    before: StoredFile, after: StoredFile, key: str | None, disconnected: WaitForDisconnect
) -> Path:
    """Return the path of the index of two files' differences; see :func:`get_or_build_index`.

    Raises:
        MalformedFile: the files have no column ``key``.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """
    about = dumps([DIFFERENCES_LAYOUT, before.sha256, after.sha256, key]).encode()

    def make_input() -> dict[str, Any]:
        return {"before": str(local_rows(before)), "after": str(local_rows(after)), "key": key}

    name = f"diff-{hashlib.sha256(about).hexdigest()}.parquet"
    return await get_or_build_index(name, "aiplatform.data.diff", make_input, disconnected)


def differences_page(
    index: Path,
    before: StoredFile,
    after: StoredFile,
    *,
    offset: int,
    limit: int,
    kinds: Sequence[str] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]], int | None]:
    """Return the summary, differences from ``offset`` on, and the next page's offset or None."""
    entries, following = diff_index.page(
        index,
        open_file(before) or local_rows(before),
        open_file(after) or local_rows(after),
        offset=offset,
        limit=limit,
        kinds=None if kinds is None else set(kinds),
    )
    items: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        if size >= PAGE_BYTES:
            following = offset + len(items)
            break
        size += len(dumps(entry))
        items.append(jsonable(entry))
    return diff_index.summary_of(index), items, following


FINDINGS_LAYOUT = "2"
"""Version of the index layout; increase it when the same rows would give a different index."""

NEAR_DUPLICATES = "near_duplicates"

COMPARISON_FINDINGS = frozenset({*LEAKAGE, "contamination"})
"""Findings that can only be detected by comparing with other data."""


async def build_finding_rows(rows: StoredFile, finding: str) -> Path:
    """Return the path of the index of a version's findings; see :func:`get_or_build_index`.

    The child process continues if the client disconnects, so that the next request can use the
    index.

    Raises:
        InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """

    def make_input() -> dict[str, Any]:
        return {"rows": str(local_rows(rows)), "near_duplicates": finding == NEAR_DUPLICATES}

    kind = "near" if finding == NEAR_DUPLICATES else "all"
    name = f"findings-{FINDINGS_LAYOUT}-{kind}-{rows.sha256}.parquet"
    return await get_or_build_index(
        name, "aiplatform.data.list_finding_rows", make_input, never_disconnected
    )


def reported_count(
    context: ProjectContext, dataset: UUID, version: str, finding: str
) -> int | None:
    """Return a finding's number of rows in the newest report; None if there is no report.

    Raises:
        NotFound: when there is no such dataset or version.
        NoSuchFinding: the code is neither one of the platform's nor in the report.
        FindingWithoutRows: the rows can't be determined without a tokenizer or other data.
    """
    with transaction() as session:
        head = queries.get_dataset(session, context, dataset)
        found = queries.get_version(session, head, version)
        report = queries.report_of(session, found.id)
        made = None if report is None else report.report
    if finding in TOKEN_FINDINGS:
        raise _without_rows(finding, "it takes a tokenizer to see them", "需要分词器才能识别")
    if finding in COMPARISON_FINDINGS:
        raise _without_rows(
            finding,
            "it takes the data that the report compared with to see them",
            "需要质量报告所比较的数据才能识别",
        )
    if made is None:
        return None
    counts = [each.get("count") for each in made.get("findings") or () if each["code"] == finding]
    if not counts and finding not in OURS:
        raise _unknown_finding(finding)
    return sum(count for count in counts if isinstance(count, int))


def require_rows(index: Path, finding: str, counted: int | None) -> None:
    """Raise an error if the index has no rows for a finding, unless the finding did not occur.

    Raises:
        FindingWithoutRows: the report counts rows, but the check does not record which.
        NoSuchFinding: there is no report, and the code is not one of the platform's.
    """
    if len(read_positions(index, finding)):
        return
    if counted:
        raise _without_rows(finding, "the check only counts them", "该检查只统计数量")
    if counted is None and finding not in OURS:
        raise _unknown_finding(finding)


def _without_rows(finding: str, why: str, why_zh: str) -> FindingWithoutRows:
    does, does_zh = "The report has examples", "质量报告中有示例"
    if "drop" in fixes_of(finding):
        fix = f"aiplatform datasets fix DATASET {finding}=drop"
        does += f"; `{fix}` takes them all away, and `aiplatform datasets diff` shows which"
        does_zh += f"；`{fix}` 会删除所有这些数据，之后可用 `aiplatform datasets diff` 查看"
    else:
        does += "; `aiplatform datasets rows DATASET --search TEXT` finds rows like them"
        does_zh += "；可用 `aiplatform datasets rows DATASET --search TEXT` 查找类似的数据"
    return FindingWithoutRows(
        finding=finding, reason=f"{why}. {does}.", reason_zh=f"{why_zh}。{does_zh}。"
    )


def _unknown_finding(finding: str) -> NoSuchFinding:
    known, known_zh = suggestion(finding)
    return NoSuchFinding(finding=finding, known=known, known_zh=known_zh)


def sample(index: Path, file: StoredFile, finding: str, count: int, seed: int) -> Found:
    """Return random rows of a finding, as :func:`content.draw_rows` does."""
    among = read_positions(index, finding)
    return content.draw_rows(file, len(among), count, seed, among=among)


def finding_page(
    index: Path,
    file: StoredFile,
    finding: str,
    offset: int,
    limit: int,
    *,
    text: str | None,
    where: Sequence[Condition | str],
) -> Found:
    """Return rows of a finding from position ``offset`` on, as :func:`content.find_rows` does."""
    among = read_positions(index, finding)
    return content.find_rows(file, offset, limit, text=text, where=where, among=among)


async def preview_fix(
    index: Path, rows: StoredFile, finding: str, action: FixAction, limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of a finding's rows, and the first of them before and after a fix.

    Raises:
        MalformedFile: the finding has no such fix.
        InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """
    positions = await to_thread.run_sync(read_positions, index, finding)

    def make_input() -> dict[str, Any]:
        chosen = positions[:limit].tolist()
        return {
            "rows": str(local_rows(rows)), "finding": finding, "action": action,
            "positions": chosen,
        }  # fmt: skip

    name = f"preview-{FINDINGS_LAYOUT}-{finding}-{action}-{limit}-{rows.sha256}.json"
    path = await get_or_build_index(
        name, "aiplatform.data.preview_fix", make_input, never_disconnected
    )
    items: list[dict[str, Any]] = json.loads(await to_thread.run_sync(path.read_bytes))
    return len(positions), items
