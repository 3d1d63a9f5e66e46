"""What a file that a run leaves may be called."""

from typing import NamedTuple

MAX_ARTIFACTS = 10_000
MAX_PATH = 500


class Fault(NamedTuple):
    """Why not, in both languages."""

    en: str
    zh: str


def fault_of(path: str) -> Fault | None:
    """Why an artifact can't have ``path``; None when it can.

    A relative path that means the same file on every system, in whatever script it is written.
    """
    if not path or len(path) > MAX_PATH:
        return Fault(f"it needs 1 to {MAX_PATH} characters", f"长度必须为 1 至 {MAX_PATH} 个字符")
    if not path.isprintable() or "\\" in path or ":" in path:
        return Fault(
            "control characters, backslashes and colons are not for names",
            "名称不能包含控制字符、反斜杠或冒号",
        )
    if any(part.strip() in {"", ".", ".."} for part in path.split("/")):
        return Fault(
            "it must be relative, without empty parts or dots for parts",
            "必须是相对路径，且不能有空的或由点组成的部分",
        )
    return None
