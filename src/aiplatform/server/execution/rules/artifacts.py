"""Rules for the paths of artifacts."""

from typing import NamedTuple

MAX_ARTIFACTS = 10_000
MAX_PATH = 500


class Fault(NamedTuple):
    """The reason why a path is refused, in both languages."""

    en: str
    zh: str


def path_fault(path: str) -> Fault | None:
    """Return the reason why an artifact can't have ``path``, or None if it can.

    A valid path is relative and means the same file on every system, in any script.
    """
    if not path or len(path) > MAX_PATH:
        return Fault(
            f"it must have 1 to {MAX_PATH} characters", f"长度必须为 1 至 {MAX_PATH} 个字符"
        )
    if not path.isprintable() or "\\" in path or ":" in path:
        return Fault(
            "it contains a control character, a backslash or a colon; rename the file",
            "路径包含控制字符、反斜杠或冒号，请重命名文件",
        )
    if any(part.strip() in {"", ".", ".."} for part in path.split("/")):
        return Fault(
            "it must be a relative path without empty parts, `.` and `..`",
            "必须是相对路径，且不能包含空的部分、“.”或“..”",
        )
    return None
