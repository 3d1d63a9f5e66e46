"""The code blocks of a page, and the comparison of shown outputs with real ones.

A `text` block that follows a `bash` or `python` block without prose in between is its output. In
it, `…` matches text that differs from run to run: any characters inside a line, or any lines if it
is alone on a line. A block that can't run in a test is preceded by a comment that readers don't
see: `<!-- not run: REASON -->`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

RUNNABLE = {"bash", "sh", "shell", "console", "python"}
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>.*?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A code block in a page."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None = None
    """Reason why the block is not run; None for a block that is run."""
    output: str | None = None

    @property
    def is_runnable(self) -> bool:
        """True if the block contains commands or Python code."""
        return self.language in RUNNABLE

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """Return a page's code blocks in order, each with the output shown after it."""
    text = page.read_text("utf-8")
    blocks: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        block = Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["code"],
            match["reason"],
        )
        previous = blocks[-1] if blocks else None
        if (
            block.language == "text"
            and previous is not None
            and previous.is_runnable
            and not text[end : match.start()].strip()
        ):
            blocks[-1] = Block(
                page,
                previous.line,
                previous.language,
                previous.code,
                previous.reason,
                block.code,
            )
        else:
            blocks.append(block)
        end = match.end()
    return blocks


def find_difference(shown: str, printed: str) -> str | None:
    """Return the first line of ``shown`` that ``printed`` lacks, or None if it has all lines."""
    lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
    text = "\n".join(line.rstrip() for line in printed.splitlines())
    if re.search(_pattern(lines), text, re.MULTILINE):
        return None
    for count in range(1, len(lines) + 1):
        if not re.search(_pattern(lines[:count]), text, re.MULTILINE):
            return lines[count - 1]
    return lines[-1]


def _pattern(lines: list[str]) -> str:
    pattern = ""
    for line in lines:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += "^" + ".*?".join(re.escape(part) for part in line.split("…")) + r"$\n?"
    return pattern


def has_same_code(ours: Block, theirs: Block) -> bool:
    """Return True if two blocks have the same code, apart from comments."""
    return code_lines(ours) == code_lines(theirs)


def is_translation(ours: Block, theirs: Block) -> bool:
    """Return True if two blocks have the same code, apart from comments and Chinese texts."""
    if ours.language != theirs.language:
        return False
    lines, translated = code_lines(ours), code_lines(theirs)
    return len(lines) == len(translated) and all(
        re.fullmatch(_with_any_text(other), line) if _is_chinese(other) else line == other
        for line, other in zip(lines, translated, strict=True)
    )


def code_lines(block: Block) -> list[str]:
    """Return the lines of a block without comments and empty lines."""
    code = re.sub(r"(^|\s)#(?!!).*$", "", block.code, flags=re.MULTILINE)
    return [line.rstrip() for line in code.splitlines() if line.strip()]


def _is_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def _with_any_text(line: str) -> str:
    """Return a pattern for ``line`` that accepts any quoted text for each quoted Chinese text."""
    parts = re.split(r'"[^"]*[\u4e00-\u9fff][^"]*"', line)
    return '"[^"]*"'.join(re.escape(part) for part in parts)
