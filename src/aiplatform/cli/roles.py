"""The commands ``aiplatform roles``."""

from typing import Annotated, Any

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import current, tr

app = group("Roles and their permissions.")

Name = Annotated[str, typer.Argument(metavar="ROLE", help="Role: name or uuid.")]
Description = Annotated[str | None, typer.Option("--description", "-d", help="Description.")]
Permissions = Annotated[
    list[str] | None, typer.Argument(help="Permission, such as datasets:read, datasets:* or *.")
]


@app.command()
def ls(limit: Limit = 100, json: Json = False) -> None:
    """List the roles."""
    print_table(
        connect().roles.list().take(limit),
        {
            "NAME": lambda r: r.name,
            "SYSTEM": lambda r: "yes" if r.is_system else "",
            "PERMISSIONS": lambda r: " ".join(r.permissions),
            "DESCRIPTION": lambda r: r.description or "",
        },
        as_json=json,
        empty=tr("There are no roles."),
    )


@app.command()
def permissions(json: Json = False) -> None:
    """List all permissions that a role or an API key may have."""
    print_table(
        connect().roles.permissions(),
        {
            "PERMISSION": lambda p: p.permission,
            "IN PROJECTS": lambda p: "yes" if p.reaches_projects else "",
            "WHAT IT ALLOWS": lambda p: p.description_zh if current() == "zh" else p.description,
        },
        as_json=json,
        empty=tr("There are no permissions."),
    )


@app.command()
def show(role: Name, json: Json = False) -> None:
    """Show a role and where it is used."""
    print_record(connect().roles.get(role), as_json=json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the role.")],
    permission: Permissions = None,
    description: Description = None,
    json: Json = False,
) -> None:
    """Create a role with the given permissions."""
    made = connect().roles.create(name, permission or [], description=description)
    print_record(made, as_json=json)


@app.command("set")
def set_(
    role: Name,
    permission: Annotated[
        list[str] | None,
        typer.Argument(help="New permissions of the role. They replace the current ones."),
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option(help="Permission to add. Can be repeated.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="Permission to remove. Can be repeated.")
    ] = None,
    description: Description = None,
    json: Json = False,
) -> None:
    """Change the permissions of a role. The change applies immediately to all users who have it."""
    found = connect().roles.get(role)
    changes: dict[str, Any] = {}
    if description is not None:
        changes["description"] = description
    if permission or add or remove:
        held = set(permission) if permission else set(found.permissions)
        changes["permissions"] = sorted((held | set(add or ())) - set(remove or ()))
    if not changes:
        raise typer.BadParameter(tr("give at least one option that changes something"))
    print_record(found.update(**changes), as_json=json)


@app.command("delete", hidden=True)
@app.command()
def rm(role: Name, yes: Yes = False, json: Json = False) -> None:
    """Delete a role that is not in use."""
    client = connect()
    confirm(tr("Delete the role {role}?", role=role), yes=yes)
    client.roles.delete(role)
    if json:
        print_json({"role": role, "done": True})
    else:
        say(tr("Deleted the role {role}.", role=role))
