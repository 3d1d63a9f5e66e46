"""The program ``aiplatform``: all commands, and the conversion of exceptions to exit codes."""

import gc
import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from aiplatform.cli import (
    account,
    audit,
    chat,
    completion,
    datasets,
    deployments,
    experiments,
    invitations,
    keys,
    models,
    notifications,
    platform,
    production,
    projects,
    roles,
    runs,
    schedules,
    scripts,
    secrets,
    sweeps,
    task_telemetry,
    tasks,
    train,
    users,
    views,
    webhooks,
    workers,
)
from aiplatform.cli import bin as bin_commands
from aiplatform.cli.errors import EXIT_CODES, ExitCode, quiet_stdout, report
from aiplatform.cli.localisation import localise, localise_error

app = typer.Typer(
    name="aiplatform",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from aiplatform import __version__

        typer.echo(f"aiplatform {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="AIPLATFORM_URL",
            show_envvar=True,
            help="Address of the server. By default that of the last login, else "
            "that of the platform that `aiplatform up` runs in AIPLATFORM_HOME.",
        ),
    ] = None,
    _show_version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Manage the life cycle of a language model: data, tuning, evaluation, registry, serving."""
    if url:
        os.environ["AIPLATFORM_URL"] = url


_ACCOUNT, _WORK, _PLATFORM = "Your account", "Your work", "The platform"

app.command(rich_help_panel=_ACCOUNT)(account.login)
app.command(rich_help_panel=_ACCOUNT)(account.logout)
app.command(rich_help_panel=_ACCOUNT)(account.whoami)
app.add_typer(keys.app, name="keys", rich_help_panel=_ACCOUNT)
app.add_typer(account.app, name="account", rich_help_panel=_ACCOUNT)
app.add_typer(notifications.app, name="notifications", rich_help_panel=_ACCOUNT)

app.add_typer(projects.app, name="projects", rich_help_panel=_WORK)
app.add_typer(bin_commands.app, name="bin", rich_help_panel=_WORK)
app.add_typer(datasets.app, name="datasets", rich_help_panel=_WORK)
app.add_typer(models.app, name="models", rich_help_panel=_WORK)
app.command(rich_help_panel=_WORK)(train.train)
app.command(rich_help_panel=_WORK)(models.evaluate)
experiments.app.command("compare-metrics")(task_telemetry.compare_metrics)
app.add_typer(experiments.app, name="experiments", rich_help_panel=_WORK)
app.add_typer(sweeps.app, name="sweep", rich_help_panel=_WORK)
app.add_typer(runs.app, name="runs", rich_help_panel=_WORK)
tasks.app.command()(task_telemetry.compare)
app.add_typer(tasks.app, name="tasks", rich_help_panel=_WORK)
tasks.app.command()(scripts.artifacts)
app.add_typer(scripts.app, name="scripts", rich_help_panel=_WORK)
app.add_typer(schedules.app, name="schedules", rich_help_panel=_WORK)
app.add_typer(secrets.app, name="secrets", rich_help_panel=_WORK)
app.add_typer(views.app, name="views", rich_help_panel=_WORK)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=_WORK)
app.add_typer(deployments.app, name="deploy", rich_help_panel=_WORK)
app.command(rich_help_panel=_WORK)(chat.chat)

app.command(rich_help_panel=_PLATFORM)(platform.up)
app.command(rich_help_panel=_PLATFORM)(platform.down)
app.command(rich_help_panel=_PLATFORM)(platform.status)
app.command(rich_help_panel=_PLATFORM)(platform.doctor)
app.command(rich_help_panel=_PLATFORM)(platform.licences)
app.add_typer(users.app, name="users", rich_help_panel=_PLATFORM)
app.add_typer(roles.app, name="roles", rich_help_panel=_PLATFORM)
app.add_typer(workers.app, name="workers", rich_help_panel=_PLATFORM)
app.add_typer(invitations.app, name="invitations", rich_help_panel=_PLATFORM)
app.add_typer(audit.app, name="audit", rich_help_panel=_PLATFORM)
app.add_typer(production.db, name="db", rich_help_panel=_PLATFORM)
app.command(rich_help_panel=_PLATFORM)(production.server)
app.command(rich_help_panel=_PLATFORM)(production.worker)


def _run() -> int:
    """Run the given command, and return its exit code.

    ``typer.rich_utils`` is imported only where it is needed, because its import takes a fifth of
    the time of a short command.
    """
    from typer.exceptions import Abort, TyperException

    command = typer.main.get_command(app)
    localise(command)
    try:
        code = command.main(prog_name="aiplatform", standalone_mode=False)
    except TyperException as error:
        from typer.rich_utils import rich_format_error

        localise_error(error)
        rich_format_error(error)  # type: ignore[arg-type]
        return error.exit_code
    except Abort:
        from typer.rich_utils import rich_abort_error

        rich_abort_error()
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.OK


def main() -> None:
    """Run a command and exit."""
    # Imports create hundreds of thousands of long-lived objects, and scanning the oldest generation
    # over and over takes a fifth of the import time. Processes that run for weeks set their own
    # thresholds when they are ready.
    gc.set_threshold(*gc.get_threshold()[:2], 100)
    if completion.is_completing():
        sys.exit(completion.complete(app, _run))
    code: int | str | None
    for stream in (sys.stdout, sys.stderr):
        # A terminal whose encoding lacks Chinese characters shows replacements instead of failing.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _run()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  (the only handler of this process)
        code = report(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.BROKEN_PIPE
    if code == ExitCode.BROKEN_PIPE:
        quiet_stdout()
    sys.exit(code)
