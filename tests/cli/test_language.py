"""Tests of the Chinese catalogue: it is complete, and all messages are looked up in it."""

import ast
import importlib
import pkgutil
import re
import string
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typing_extensions
from pydantic import BaseModel
from typer import rich_utils

import aiplatform.client
from aiplatform.cli import platform, top
from aiplatform.cli.localisation import FIXED, LIBRARY_MESSAGES
from aiplatform.cli.main import app
from aiplatform.cli.output import print_rows
from aiplatform.client import errors
from aiplatform.language import catalogue, current, tr

SOURCE = Path(aiplatform.client.__file__).parents[1]
AREAS = ("cli", "client", "embedded")
WORDS = re.compile("[A-Za-z]{2}")

MESSAGES = frozenset(
    {
        "say", "confirm", "prompt", "print_text", "print_deleted", "bar", "waiting_printer",
        "CommandError", "BadParameter", "UsageError",
        "_done", "_usage", "_secret", "_hidden", "_print_error", "_print_state", "_print_status",
        "_sum", "_print_line",
    }
)  # fmt: skip
"""Functions of the command line whose arguments are shown to users."""

THIRD_PARTY = re.compile("aiplatform.protocol.(deepspeed|distributed|parallelism)|accelerate")
"""Modules whose fields are options of other libraries, which have no Chinese names."""


def trees(*areas: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the parsed modules in ``areas``."""
    for area in areas:
        for path in sorted((SOURCE / area).rglob("*.py")):
            yield path, ast.parse(path.read_text("utf-8"))


def calls(*areas: str) -> Iterator[tuple[Path, ast.Call, str]]:
    """Yield each call with its file and the name of the called function."""
    for path, tree in trees(*areas):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = node.func
                name = getattr(function, "id", None) or getattr(function, "attr", "")
                yield path, node, str(name)


def constants(node: ast.AST | None) -> Iterator[str]:
    """Yield the text of a literal node, or the texts in a literal list or dictionary."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            for element in elements:
                yield from constants(element)
        case ast.Dict(keys=keys):
            for key in keys:
                yield from constants(key)
        case ast.IfExp(body=body, orelse=other):
            yield from constants(body)
            yield from constants(other)


def texts_of_messages() -> Iterator[str]:
    """Yield the literal first arguments of ``tr()`` and the hints of exception classes."""
    for _, call, name in calls(*AREAS):
        if name == "tr" and call.args:
            yield from constants(call.args[0])
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.ClientError) and kind.hint:
            yield kind.hint


def texts_of_help() -> Iterator[str]:
    """Yield all texts on the help pages of all commands."""

    def visit(command: Any) -> Iterator[str]:
        yield from (command.help, command.short_help, command.epilog, command.rich_help_panel)
        option = command.get_help_option(typer.Context(command, help_option_names=["--help"]))
        for parameter in [*command.params, *([option] if option else [])]:
            yield getattr(parameter, "help", None) or ""
            yield getattr(parameter, "rich_help_panel", None) or ""
        for child in getattr(command, "commands", {}).values():
            yield from visit(child)

    yield from filter(None, visit(typer.main.get_command(app)))
    yield from LIBRARY_MESSAGES
    yield from (getattr(rich_utils, name) for name in FIXED)


def headings() -> Iterator[str]:
    """Yield the literal headings of tables."""
    for _, call, name in calls("cli"):
        if name == "print_table":
            yield from constants(call.args[1])
        elif name == "print_rows":
            yield from constants(call.args[0])
    for columns in (top.RUNNING, top.WAITING, top.WORKERS):
        yield from columns
    yield from platform.COLOURS


@cache
def labels() -> frozenset[str]:
    """Return the names of all resources' fields, as shown by ``print_record``."""
    seen: set[type] = set()
    found: set[str] = set()

    def visit(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            seen.add(kind)
            if THIRD_PARTY.search(kind.__module__):
                return
            for name, field in kind.model_fields.items():
                found.add(name.replace("_", " "))
                visit(field.annotation)
        for part in typing.get_args(kind):
            visit(part)
        if isinstance(kind, typing_extensions.TypeAliasType):
            visit(kind.__value__)

    for module in pkgutil.iter_modules(aiplatform.client.__path__):
        for value in vars(importlib.import_module(f"aiplatform.client.{module.name}")).values():
            visit(value)
    return frozenset(found)


@pytest.mark.parametrize("texts", [texts_of_messages, texts_of_help, headings, labels])
def test_catalogue_contains_all_texts_that_users_see(texts: Any) -> None:
    found = {text for text in texts() if WORDS.search(text)}
    assert len(found) > 100
    assert sorted(found - set(catalogue())) == []


def test_catalogue_contains_no_unused_text() -> None:
    used = {*texts_of_help(), *labels()}
    for _, tree in trees(*AREAS):
        used |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert sorted(set(catalogue()) - used) == []


def placeholders(text: str) -> set[str]:
    """Return a template's placeholders with their formats; numbers for positional ones."""
    return {
        f"{name}!{conversion}:{layout}"
        for _, name, layout, conversion in string.Formatter().parse(text)
        if name is not None
    }


def test_translations_have_the_placeholders_of_their_texts() -> None:
    templates = set(texts_of_messages()) | set(LIBRARY_MESSAGES)
    wrong = []
    for text in templates & set(catalogue()):
        try:
            same = placeholders(text) == placeholders(catalogue()[text])
        except ValueError:  # a text that contains braces and is shown without values
            same = True
        if not same:
            wrong.append((text, catalogue()[text]))
    assert wrong == []


def test_catalogue_uses_chinese_punctuation() -> None:
    """Check that no half-width comma, full stop or question mark follows a Chinese character."""
    odd = re.compile("[\u4e00-\u9fff][,;?!]|[\u4e00-\u9fff]\\.(?![\\w…])")
    assert [pair for pair in catalogue().items() if odd.search(pair[1])] == []


def test_messages_of_the_command_line_are_translated() -> None:
    bare = []
    for path, call, name in calls("cli"):
        if name not in MESSAGES:
            continue
        for argument in (*call.args, *(k.value for k in call.keywords if k.arg == "hint")):
            texts = [*constants(argument)]
            if isinstance(argument, ast.JoinedStr):
                texts = [text for part in argument.values for text in constants(part)]
            bare += [f"{path.name}:{call.lineno}: {text}" for text in texts if WORDS.search(text)]
    assert bare == []


def test_language_variable_takes_precedence_over_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setenv("AIPLATFORM_LANG", "en")
    assert current() == "en"
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("AIPLATFORM_LANG", "zh")
    assert current() == "zh"
    monkeypatch.delenv("AIPLATFORM_LANG")
    monkeypatch.delenv("LC_ALL")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert tr("yes") == "是"


def test_table_in_chinese_has_chinese_headings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIPLATFORM_LANG", "zh")
    print_rows(["NAME", "STATUS", "lora.rank"], [["faq", "ready", "8"]])
    assert capsys.readouterr().out.split() == ["名称", "状态", "lora.rank", "faq", "ready", "8"]
