"""``aiplatform projects``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect

app = group("Projects, and who may do what in them.")

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="Name or uuid.")]


@app.command()
def ls(limit: Limit = 100, json: Json = False) -> None:
    """List the projects that you may see."""
    print_table(
        connect().projects.list().take(limit),
        {
            "NAME": lambda p: p.name,
            "STATUS": lambda p: p.status,
            "OWNER": lambda p: p.owner.username if p.owner else "",
            "CREATED": lambda p: age_text(p.created_at),
            "UUID": lambda p: p.uuid,
        },
        as_json=json,
        empty="You have no project yet. Create one: aiplatform projects create NAME",
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument()],
    description: Annotated[str | None, typer.Option("--description", "-d")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    json: Json = False,
) -> None:
    """Create a project; you own it."""
    project = connect().projects.create(name, description=description, tags=tag or ())
    print_record(project, as_json=json)


@app.command()
def show(project: Name, json: Json = False) -> None:
    """Show a project."""
    print_record(connect().projects.get(project), as_json=json)


@app.command()
def update(
    project: Name,
    name: Annotated[str | None, typer.Option()] = None,
    description: Annotated[str | None, typer.Option("--description", "-d")] = None,
    archive: Annotated[
        bool | None, typer.Option("--archive/--activate", help="Archived means read-only.")
    ] = None,
    json: Json = False,
) -> None:
    """Change a project."""
    changes = {"name": name, "description": description}
    if archive is not None:
        changes["status"] = "archived" if archive else "active"
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what to change")
    print_record(connect().projects.get(project).update(**given), as_json=json)


@app.command()
def rm(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Delete a project and all that belongs to it."""
    client = connect()
    found = client.projects.get(project)
    confirm(f"Delete the project {found.name} with its data and models?", yes=yes)
    found.delete()
    _done(found.uuid, f"Deleted the project {found.name}.", json=json)


@app.command()
def members(project: Name, json: Json = False) -> None:
    """List who may do what in a project."""
    print_table(
        connect().projects.members(project),
        {"USER": lambda m: m.user.username, "ROLE": lambda m: m.role},
        as_json=json,
        empty="Nobody but the owner is in this project.",
    )


@app.command()
def grant(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    role: Annotated[str, typer.Argument(help="A role, such as developer or viewer.")],
    json: Json = False,
) -> None:
    """Give a person a role in a project, in place of an earlier one."""
    connect().projects.set_member(project, user, role)
    _done(user, f"{user} has the role {role} in {project}.", json=json)


@app.command()
def revoke(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    json: Json = False,
) -> None:
    """Take a person's role in a project away."""
    connect().projects.remove_member(project, user)
    _done(user, f"{user} is no longer in {project}.", json=json)


def _done(subject: object, text: str, *, json: bool) -> None:
    if json:
        print_json({"uuid": str(subject), "done": True})
    else:
        say(text)
