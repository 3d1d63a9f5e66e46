"""Options that many commands share, with the same names and help texts."""

from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; errors as JSON on stderr.")
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        envvar="AIPLATFORM_PROJECT",
        show_envvar=True,
        metavar="NAME",
        help="Project: name or uuid. Not needed if you have only one.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many.")]
TaskArgument = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="Task: name, uuid, or at least the first 6 characters of the uuid."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return as soon as the task is queued.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any other field of the spec, such as resources.cpus=2. Can be repeated.",
    ),
]
Priority = Annotated[
    int | None,
    typer.Option("--priority", min=1, max=10, help="Priority, 1 to 10; higher goes first."),
]

ModelOrTask = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="NAME (the newest version), NAME@VERSION, NAME@ALIAS or uuid of a model; or "
        "task:TASK for the model that this training makes.",
    ),
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="TASK",
        help="Start after this task has succeeded; fail if it fails. Can be repeated.",
    ),
]


def group(help_text: str) -> typer.Typer:
    """Create a group of commands, such as ``aiplatform tasks``."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich")


OverrideGate = Annotated[
    str | None,
    typer.Option(
        "--override-gate",
        metavar="REASON",
        help="Train even if the data fails the quality gate, for this reason. The "
        "audit trail keeps it.",
    ),
]
