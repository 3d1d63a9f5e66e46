"""Options that many commands share, so that they are called and explained alike."""

from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs; errors too, on stderr.")
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        envvar="AIPLATFORM_PROJECT",
        show_envvar=True,
        metavar="NAME",
        help="Name or uuid; needless while you have only one.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most so many.")]
TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="Uuid, its first 6 characters or more, or name.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Detach = Annotated[bool, typer.Option("--detach", help="Queue it, and don't watch.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other field of the spec, such as resources.cpus=2; repeat.",
    ),
]
Priority = Annotated[
    int | None, typer.Option("--priority", min=1, max=10, help="1 to 10; higher goes first.")
]

ModelOrTask = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Name (its newest version), NAME@VERSION, or uuid; or task:TASK, of a training.",
    ),
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="TASK",
        help="Begin when this task has succeeded; fail when it fails. Several are waited for.",
    ),
]


def group(help_text: str) -> typer.Typer:
    """A group of commands, such as ``aiplatform tasks``."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich")


OverrideGate = Annotated[
    str | None,
    typer.Option(
        "--override-gate",
        metavar="REASON",
        help="Train although the data fails the quality gate; the audit keeps the reason.",
    ),
]
