"""Check that commands in messages can be copied: each value in them is one shell argument."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import aiplatform
from aiplatform.cli.reading_options import quarantine_note
from aiplatform.language import catalogue, tr

HOSTILE = ["my data; rm -rf x", "$(touch x)", "it's", "back\\slash", "客户 数据", "plain"]
COMMAND = re.compile(r"(?<=`)aiplatform [a-z-][^`]*(?=`)|(?<![`/])\baiplatform [a-z-][^`。]*")
BARE = re.compile(r"\{[^{}:!]*\}|\{[^{}]*![^{}]*\}|%s")
NEEDLESS = {
    "aiplatform {}": "the name of a command, see Home.command",
    "aiplatform {} --home ": "the name of a command, see Home.command",
    "aiplatform server: {}\n": "the beginning of a message",
    "aiplatform worker: {}\n": "the beginning of a message",
    "aiplatform datasets fix DATASET {}=drop": "the code of a finding",
    "aiplatform datasets map  chosen={}": "one of two names of columns",
    "aiplatform projects accept {invitation}": "a uuid",
    "aiplatform projects decline {invitation}": "a uuid",
    "aiplatform secrets set {name}": "letters, digits and '._-', see SecretName",
}
"""Commands whose unquoted values can't contain shell metacharacters, with the reasons."""

SOURCES = sorted(
    path
    for area in ("cli", "client", "embedded", "server")
    for path in (Path(aiplatform.__file__).parent / area).rglob("*.py")
)


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield a program's string literals; values in f-strings become ``{}`` unless quoted."""
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(part) for part in ast.walk(node)}
            yield "".join(
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else ""
                if "quote(" in ast.unparse(part)
                else "{}"
                for part in node.values
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def bare_values(text: str) -> list[str]:
    """Return the commands in a text that contain unquoted values."""
    return [command for command in COMMAND.findall(text) if BARE.search(command)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_command_in_a_message_quotes_its_values(path: Path) -> None:
    """If this fails, write ``{name:quoted}`` in texts of ``tr()``, or call ``shlex.quote``."""
    found = [bare for text in texts(ast.parse(path.read_text())) for bare in bare_values(text)]
    assert [bare for bare in found if bare not in NEEDLESS] == []


def test_every_command_in_a_chinese_message_quotes_its_values() -> None:
    assert [bare for text in catalogue().values() for bare in bare_values(text)] == []


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Start it: aiplatform deploy start {name}", True),
        ("`aiplatform sweep watch {name}` watches it", True),
        ("Start it: aiplatform deploy start {name:quoted}", False),
        ("chosen by `aiplatform projects use`", False),
        ("Queued {name}. Watch it: aiplatform tasks watch {uuid:quoted}", False),
    ],
)
def test_guard_sees_values_that_are_not_quoted(text: str, bare: bool) -> None:
    assert bool(bare_values(text)) is bare


@pytest.mark.parametrize("name", HOSTILE)
def test_quoted_value_is_one_argument(name: str) -> None:
    text = tr("Start it: aiplatform deploy start {name:quoted}", name=name)
    assert shlex.split(text.partition(": ")[2]) == ["aiplatform", "deploy", "start", name]


@pytest.mark.parametrize("name", HOSTILE)
def test_hint_about_rows_set_aside_can_be_copied(name: str) -> None:
    note = quarantine_note(name, "v2", {"quarantined": {"rows": 3, "reasons": {}}})
    assert note is not None
    words = shlex.split(note[note.index("aiplatform") :])
    assert words == ["aiplatform", "datasets", "download", f"{name}@v2", "--format", "quarantine"]
