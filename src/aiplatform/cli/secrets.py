"""The commands ``aiplatform secrets``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

app = group("Secrets: tokens and keys that tasks use by name. Nobody can read them back.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.")]
OfProject = Annotated[
    str | None,
    # AIPLATFORM_PROJECT is ignored here: the environment should not decide who owns a secret.
    typer.Option(
        "--project", "-p", metavar="NAME", help="Secrets of this project, instead of your own."
    ),
]


@app.command()
def ls(project: OfProject = None, limit: Limit = 100, json: Json = False) -> None:
    """List secrets by name, and when they were last used."""
    print_table(
        connect().secrets.list(project=project).take(limit),
        {
            "NAME": lambda s: s.name,
            "KIND": lambda s: s.kind,
            "STORED": lambda s: age_text(s.updated_at),
            "USED": lambda s: age_text(s.last_used_at) if s.last_used_at else "never",
        },
        as_json=json,
        empty=tr("There are no secrets. Store one: aiplatform secrets set NAME"),
    )


@app.command("set")
def set_secret(
    name: Name,
    kind: Annotated[
        str, typer.Option(help="Kind of the secret, shown in lists: generic, hub_token or s3.")
    ] = "generic",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="Read the value from this file, without the line break at its end.",
        ),
    ] = None,
    project: OfProject = None,
    json: Json = False,
) -> None:
    """Store a secret. Its value is asked for, or read from stdin or a file."""
    if file is not None:
        value = file.read_text("utf-8")
    elif sys.stdin.isatty():
        value = typer.prompt(tr("Value of {name}", name=name), hide_input=True, err=True)
    else:
        value = sys.stdin.read()
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise CommandError(tr("the value is empty"), exit_code=ExitCode.USAGE)
    stored = connect().secrets.set(name, value, kind=kind, project=project)
    print_record(stored, as_json=json)


@app.command()
def rm(name: Name, project: OfProject = None, json: Json = False) -> None:
    """Delete a secret. Waiting tasks that name it will fail."""
    connect().secrets.remove(name, project=project)
    if json:
        print_json({"removed": name})
    else:
        say(tr("Removed {name}.", name=name))
