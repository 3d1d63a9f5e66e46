"""Tests of how docstrings begin."""

import ast
import re
from pathlib import Path

import aiplatform

ROOT = Path(aiplatform.__file__).parent
AWKWARD = re.compile(
    r"(Of (a|an|the|what)|Without|Whether anybody|What (a person|stands)|That the|Than|Beside"
    r"|Under which|By whom|For whom|With which)\b"
)
"""First words that make sense only after the name of the object."""


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value.value.splitlines()[0]}"
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and AWKWARD.match(node.value.value.strip())
    ]
    assert found == []
