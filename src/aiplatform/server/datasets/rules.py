"""Pure rules of datasets: version numbers, file names, limits."""

import re
import unicodedata
from pathlib import PurePosixPath

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import DatasetStatus, TaskStatus

MAX_ROWS = 2**31 - 1
"""``dataset_versions.row_count`` is an INTEGER."""

MAX_FILENAME_BYTES = 200
ROWS_PATH = "data.parquet"
UPLOAD_FOLDER = "upload/"

ENDINGS = {"parquet": "parquet", "jsonl": "jsonl"}
MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
    # Whatever it is called: a browser must not take it for anything that it could show.
    "original": "application/octet-stream",
}


def version_label(number: int) -> str:
    """``v1``, ``v2``, …"""
    return f"v{number}"


def safe_filename(name: str) -> str:
    """The last part of what a client calls its file, without anything that means more than itself.

    Separators of any system, control and format characters (some reverse the reading direction),
    leading dots and trailing dots or spaces go; the ending stays when the name is cut.
    """
    last = re.split(r"[/\\]", clean_text(name))[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    kept = re.sub(r'[<>:"|?*]', "_", kept).lstrip(". ").rstrip(". ")
    if not kept:
        return "upload"
    ending = "".join(PurePosixPath(kept).suffixes[-2:])
    if len(ending.encode()) > 32:
        ending = ""
    stem = kept.removesuffix(ending) or "upload"
    room = MAX_FILENAME_BYTES - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + ending


def status_after_report(
    ended: TaskStatus, *, reported: bool, others_waiting: bool
) -> DatasetStatus:
    """The status of a dataset when a quality task of its current version has ended.

    A version that has a report stays usable when making another one failed.
    """
    if reported:
        return DatasetStatus.READY
    if others_waiting:
        return DatasetStatus.PROCESSING
    return DatasetStatus.FAILED if ended is TaskStatus.FAILED else DatasetStatus.UPLOADED
