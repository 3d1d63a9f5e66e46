"""The commands ``aiplatform views``."""

import json as json_text
from typing import Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

app = group("Saved views: filters, order and columns of lists of the web interface, under a name.")

ViewArgument = Annotated[str, typer.Argument(metavar="VIEW", help="View: name or uuid.")]
PAGES = "datasets, experiments, models, runs or tasks"


@app.command()
def ls(
    page: Annotated[str | None, typer.Option(help=f"Only those of this list: {PAGES}.")] = None,
    project: Project = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List your views of a project, and those that others have shared."""
    print_table(
        connect(project).views.list(page=page).take(limit),
        {
            "NAME": lambda v: v.name,
            "PAGE": lambda v: v.page,
            "SHARED": lambda v: tr("yes") if v.shared else tr("no"),
            "USER": lambda v: v.user.username,
            "CHANGED": lambda v: age_text(v.updated_at),
        },
        as_json=json,
        empty=tr("There is no saved view in this project."),
    )


@app.command()
def save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the view.")],
    page: Annotated[str, typer.Option(help=f"The list: {PAGES}.")],
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A query parameter of the page's address, such as status=failed; the value is "
            "JSON or text. Can be repeated.",
        ),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share/--private", help="Show the view to everyone in the project.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Save a view, replacing your view of this name."""
    client = connect(project)
    wanted = dict(_parameter(text) for text in state or ())
    me = client.me().uuid
    mine = [v for v in client.views.list(page=page) if v.name == name and v.user.uuid == me]
    if mine:
        made = mine[0].update(state=wanted, shared=share)
    else:
        made = client.views.create(name, page, wanted, shared=share)
    print_record(made, as_json=json)


def _parameter(text: str) -> tuple[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise CommandError(
            tr("--set {assignment}: write it as key=value", assignment=text),
            exit_code=ExitCode.USAGE,
        )
    try:
        return key, json_text.loads(value)
    except ValueError:
        return key, value


@app.command()
def rm(view: ViewArgument, project: Project = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a view."""
    found = connect(project).views.get(view)
    confirm(tr("Delete the view {name}?", name=found.name), yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Deleted the view {name}.", name=found.name))
