"""Shell completion for the names of projects, datasets, models and other resources.

To complete a command line, a shell calls ``aiplatform`` with ``_AIPLATFORM_COMPLETE`` set. The
program then prints completions or nothing: no errors, no questions, no long waits. The names come
from other users; a name that the shell could read as more than one word is quoted or left out.
"""

import inspect
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from aiplatform.client import Client

VARIABLE = "_AIPLATFORM_COMPLETE"
TIMEOUT_VARIABLE = "AIPLATFORM_COMPLETION_TIMEOUT"
TIMEOUT_SECONDS = 3.0
MAX_ITEMS = 500
"""Maximum number of list items that are searched for names, newest first."""

BREAKS = "@:="
"""Characters at which bash splits words, although arguments of this program contain them."""

ZSH_UNSAFE = re.compile(r"""[\\'"`$:]|\s\s|^\s|\s$""")
"""Characters that typer's script for zsh does not quote."""

SAFE = re.compile(r"[\w@+=:,./-]+")
"""Text that every shell reads as one word."""

Lookup = Callable[["Client", str], Iterable[str]]
"""A function that returns possible completions, given a client and the start of a word."""


class BashWord(NamedTuple):
    """The word that bash completes.

    Attributes:
        quote: the quotation mark at its start, or empty.
        before: the part of the word that bash keeps because it splits the word after it.
    """

    quote: str
    before: str


def _project_names(client: "Client", _: str) -> Iterator[str]:
    return (project.name for project in client.projects.list())


def _dataset_names(client: "Client", beginning: str) -> Iterator[str]:
    name, at, _ = beginning.partition("@")
    if not at:
        yield from (dataset.name for dataset in client.datasets.list())
        return
    yield from (f"{name}@{found.version}" for found in client.datasets.versions(name))
    yield from (f"{name}@{tag.name}" for tag in client.datasets.tags(name))


def _model_names(client: "Client", beginning: str) -> Iterator[str]:
    if beginning.startswith("task:"):
        yield from (f"task:{task.name}" for task in client.tasks.list(type="training"))
        return
    for model in client.models.list_all():
        if "@" not in beginning:
            yield model.name
            continue
        yield model.reference
        yield from (f"{model.name}@{alias}" for alias in model.aliases)


def _alias_names(client: "Client", _: str) -> Iterator[str]:
    yield from (alias.reference for alias in client.models.aliases())


def _task_names(client: "Client", beginning: str) -> Iterator[str]:
    by_uuid = bool(re.fullmatch("[0-9a-f][0-9a-f-]{2,}", beginning))
    for task in client.tasks.list():
        yield task.name
        if by_uuid:
            yield str(task.uuid)


def _assigned(lookup: Lookup) -> Lookup:
    """Return a lookup for words such as ``NAME=DATASET``."""

    def look(client: "Client", beginning: str) -> Iterator[str]:
        name, equals, value = beginning.partition("=")
        if equals:
            yield from (f"{name}={found}" for found in lookup(client, value))

    return look


LOOKUPS: Mapping[str, Lookup] = {
    "PROJECT": _project_names,
    "DATASET": _dataset_names,
    "DATASET@BEFORE": _dataset_names,
    "DATASET@VERSION": _dataset_names,
    "AFTER": _dataset_names,
    "NAME=DATASET[@VERSION]": _assigned(_dataset_names),
    "MODEL": _model_names,
    "NAME@ALIAS": _alias_names,
    "NAME=MODEL[@VERSION]": _assigned(_model_names),
    "TASK": _task_names,
    "RUN": lambda client, _: (found.name for found in client.runs.list()),
    "EXPERIMENT": lambda client, _: (found.name for found in client.experiments.list()),
    "DEPLOYMENT": lambda client, _: (found.name for found in client.deployments.list()),
    "SWEEP": lambda client, _: (found.name for found in client.sweeps.list()),
    "VIEW": lambda client, _: (found.name for found in client.views.list()),
    "SCHEDULE": lambda client, _: (found.name for found in client.schedules.list()),
    "WEBHOOK": lambda client, _: (found.name for found in client.webhooks.list()),
    "WORKER": lambda client, _: (found.name for found in client.workers.list()),
    "ROLE": lambda client, _: (found.name for found in client.roles.list()),
}
"""Lookups for values, by the metavar that the help shows for a parameter."""

MEANINGS: Mapping[str, str] = {
    "project": "PROJECT",
    "dataset": "DATASET",
    "eval_dataset": "DATASET",
    "base_model": "MODEL",
    "experiment": "EXPERIMENT",
    "role": "ROLE",
}
"""Keys in :data:`LOOKUPS`, by the names of parameters without a metavar."""


def is_completing() -> bool:
    """Return True if a shell requests completions, instead of a user running a command."""
    return os.environ.get(VARIABLE, "").startswith("complete_")


def complete(app: typer.Typer, run: Callable[[], int]) -> int:
    """Answer a shell that is completing a command line, and print nothing else.

    Args:
        app: the commands.
        run: runs the command line; typer reads the shell's request from the environment.

    Returns:
        The exit code, which tells fish whether there are completions.
    """
    out = io.StringIO()
    code: object = 1
    word = None
    with redirect_stdout(out), redirect_stderr(io.StringIO()), suppress(Exception):
        if _shell() == "bash":
            word = join_bash_words()
        attach(app)
        try:
            code = run()
        except SystemExit as end:
            code = end.code
    text = out.getvalue()
    if word is not None:
        text = "".join(f"{line}\n" for line in _for_bash(filter(None, text.split("\n")), word))
    with suppress(OSError):
        typer.echo(text, nl=False)
    return code if isinstance(code, int) else 0


def attach(app: typer.Typer) -> None:
    """Add completion from :data:`LOOKUPS` to the parameters of all commands."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            attach(group.typer_instance)
    for command in app.registered_commands:
        if command.callback is None:
            continue
        for name, parameter in inspect.signature(command.callback).parameters.items():
            for option in getattr(parameter.annotation, "__metadata__", ()):
                lookup = lookup_of(name, getattr(option, "metavar", None))
                if lookup is not None:
                    option.autocompletion = completer(lookup)


def lookup_of(name: str, metavar: str | None) -> Lookup | None:
    """Return the lookup for the values of a parameter, or None."""
    if name == "project" and metavar in (None, "NAME"):
        return _project_names
    meant = (metavar or MEANINGS.get(name, "")).strip(".…")
    return LOOKUPS.get(meant) or LOOKUPS.get(meant.strip("[]"))


def completer(lookup: Lookup) -> Callable[[typer.Context, str], list[str]]:
    """Return the function that typer calls to complete a word."""

    def words(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def look() -> None:
            from aiplatform.cli.session import connect

            with suppress(Exception):
                url = ctx.find_root().params.get("url")
                if url:
                    os.environ["AIPLATFORM_URL"] = url
                client = connect(ctx.params.get("project"))
                # Add names one by one, so that those found before the timeout are used.
                found.extend(
                    name
                    for name in islice(lookup(client, incomplete), MAX_ITEMS)
                    if name.startswith(incomplete) and is_offered(name, _shell())
                )

        # Use a thread, because neither slow name resolution nor a slow platform respects the
        # request timeout. The thread ends with the process.
        looking = Thread(target=look, daemon=True)
        looking.start()
        looking.join(_timeout())
        return list(dict.fromkeys(found))

    return words


def is_offered(name: str, shell: str) -> bool:
    """Return True if a name can safely be passed to a shell as a single word."""
    if not name.isprintable() or name.startswith("-"):
        return False
    match shell:
        case "bash" | "fish":
            return True
        case "zsh":
            return not ZSH_UNSAFE.search(name)
    return bool(SAFE.fullmatch(name))


def join_bash_words() -> BashWord:
    """Join the words that bash has split, such as ``faq@v1``, and return the current one.

    This changes the environment that typer reads. Bash replaces the text after its last word break,
    including a final ``@``.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD", len(words) - 1))
    joined: list[str] = []
    open_end = False
    before = ""
    for word in words[: place + 1]:
        is_break = bool(word) and not word.strip(BREAKS)
        if joined[1:] and is_break:
            joined[-1] += word
            before = joined[-1].removesuffix("@")
        elif joined[1:] and open_end:
            joined[-1] += word
        else:
            joined.append(word)
            before = ""
        open_end = is_break
    current = joined[-1] if joined else ""
    if len(words) <= place:
        joined.append("")
        current = before = ""
    quote = current[:1] if current[:1] in ("'", '"') else ""
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    if before.startswith("--"):
        before = before.partition("=")[2]
    return BashWord(quote, before.replace("\\", ""))


def _for_bash(names: Iterable[str], word: BashWord) -> Iterator[str]:
    """Yield completions as bash inserts them: quoted, and without the part that bash keeps."""
    for name in names:
        rest = name.removeprefix(word.before)
        if word.quote:
            if not re.search(r"""['"`$\\!]""", rest):
                yield rest
        else:
            yield re.sub(r"([^\w@+=:,./-])", r"\\\1", rest)


def _shell() -> str:
    return os.environ.get(VARIABLE, "").partition("_")[2]


def _timeout() -> float:
    try:
        return float(os.environ[TIMEOUT_VARIABLE])
    except (KeyError, ValueError):
        return TIMEOUT_SECONDS
