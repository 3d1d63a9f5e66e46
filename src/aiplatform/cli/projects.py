"""The commands ``aiplatform projects``."""

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

app = group("Projects, their members, roles and quotas.")

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="Project: name or uuid.")]


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
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="Description.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag. Can be repeated.")] = None,
    json: Json = False,
) -> None:
    """Create a project. You will own it."""
    project = connect().projects.create(name, description=description, tags=tag or ())
    print_record(project, as_json=json)


@app.command()
def retention(project: Name, json: Json = False) -> None:
    """Show what a project keeps from ended tasks, and what the next cleanup will free."""
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
        kept=_days_text(found.checkpoint_days),
    )

    def freed(tasks: int, size: str) -> str:
        return tr("{count} tasks, {size}", count=tasks, size=size)

    print_rows(
        ["WHAT", "KEPT", "NEXT CLEANUP FREES"],
        [
            [tr("logs"), _days_text(found.log_days), freed(frees["log_tasks"], logs)],
            [
                tr("telemetry"),
                _days_text(found.telemetry_days),
                freed(frees["telemetry_tasks"], telemetry),
            ],
            [tr("checkpoints"), counts, f"{frees['checkpoints']}, {states}"],
        ],
    )


def _days_text(days: int | None) -> str:
    return tr("permanently") if days is None else tr("{count} days", count=days)


@app.command()
def use(
    project: Annotated[
        str | None, typer.Argument(metavar="[PROJECT]", help="Project: name or uuid.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Forget the chosen project.")] = False,
    json: Json = False,
) -> None:
    """Choose the project that later commands will use on this server.

    `--project` and AIPLATFORM_PROJECT override it. `projects show` shows it.
    """
    if (project is None) != none:
        raise typer.BadParameter(
            tr("name a project, or give --none to forget the one that was chosen")
        )
    from aiplatform.client.credentials import CredentialStore

    client = connect()
    if project is None:
        CredentialStore().use_project(client.url, None)
        _done(client.url, tr("No project is chosen now."), json=json)
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
        typer.Argument(metavar="[PROJECT]", help="Name or uuid. By default the project in use."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a project; by default, the one that commands use."""
    projects = connect().projects
    print_record(projects.get(projects.resolve(project)), as_json=json)


@app.command()
def update(
    project: Name,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="Description.")
    ] = None,
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
        raise typer.BadParameter(tr("give at least one option that changes something"))
    print_record(connect().projects.get(project).update(**given), as_json=json)


@app.command()
def rm(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Delete a project and everything in it. It can be restored from the bin for a while."""
    client = connect()
    found = client.projects.get(project)
    confirm(tr("Delete the project {name} with its data and models?", name=found.name), yes=yes)
    print_deleted(
        found.uuid, tr("the project {name}", name=found.name), found.delete(), as_json=json
    )


@app.command()
def archive(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Archive a project: it becomes read-only, its tasks are cancelled, its deployments stop."""
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
    name: Annotated[str | None, typer.Option(help="Restore it under this name.")] = None,
    json: Json = False,
) -> None:
    """Restore a deleted project; `aiplatform bin ls --projects` lists them."""
    print_record(connect().bin.restore_project(project, name=name), as_json=json)


@app.command()
def usage(project: Name, json: Json = False) -> None:
    """Show what a project uses, and its quotas."""
    _print_usage(connect().projects.usage(project), json=json)


@app.command()
def quota(
    project: Name,
    storage: Annotated[int | None, typer.Option(min=0, help="Maximum storage in bytes.")] = None,
    tasks: Annotated[
        int | None, typer.Option(min=0, help="Maximum number of running tasks.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="Maximum number of GPUs in use.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=5, max=10, help="Highest priority that a task may have.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Reset all quotas to the platform's defaults.")
    ] = False,
    json: Json = False,
) -> None:
    """Set the quotas of a project; for administrators.

    Quotas that you leave out get the platform's defaults. `aiplatform projects usage` shows them.
    """
    given = {
        "storage_bytes": storage,
        "concurrent_tasks": tasks,
        "gpus": gpus,
        "max_priority": priority,
    }
    if default == any(limit is not None for limit in given.values()):
        raise typer.BadParameter(
            tr("give the limits to set, or --default for those of the platform")
        )
    _print_usage(connect().projects.set_quota(project, **given), json=json)


@app.command()
def members(project: Name, json: Json = False) -> None:
    """List the members of a project and their roles."""
    print_table(
        connect().projects.members(project),
        {"USER": lambda m: m.user.username, "ROLE": lambda m: m.role},
        as_json=json,
        empty=tr("The owner is the only member of this project."),
    )


@app.command()
def grant(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    role: Annotated[str, typer.Argument(help="A role, such as developer or viewer.")],
    json: Json = False,
) -> None:
    """Give a user a role in a project, replacing an earlier one.

    A user who is not a member yet gets an invitation, and joins with `aiplatform projects accept`.
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
        str | None,
        typer.Argument(help="List the invitations of this project. By default those to you."),
    ] = None,
    json: Json = False,
) -> None:
    """List the invitations that you have received, or those of a project."""
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
        empty=tr("There are no open invitations."),
    )


@app.command()
def accept(
    invitation: Annotated[str, typer.Argument(help="The project's name or the invitation's uuid.")],
    json: Json = False,
) -> None:
    """Accept an invitation to a project."""
    connect().projects.accept(invitation)
    _done(invitation, tr("You have joined the project."), json=json)


@app.command()
def decline(
    invitation: Annotated[str, typer.Argument(help="The project's name or the invitation's uuid.")],
    json: Json = False,
) -> None:
    """Decline an invitation to a project. The inviter is notified."""
    connect().projects.decline(invitation)
    _done(invitation, tr("You have declined the invitation."), json=json)


@app.command()
def revoke(
    project: Name,
    user: Annotated[str, typer.Argument(help="Username or uuid.")],
    json: Json = False,
) -> None:
    """Remove a user's role in a project, or withdraw an invitation."""
    connect().projects.remove_member(project, user)
    _done(user, tr("{user} is no longer in {project}.", user=user, project=project), json=json)


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


Person = Annotated[str, typer.Argument(metavar="USER", help="Username or uuid.")]
OptionalPerson = Annotated[
    str | None, typer.Argument(metavar="USER", help="Username or uuid; by default you.")
]


@app.command()
def leave(project: Name, yes: Yes = False, json: Json = False) -> None:
    """Leave a project. You lose your role in it."""
    client = connect()
    found = client.projects.get(project)
    confirm(tr("Leave the project {name}?", name=found.name), yes=yes)
    client.projects.leave(found)
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("You left {name}.", name=found.name))


@app.command()
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


@app.command()
def access(project: Name, user: OptionalPerson = None, json: Json = False) -> None:
    """Explain which permissions a user has in a project, and why; without a user, your own."""
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
