"""Pure rules of the registry: paths, versions, limits, and hashes of file trees."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiplatform.protocol.enums import ModelKind
from aiplatform.protocol.trainings import SPECS

MAX_FILES = 10_000
MAX_ALIASES = 50
"""Maximum number of aliases of one model name."""

MAX_PATH = 500
"""Length limit of the column ``blob_refs.path``, a VARCHAR(500)."""

MAX_CARD_BYTES = 256 * 1024
SOURCE = "source/"
"""Folder for uploaded files until they are imported."""

CARD = "README.md"
WEIGHTS = "weights/"
ADAPTER = "adapter/"
LAYOUT = (WEIGHTS, ADAPTER)

_PART = re.compile(r"[A-Za-z0-9_+@=-][A-Za-z0-9._+@=-]*")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


class Reason(NamedTuple):
    """A reason in English and Chinese."""

    en: str
    zh: str


class KindName(NamedTuple):
    """The name of a kind of model in English and Chinese."""

    en: str
    zh: str


KIND_NAMES = {
    ModelKind.CLASSIFIER: KindName("a classifier", "分类器"),
    ModelKind.ENCODER: KindName("an encoder", "编码器"),
    ModelKind.LANGUAGE_MODEL: KindName("a language model", "语言模型"),
    ModelKind.REWARD_MODEL: KindName("a reward model", "奖励模型"),
}


def kind_of(facts: Mapping[str, Any]) -> ModelKind:
    """Return the kind of a model, from its card's data.

    For a model that was trained here, the training method decides; for other models, the kind that
    the import detected.
    """
    config = facts.get("config")
    method = config.get("method") if isinstance(config, Mapping) else None
    if method is not None:
        return kind_made_by(method)
    named = facts.get("kind")
    return ModelKind(named) if named in set(ModelKind) else ModelKind.LANGUAGE_MODEL


def kind_made_by(method: object) -> ModelKind:
    """Return the kind of the models that a training method makes."""
    spec = {str(name): spec for name, spec in SPECS.items()}.get(str(method))
    return ModelKind.LANGUAGE_MODEL if spec is None else spec.makes


def path_error(path: str) -> Reason | None:
    """Return the reason why ``path`` is invalid for an uploaded file, or None if it is valid.

    Only relative paths of plain names are allowed, because they become files on workers with any
    operating system.
    """
    if not path or path.endswith("/"):
        return Reason("a file name is missing", "缺少文件名")
    if len(SOURCE) + len(path) > MAX_PATH:
        limit = MAX_PATH - len(SOURCE)
        return Reason(f"it is longer than {limit} characters", f"超过 {limit} 个字符")
    if path.startswith("/"):
        return Reason("it must be relative", "必须是相对路径")
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return Reason("it has empty parts or dots for parts", "包含空的或由点组成的部分")
        if len(part) > 255:
            return Reason("a part is longer than 255 characters", "某一部分超过 255 个字符")
        if part.startswith("."):
            return Reason("hidden files can't be part of a model", "隐藏文件不属于模型")
        if not _PART.fullmatch(part):
            return Reason(
                "names are made of letters, digits and . _ + @ = -",
                "名称只能包含字母、数字和 . _ + @ = -",
            )
        if part.endswith(".") or _RESERVED.fullmatch(part):
            return Reason("some systems can't have such a name", "部分系统不支持该名称")
    return None


def clashes(path: str, others: Iterable[str]) -> bool:
    """Return True if ``path`` conflicts with another path.

    Two paths conflict if they differ only in case, or if one would be a folder that contains the
    other.
    """
    folded = path.casefold()
    for other in others:
        if other == path:
            continue
        seen = other.casefold()
        if seen == folded or seen.startswith(f"{folded}/") or folded.startswith(f"{seen}/"):
            return True
    return False


def tree_hash(files: Iterable[tuple[str, str]]) -> str:
    """Return a SHA-256 over the paths and hashes of all files; equal trees have equal hashes."""
    lines = sorted(f"{path} {sha256}\n" for path, sha256 in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_model_path(path: str) -> bool:
    """Return True if a file in a task's output belongs to the layout of a model."""
    return path == CARD or path.startswith(LAYOUT)
