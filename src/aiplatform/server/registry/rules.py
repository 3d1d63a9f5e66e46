"""Pure rules of the registry: paths, versions, limits, hashes of trees."""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

MAX_FILES = 10_000
MAX_PATH = 500
"""``blob_refs.path`` is a VARCHAR(500)."""

MAX_CARD_BYTES = 256 * 1024
SOURCE = "source/"
"""Uploaded files lie below it until the import has made a model of them."""

CARD = "README.md"
WEIGHTS = "weights/"
ADAPTER = "adapter/"
LAYOUT = (WEIGHTS, ADAPTER)

_PART = re.compile(r"[A-Za-z0-9_+@=-][A-Za-z0-9._+@=-]*")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


class Words(NamedTuple):
    """The same reason in both languages."""

    en: str
    zh: str


def fault_of_path(path: str) -> Words | None:
    """Why an uploaded file can't have ``path``; None when it can.

    Only relative paths of plain names: they become files on workers, of any system.
    """
    if not path or path.endswith("/"):
        return Words("a file name is missing", "缺少文件名")
    if len(SOURCE) + len(path) > MAX_PATH:
        limit = MAX_PATH - len(SOURCE)
        return Words(f"it is longer than {limit} characters", f"超过 {limit} 个字符")
    if path.startswith("/"):
        return Words("it must be relative", "必须是相对路径")
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return Words("it has empty parts or dots for parts", "包含空的或由点组成的部分")
        if len(part) > 255:
            return Words("a part is longer than 255 characters", "某一部分超过 255 个字符")
        if part.startswith("."):
            return Words("hidden files are no part of a model", "隐藏文件不属于模型")
        if not _PART.fullmatch(part):
            return Words(
                "names are made of letters, digits and . _ + @ = -",
                "名称只能包含字母、数字和 . _ + @ = -",
            )
        if part.endswith(".") or _RESERVED.fullmatch(part):
            return Words("some systems can't have such a name", "部分系统不支持该名称")
    return None


def clashes(path: str, others: Iterable[str]) -> bool:
    """Whether ``path`` is a folder where another is a file, or differs from it only in case."""
    folded = path.casefold()
    for other in others:
        if other == path:
            continue
        seen = other.casefold()
        if seen == folded or seen.startswith(f"{folded}/") or folded.startswith(f"{seen}/"):
            return True
    return False


def tree_hash(files: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 for a set of files, from their paths and hashes: equal trees have equal ones."""
    lines = sorted(f"{path} {sha256}\n" for path, sha256 in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_model_path(path: str) -> bool:
    """Whether a file that a runtime made belongs to a model's layout."""
    return path == CARD or path.startswith(LAYOUT)
