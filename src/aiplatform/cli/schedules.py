"""The commands ``aiplatform schedules``."""

from pathlib import Path
from typing import Annotated

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Limit, Priority, Project, Set, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign, read_spec
from aiplatform.language import tr

app = group("Schedules: tasks and runs that start at regular times.")

ScheduleArgument = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Schedule: name or uuid.")
]


@app.command()
def ls(project: Project = None, limit: Limit = 50, json: Json = False) -> None:
    """List the schedules of a project."""
    print_table(
        connect(project).schedules.list().take(limit),
        {
            "NAME": lambda s: s.name,
            "CRON": lambda s: s.cron,
            "ZONE": lambda s: s.timezone,
            "NEXT (UTC)": lambda s: f"{s.next_at:%Y-%m-%d %H:%M}" if s.next_at else tr("off"),
            "LAST": lambda s: s.last.outcome if s.last else "",
            "OWNER": lambda s: (
                (s.owner.username if s.owner else "")
                + ("" if s.owner_is_active else tr(" (deactivated)"))
            ),
        },
        as_json=json,
        empty=tr("There is no schedule in this project."),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the schedule.")],
    cron: Annotated[
        str,
        typer.Argument(
            metavar="CRON", help="Minute, hour, day, month, weekday: such as '30 2 * * *'."
        ),
    ],
    timezone: Annotated[str, typer.Option(help="Time zone, such as Asia/Shanghai.")] = "UTC",
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", help="Start runs of this experiment.")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec",
            "-f",
            exists=True,
            dir_okay=False,
            help="File with the spec of a task to submit, instead of --experiment.",
        ),
    ] = None,
    assignments: Set = None,
    priority: Priority = None,
    missed: Annotated[
        str | None,
        typer.Option(
            help="If the platform was not running at the time: run_once (default) or skip."
        ),
    ] = None,
    overlap: Annotated[
        str | None, typer.Option(help="If the last task has not ended: skip (default) or allow.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it disabled.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Create a schedule. It acts with the permissions that you have whenever it is due."""
    if (experiment is None) == (spec is None):
        raise CommandError(tr("Give either --experiment or --spec."), exit_code=ExitCode.USAGE)
    if spec is None and assignments:
        raise CommandError(
            tr("--set changes the spec of --spec; an experiment runs as it is configured then."),
            exit_code=ExitCode.USAGE,
        )
    wanted = None if spec is None else read_spec(spec)
    assign(wanted or {}, assignments or [])
    made = connect(project).schedules.create(
        name,
        cron,
        timezone=timezone,
        experiment=experiment,
        spec=wanted,
        priority=priority,
        missed=missed,
        overlap=overlap,
        enabled=not disabled,
    )
    print_record(made, as_json=json, skip=("owner_is_active",))


@app.command()
def show(schedule: ScheduleArgument, project: Project = None, json: Json = False) -> None:
    """Show a schedule and the next times when it is due."""
    client = connect(project)
    print_record(client.schedules.get(schedule), as_json=json, client=client)


@app.command()
def firings(
    schedule: ScheduleArgument, project: Project = None, limit: Limit = 20, json: Json = False
) -> None:
    """List the times at which a schedule was due, each with its task or the reason for none."""
    print_table(
        connect(project).schedules.firings(schedule).take(limit),
        {
            "DUE (UTC)": lambda f: f"{f.due_at:%Y-%m-%d %H:%M}",
            "FIRED": lambda f: age_text(f.fired_at),
            "OUTCOME": lambda f: f.outcome,
            "TASK": lambda f: str(f.task or "")[:8],
            "REASON": lambda f: f.reason,
        },
        as_json=json,
        empty=tr("It was not due yet."),
    )


@app.command()
def enable(schedule: ScheduleArgument, project: Project = None, json: Json = False) -> None:
    """Enable a schedule. You become its owner."""
    _switch(schedule, project, json, on=True)


@app.command()
def disable(schedule: ScheduleArgument, project: Project = None, json: Json = False) -> None:
    """Disable a schedule."""
    _switch(schedule, project, json, on=False)


def _switch(schedule: str, project: str | None, as_json: bool, *, on: bool) -> None:
    found = connect(project).schedules.update(schedule, enabled=on)
    if as_json:
        print_json(found)
    elif found.next_at is not None:
        say(
            tr(
                "{name} is enabled; next at {next_at:%Y-%m-%d %H:%M} UTC.",
                name=found.name,
                next_at=found.next_at,
            )
        )
    else:
        say(tr("{name} is disabled.", name=found.name))


@app.command()
def rm(
    schedule: ScheduleArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete a schedule. Tasks that it has submitted are kept."""
    found = connect(project).schedules.get(schedule)
    confirm(tr("Delete the schedule {name}?", name=found.name), yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Deleted the schedule {name}.", name=found.name))
