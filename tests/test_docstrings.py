"""Tests that docstrings of functions begin with a verb and all others with a noun."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "examples", "migrations", "docs")

RIDDLES = (
    r"(What|Who|Whom|Whose|Whether|How|Which|Why|That|Than|Of|Without|Beside|Besides"
    r"|Under which|By whom|For whom|With which|Its|It|They|Something|Named)\b"
)
"""First words that only make sense after a name that is not there."""

NOUNS = r"(The|A|An|One|Two|All|Each|Every|No|None|Only|When|Where|This|These|There|Those)\b"
"""First words of noun phrases, which say what something is instead of what it does."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and text of each docstring, and True if it belongs to a called function.

    Properties are not called. Strings below attributes and constants count as docstrings, too.
    Docstrings of tests are left out, because they are sentences about the case.
    """
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, Documented) or getattr(node, "name", "").startswith("test_"):
            continue
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for place, statement in enumerate(node.body):
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                is_called = is_function and place == 0 and not is_property(node)
                yield statement.lineno, value.value.strip(), is_called


def is_property(node: ast.AST) -> bool:
    """Return True for a function that is read like an attribute."""
    names = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
    return any("property" in name for name in names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_begin_with_a_verb_or_a_name(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text, is_called in docstrings(path)
        if re.match(RIDDLES, text) or (is_called and re.match(NOUNS, text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('def f():\n    """The name."""', ["The name."]),
        ('class C:\n    x = 1\n    """What x is."""', ["What x is."]),
        ('class C:\n    @property\n    def p(self):\n        """The name."""', []),
        ('class C:\n    """A lease."""', []),
        ('def test_f():\n    """The file is read once."""', []),
        ('def f():\n    """Return the name."""', []),
    ],
)
def test_check_finds_what_it_is_for(tmp_path: Path, code: str, words: list[str]) -> None:
    path = tmp_path / "code.py"
    path.write_text(code)
    found = [
        text
        for _, text, is_called in docstrings(path)
        if re.match(RIDDLES, text) or (is_called and re.match(NOUNS, text))
    ]
    assert found == words
