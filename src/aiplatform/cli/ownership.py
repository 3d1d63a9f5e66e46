"""The commands ``aiplatform projects leave``, ``transfer`` and ``access``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Yes
from aiplatform.cli.output import print_json, print_record, print_rows, say
from aiplatform.cli.projects import Name
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

Person = Annotated[str, typer.Argument(metavar="USER", help="Username or uuid.")]


def leave(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Give up your own role in a project."""
    client = connect()
    found = client.projects.get(project)
    confirm(tr("Leave the project {name}?", name=found.name), yes=yes)
    client.projects.leave(found)
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("You left {name}.", name=found.name))


def transfer(
    project: Name,
    user: Person,
    keep: Annotated[
        str | None,
        typer.Option(help="Role that the previous owner keeps: viewer, developer or admin."),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make another user the owner of a project."""
    client = connect()
    found = client.projects.get(project)
    confirm(tr("Make {user} the owner of {name}?", user=user, name=found.name), yes=yes)
    print_record(client.projects.transfer(found, user, keep_role=keep), as_json=json)


def access(project: Name, user: Person, json: Json = False) -> None:
    """Explain which permissions a user has in a project, and why."""
    found = connect().projects.access(project, user)
    if json:
        print_json(found)
        return
    if not found.is_active:
        say(tr("{username} is deactivated and has no permissions.", username=found.user.username))
    elif not found.permissions:
        say(tr("{username} has no permission in this project.", username=found.user.username))
    if found.permissions:
        print_rows(
            ["PERMISSION", "GRANTED BY"],
            [
                [held.permission, ", ".join(f"{r.source}: {r.role}" for r in held.because)]
                for held in found.permissions
            ],
        )
    for key in found.keys or []:
        say(
            tr(
                "The permissions of the key {name} ({prefix}…) here: {permissions}",
                name=key.name,
                prefix=key.prefix,
                permissions=" ".join(key.permissions) or tr("nothing"),
            )
        )
