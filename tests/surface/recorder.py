"""Lists of all public SDK methods and commands, and a recorder of successful calls."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import BaseModel
from typer.main import get_command as build

import aiplatform.client
from aiplatform.cli.main import app
from aiplatform.client import Client, DatasetDiff, ExternalRun, Pages
from aiplatform.client.base import Group, Resource
from aiplatform.client.chat import ChatStream

PLAIN = (Client, ExternalRun, DatasetDiff, ChatStream, Pages)
"""Public classes that are neither a collection of resources nor a resource."""


def classes() -> list[type]:
    """Return the public classes of the SDK whose methods send requests."""
    for module in pkgutil.walk_packages(aiplatform.client.__path__, "aiplatform.client."):
        importlib.import_module(module.name)
    with Client("http://127.0.0.1:1") as client:
        groups = [type(value) for value in vars(client).values() if isinstance(value, Group)]
    resources: list[type] = []
    waiting: list[type] = [Resource]
    while waiting:
        found = waiting.pop()
        resources.append(found)
        waiting += found.__subclasses__()
    ours = [kind for kind in resources if kind.__module__.startswith("aiplatform.")]
    return [*PLAIN, *groups, *ours]


def methods_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield each public method and property of a class with its name.

    Methods that a resource inherits from :class:`Resource` count once, as methods of ``Resource``.
    Pydantic's methods don't count.
    """
    for name in dir(kind):
        if name.startswith("_") or (issubclass(kind, BaseModel) and name in dir(BaseModel)):
            continue
        if issubclass(kind, Resource) and kind is not Resource and name in dir(Resource):
            continue
        member = inspect.getattr_static(kind, name)
        if isinstance(member, property) or inspect.isfunction(member):
            yield name, member


def sdk_methods() -> set[str]:
    """Return every public method and property, such as ``Datasets.upload``."""
    return {f"{kind.__name__}.{name}" for kind in classes() for name, _ in methods_of(kind)}


@functools.cache
def command_tree(of: typer.Typer = app) -> Any:
    """Return the Click commands; cached, because building them takes a tenth of a second."""
    return build(of)


def commands() -> set[str]:
    """Return every command, such as ``datasets upload``."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "commands"):
            yield " ".join(path)
            return
        for name, inner in command.commands.items():
            yield from walk(inner, (*path, name))

    return set(walk(command_tree(), ()))


def command_in(arguments: tuple[str, ...]) -> str:
    """Return the name of the command called by the arguments of ``aiplatform``."""
    command: Any = command_tree()
    path: list[str] = []
    for word in arguments:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        command = inner
        path.append(word)
    return " ".join(path)


class Recorder:
    """A record of the SDK methods and commands that returned without an exception."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def note(self, name: str) -> None:
        """Record that a method or command has been called."""
        self.called.add(name)

    def _noting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a wrapper that records each call once ``function`` returns or yields a value."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def iterate(*args: Any, **options: Any) -> Iterator[Any]:
                for item in function(*args, **options):
                    self.note(name)
                    yield item

            return iterate

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            self.note(name)
            return result

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record calls to all public methods inside the ``with`` block."""
        replaced: list[tuple[type, str, Any]] = []
        for kind in classes():
            for name, member in methods_of(kind):
                label = f"{kind.__name__}.{name}"
                if isinstance(member, property):
                    assert member.fget is not None
                    noting: Any = property(self._noting(label, member.fget))
                else:
                    noting = self._noting(label, member)
                replaced.append((kind, name, vars(kind).get(name)))
                setattr(kind, name, noting)
        try:
            yield
        finally:
            for kind, name, before in reversed(replaced):
                if before is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, before)
