"""Tests of the error catalogue: each code has texts in both languages, and one class."""

import ast
import importlib
import pkgutil
import re
import string
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import aiplatform.server
from aiplatform.server.core.errors import CATALOGUE, Problem

SERVER = Path(aiplatform.server.__path__[0])
CODE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")


def problem_classes() -> list[type[Problem]]:
    """Return all problem classes of the server, including the base class."""
    for module in pkgutil.walk_packages(aiplatform.server.__path__, "aiplatform.server."):
        importlib.import_module(module.name)

    def below(kind: type[Problem]) -> Iterator[type[Problem]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    found = {kind for kind in below(Problem) if kind.__module__.startswith("aiplatform.")}
    return sorted(found, key=lambda kind: kind.__name__)


def fields(template: str) -> set[str]:
    """Return the names of the parameters in a text template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@cache
def server_syntax() -> list[ast.AST]:
    """Return all syntax tree nodes of the server's source files."""
    return [node for path in SERVER.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]


def own_codes() -> list[str]:
    """Return the problem codes of all classes that can be raised."""
    return [kind.code for kind in problem_classes() if "code" in vars(kind)]


def test_codes_are_an_area_and_a_reason() -> None:
    assert [code for code in CATALOGUE if not CODE.fullmatch(code)] == []


def test_titles_and_details_have_two_languages() -> None:
    for code, entry in CATALOGUE.items():
        assert set(entry) == {"title", "detail"}, code
        for texts in entry.values():
            assert set(texts) == {"en", "zh"}, code
            assert all(texts.values()), code
        assert entry["title"]["en"].isascii(), code
        assert not entry["title"]["zh"].isascii(), code


def test_details_have_the_same_parameters_in_both_languages() -> None:
    for code, entry in CATALOGUE.items():
        assert fields(entry["detail"]["en"]) == fields(entry["detail"]["zh"]), code


def test_catalogue_is_sorted_by_code() -> None:
    areas: dict[str, Any] = tomllib.loads((SERVER / "problems.toml").read_text())
    codes = [f"{area}.{reason}" for area, reasons in areas.items() for reason in reasons]
    assert codes == sorted(codes)


def test_each_entry_belongs_to_exactly_one_class() -> None:
    assert sorted(own_codes()) == sorted(CATALOGUE)


def test_no_two_entries_say_the_same() -> None:
    details = Counter(entry["detail"]["en"] for entry in CATALOGUE.values())
    repeated = {detail for detail, count in details.items() if count > 1}
    assert {detail for detail in repeated if not re.fullmatch(r"{\w+}", detail)} == set()


def test_each_class_with_a_code_is_raised() -> None:
    names = {node.id for node in server_syntax() if isinstance(node, ast.Name)}
    names |= {node.attr for node in server_syntax() if isinstance(node, ast.Attribute)}
    kinds = [kind for kind in problem_classes() if "code" in vars(kind)]
    assert [kind.__name__ for kind in kinds if kind.__name__ not in names] == []


def test_classes_without_a_code_are_not_raised() -> None:
    groups = {kind.__name__ for kind in problem_classes() if "code" not in vars(kind)}
    calls = [node.func for node in server_syntax() if isinstance(node, ast.Call)]
    raised = [node.exc for node in server_syntax() if isinstance(node, ast.Raise)]
    names = {node.id for node in [*calls, *raised] if isinstance(node, ast.Name)}
    assert groups & names == set()


def test_statuses_are_those_of_errors() -> None:
    assert [kind for kind in problem_classes() if not 400 <= kind.status < 600] == []
