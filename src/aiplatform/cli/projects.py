"""``aiplatform projects``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import (
    age_text,
    print_deleted,
    print_json,
    print_record,
    print_rows,
    print_table,
    say,
    size_text,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Usage

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
        empty=tr("You have no project yet. Create one: aiplatform projects create NAME"),
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
def retention(project: Name, json: Json = False) -> None:
    """Show what a project keeps of ended tasks, and what the next sweep frees."""
    found = connect().projects.retention(project)
    if json:
        print_json(found)
        return
    frees = found.frees
    logs, telemetry, states = (
        size_text(frees[f"{kind}_bytes"]) for kind in ("log", "telemetry", "checkpoint")
    )
    counts = tr(
        "last {last}, best {best}; {kept}",
        last=found.checkpoints_last,
        best=found.checkpoints_best,
        kept=_kept(found.checkpoint_days),
    )

    def freed(tasks: int, size: str) -> str:
        return tr("{count} tasks, {size}", count=tasks, size=size)

    print_rows(
        ["WHAT", "KEPT", "NEXT SWEEP FREES"],
        [
            [tr("logs"), _kept(found.log_days), freed(frees["log_tasks"], logs)],
            [
                tr("telemetry"),
                _kept(found.telemetry_days),
                freed(frees["telemetry_tasks"], telemetry),
            ],
            [tr("checkpoints"), counts, f"{frees['checkpoints']}, {states}"],
        ],
    )


def _kept(days: int | None) -> str:
    return tr("for good") if days is None else tr("{count} days", count=days)


@app.command()
def use(
    project: Annotated[
        str | None, typer.Argument(metavar="[PROJECT]", help="Name or uuid.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Forget the one that was chosen.")] = False,
    json: Json = False,
) -> None:
    """Remember a project for the commands that follow, at this server.

    `--project` and AIPLATFORM_PROJECT go before it. `projects show` shows it.
    """
    if (project is None) != none:
        raise typer.BadParameter(
            tr("name a project, or give --none to forget the one that was chosen")
        )
    from aiplatform.client.credentials import CredentialStore

    client = connect()
    if project is None:
        CredentialStore().use_project(client.url, None)
        _done(client.url, tr("No project is chosen any more."), json=json)
        return
    found = client.projects.get(project)
    CredentialStore().use_project(client.url, (str(found.uuid), found.name))
    _done(
        found.uuid,
        tr("Commands at {url} now use the project {name}.", url=client.url, name=found.name),
        json=json,
    )


@app.command()
def show(
    project: Annotated[
        str | None,
        typer.Argument(metavar="[PROJECT]", help="Name or uuid; else the one that is in use."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a project: by default the one that commands use."""
    projects = connect().projects
    print_record(projects.get(projects.resolve(project)), as_json=json)


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
        raise typer.BadParameter(tr("say what to change"))
    print_record(connect().projects.get(project).update(**given), as_json=json)


@app.command()
def rm(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Delete a project and all that belongs to it. The bin keeps it for a while."""
    client = connect()
    found = client.projects.get(project)
    confirm(tr("Delete the project {name} with its data and models?", name=found.name), yes=yes)
    print_deleted(
        found.uuid, tr("the project {name}", name=found.name), found.delete(), as_json=json
    )


@app.command()
def archive(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Make a project read-only; its tasks are cancelled and its deployments stop."""
    found = connect().projects.get(project)
    confirm(tr("Archive the project {name}? Its tasks are cancelled.", name=found.name), yes=yes)
    print_record(found.archive(), as_json=json)


@app.command()
def unarchive(project: Name, json: Json = False) -> None:
    """Make an archived project writable again."""
    print_record(connect().projects.unarchive(project), as_json=json)


@app.command()
def restore(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Its former name, or uuid.")],
    name: Annotated[str | None, typer.Option(help="Another name than it had.")] = None,
    json: Json = False,
) -> None:
    """Bring a deleted project back; `aiplatform bin ls --projects` lists them."""
    print_record(connect().bin.restore_project(project, name=name), as_json=json)


@app.command()
def usage(project: Name, json: Json = False) -> None:
    """Show what a project uses of its quotas."""
    _print_usage(connect().projects.usage(project), json=json)


@app.command()
def quota(
    project: Name,
    storage: Annotated[int | None, typer.Option(min=0, help="Bytes.")] = None,
    tasks: Annotated[int | None, typer.Option(min=0, help="Tasks that run at once.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs held at once.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=5, max=10, help="Highest priority of a task.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="All of them back to the platform's defaults.")
    ] = False,
    json: Json = False,
) -> None:
    """Set a project's quotas, for administrators; what is left out is the platform's default.

    `aiplatform projects usage` shows them.
    """
    given = {
        "storage_bytes": storage,
        "concurrent_tasks": tasks,
        "gpus": gpus,
        "max_priority": priority,
    }
    if default == any(limit is not None for limit in given.values()):
        raise typer.BadParameter(
            tr("say which limits to set, or --default for those of the platform")
        )
    _print_usage(connect().projects.set_quota(project, **given), json=json)


@app.command()
def members(project: Name, json: Json = False) -> None:
    """List who may do what in a project."""
    print_table(
        connect().projects.members(project),
        {"USER": lambda m: m.user.username, "ROLE": lambda m: m.role},
        as_json=json,
        empty=tr("Nobody but the owner is in this project."),
    )


@app.command()
def grant(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    role: Annotated[str, typer.Argument(help="A role, such as developer or viewer.")],
    json: Json = False,
) -> None:
    """Give a person a role in a project, in place of an earlier one.

    Whoever is no member yet is invited, and joins with `aiplatform projects accept`.
    """
    invited = connect().projects.set_member(project, user, role)
    if invited is None:
        _done(
            user,
            tr("{user} has the role {role} in {project}.", user=user, role=role, project=project),
            json=json,
        )
    else:
        _done(
            user,
            tr(
                "{user} is invited into {project} as {role}, and joins by accepting: aiplatform "
                "projects accept {uuid:quoted}",
                user=user,
                project=project,
                role=role,
                uuid=invited.uuid,
            ),
            json=json,
        )


@app.command()
def invitations(
    project: Annotated[
        str | None, typer.Argument(help="A project whose invitations to list; by default yours.")
    ] = None,
    json: Json = False,
) -> None:
    """List your invitations into projects, or those that a project has made."""
    print_table(
        connect().projects.invitations(project),
        {
            "PROJECT": lambda i: i.project_name,
            "USER": lambda i: i.username,
            "ROLE": lambda i: i.role,
            "INVITED BY": lambda i: i.invited_by.username if i.invited_by else "-",
            "UUID": lambda i: str(i.uuid),
        },
        as_json=json,
        empty=tr("No invitation is open."),
    )


@app.command()
def accept(
    invitation: Annotated[str, typer.Argument(help="The project's name or the invitation's uuid.")],
    json: Json = False,
) -> None:
    """Join a project that invites you."""
    connect().projects.accept(invitation)
    _done(invitation, tr("You have joined the project."), json=json)


@app.command()
def decline(
    invitation: Annotated[str, typer.Argument(help="The project's name or the invitation's uuid.")],
    json: Json = False,
) -> None:
    """Decline to join a project; whoever invited you is told."""
    connect().projects.decline(invitation)
    _done(invitation, tr("You have declined the invitation."), json=json)


@app.command()
def revoke(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    json: Json = False,
) -> None:
    """Take a person's role in a project away, or withdraw an invitation."""
    connect().projects.remove_member(project, user)
    _done(user, tr("{user} is not in {project} any more.", user=user, project=project), json=json)


def _print_usage(usage: "Usage", *, json: bool) -> None:
    if json:
        print_json(usage)
        return
    stored = usage.storage

    def most(limit: int | None, text: Callable[[int], str] = str) -> str:
        return tr("no limit") if limit is None else text(limit)

    rows: list[tuple[str, str, str]] = [
        (tr("storage"), size_text(stored.total), most(stored.limit, size_text)),
        ("  " + tr("datasets"), size_text(stored.datasets), ""),
        ("  " + tr("models"), size_text(stored.models), ""),
        ("  " + tr("checkpoints"), size_text(stored.checkpoints), ""),
        ("  " + tr("code and artifacts"), size_text(stored.artifacts), ""),
        ("  " + tr("bin"), size_text(stored.bin), ""),
        (tr("running tasks"), str(usage.tasks.used), most(usage.tasks.limit)),
        (tr("GPUs"), str(usage.gpus.used), most(usage.gpus.limit)),
        (tr("priority of a task"), "", str(usage.max_priority)),
    ]
    print_rows(["WHAT", "USED", "LIMIT"], rows)


def _done(subject: object, text: str, *, json: bool) -> None:
    if json:
        print_json({"uuid": str(subject), "done": True})
    else:
        say(text)
