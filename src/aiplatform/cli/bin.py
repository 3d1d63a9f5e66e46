"""The commands ``aiplatform bin``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say, size_text
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

app = group("The bin: restore deleted objects, or delete them permanently.")

Item = Annotated[
    str, typer.Argument(metavar="ITEM", help="NAME, NAME@VERSION or uuid of the deleted object.")
]
Projects = Annotated[
    bool,
    typer.Option(
        "--projects", help="Deleted projects, instead of deleted datasets and models of a project."
    ),
]
NewName = Annotated[str | None, typer.Option("--name", help="Restore it under this name.")]


@app.command()
def ls(
    project: Project = None, projects: Projects = False, limit: Limit = 100, json: Json = False
) -> None:
    """List the resources that can be restored, and until when."""
    client = connect(project)
    items = client.bin.projects() if projects else client.bin.list()
    print_table(
        items.take(limit),
        {
            "KIND": lambda i: i.kind,
            "NAME": lambda i: i.name if i.version is None else f"{i.name}@{i.version}",
            "SIZE": lambda i: size_text(i.bytes),
            "DELETED": lambda i: age_text(i.deleted_at),
            "BY": lambda i: i.deleted_by.username if i.deleted_by else "",
            "PURGED AFTER": lambda i: i.purge_after.strftime("%Y-%m-%d %H:%M %Z"),
            "UUID": lambda i: i.uuid,
        },
        as_json=json,
        empty=tr("The bin is empty."),
    )


@app.command()
def restore(
    item: Item,
    project: Project = None,
    projects: Projects = False,
    name: NewName = None,
    json: Json = False,
) -> None:
    """Restore a dataset, a model or a project."""
    client = connect(project)
    if projects:
        restored = client.bin.restore_project(item, name=name)
    else:
        restored = client.bin.restore(item, name=name)
    print_record(restored, as_json=json)


@app.command()
def purge(
    item: Item,
    project: Project = None,
    projects: Projects = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Permanently delete an object in the bin."""
    client = connect(project)
    confirm(tr("Permanently delete {item}? It can't be restored afterwards.", item=item), yes=yes)
    if projects:
        client.bin.purge_project(item)
    else:
        client.bin.purge(item)
    if json:
        print_json({"item": item, "done": True})
    else:
        say(tr("Permanently deleted {item}.", item=item))
