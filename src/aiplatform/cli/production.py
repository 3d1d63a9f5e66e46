"""The commands ``aiplatform server``, ``worker`` and ``db``, for production."""

import importlib
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, group
from aiplatform.cli.output import print_json, say
from aiplatform.language import tr

db = group("The schema of the database in AIPLATFORM_DATABASE_URL, and its encryption keys.")


@db.command()
def upgrade(json: Json = False) -> None:
    """Upgrade the schema to the revision of this program, and grant the running role its rights.

    Without a database in the settings, upgrades that of the platform that `aiplatform up` runs on
    this machine.
    """
    use_local_platform()
    run = import_server_function("aiplatform.server.core.migrate", "upgrade")
    from aiplatform.server.core.roles import RoleMissing

    try:
        before, after = run_on_database(run)
    except RoleMissing as error:
        raise CommandError(str(error)) from error
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        say(tr("The schema is at revision {after} already.", after=after))
    elif before is None:
        say(tr("Migrated from an empty database to revision {after}.", after=after))
    else:
        say(tr("Migrated from {before} to revision {after}.", before=before, after=after))


@db.command()
def check(json: Json = False) -> None:
    """Exit with 1 unless the schema has the revision of this program.

    Also reports whether the running role could rewrite the audit trail. Without a database in the
    settings, checks that of the platform that `aiplatform up` runs on this machine.
    """
    use_local_platform()
    current, expected = _database("check")
    role = run_on_database(import_server_function("aiplatform.server.core.roles", "examine_role"))
    if json:
        print_json(
            {
                "current": current,
                "expected": expected,
                "ok": current == expected,
                "role": role.name,
                "restricted": role.is_restricted,
            }
        )
        if current != expected:
            raise typer.Exit(ExitCode.FAILED)
        return
    if current != expected:
        require_known = import_server_function("aiplatform.server.core.migrate", "require_known")
        run_on_database(lambda: require_known(current))
        raise CommandError(
            tr(
                "the schema is at revision {current}, this program needs {expected}",
                current=current or tr("none"),
                expected=expected,
            ),
            tr("Run `aiplatform db upgrade`."),
        )
    say(tr("The schema is at revision {current}, as it should be.", current=current))
    if role.is_restricted:
        say(
            tr(
                "The running role {name} can append to the audit trail, but not change it.",
                name=role.name,
            )
        )
    elif not role.rewritable_tables:
        say(
            tr(
                "Warning: the running role {name} can create temporary tables or schemas, so "
                "it could hide the audit trail behind another table. Run `aiplatform db upgrade` "
                "as the owner of the database, or, as a superuser, `REVOKE TEMPORARY, CREATE ON "
                "DATABASE … FROM PUBLIC`.",
                name=role.name,
            )
        )
    else:
        say(
            tr(
                "Warning: the running role {name} owns or may change {tables}, so it could "
                "rewrite the audit trail. See the documentation on two database roles.",
                name=role.name,
                tables=", ".join(role.rewritable_tables),
            )
        )


@db.command("rotate-keys")
def rotate_keys(
    new_key: Annotated[
        bool,
        typer.Option("--new-key", help="First add a new key to the key file, as its first key."),
    ] = False,
    json: Json = False,
) -> None:
    """Encrypt all stored secrets again, with the first key of the key file.

    With --new-key, first adds a new key to the file. Afterwards, the old keys are no longer needed.
    The platform can keep running. If the command was interrupted, run it again.

    If several machines have a copy of the key file, don't use --new-key: the other machines could
    not decrypt what the new key encrypts. See docs/operations.md for the steps.

    Without AIPLATFORM_DATABASE_URL, the command uses the database of the platform that
    `aiplatform up` runs on this machine.
    """
    use_local_platform()
    run = import_server_function("aiplatform.server.composition", "rotate_keys")
    from aiplatform.server.core.encryption import KeyFileUnusable

    try:
        rotated = run_on_database(lambda: run(new_key=new_key))
    except KeyFileUnusable as error:
        raise CommandError(error.reason) from error
    if json:
        print_json([vars(column) for column in rotated])
    for column in () if json else rotated:
        facts = {"column": column.column, "count": column.encrypted_again}
        if column.unreadable:
            say(
                tr(
                    "{column}: {count} encrypted again, {unreadable} can't be read",
                    unreadable=column.unreadable,
                    **facts,
                )
            )
        else:
            say(tr("{column}: {count} encrypted again", **facts))
    if any(column.unreadable for column in rotated):
        raise typer.Exit(ExitCode.FAILED)
    if not json:
        say(
            tr(
                "All secrets are encrypted with the first key. You can remove the other keys from "
                "the file."
            )
        )


def server() -> None:
    """Run the API. It is configured by environment variables; see `docs/settings.md`."""
    raise typer.Exit(import_server_function("aiplatform.server.app", "serve")())


def worker() -> None:
    """Run a worker. It is configured by environment variables; see `docs/settings.md`."""
    raise typer.Exit(import_server_function("aiplatform.server.worker", "main")())


def use_local_platform() -> None:
    """Use the database of the platform that `aiplatform up` runs here, unless another is set."""
    if any(os.environ.get(f"AIPLATFORM_DATABASE_URL{form}") for form in ("", "_FILE")):
        return
    from aiplatform.embedded.home import Home
    from aiplatform.embedded.state import read_state

    state = read_state(Home.resolve(None))
    if state is not None and state.supervisor_alive:
        os.environ["AIPLATFORM_HOME"] = state.home
        os.environ["AIPLATFORM_DATABASE_URL"] = state.database_url
        os.environ["AIPLATFORM_STORAGE_URL"] = state.storage_url
        os.environ.setdefault("AIPLATFORM_MIGRATION_DATABASE_URL", state.migration_database_url)


def _database(action: str) -> Any:
    return run_on_database(import_server_function("aiplatform.server.core.migrate", action))


def run_on_database(run: Callable[[], Any]) -> Any:
    """Run a function that uses the database, and return its result.

    Raises:
        CommandError: if the database refuses access or its revision is unknown; the hint says what
            to check.
    """
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from aiplatform.server.core.migrate import UnknownRevision

    try:
        return run()
    except UnknownRevision as error:
        raise CommandError(
            tr(
                "the database is at revision {revision}, which this program does not know",
                revision=error.revision,
            ),
            tr(
                "A newer program upgraded it, or it was created before version 0.1.0 and can't be "
                "upgraded. Use that program, or begin with an empty database."
            ),
        ) from error
    except (DBAPIError, psycopg.Error) as error:
        refusal = getattr(error, "orig", None) or error
        reason = str(refusal).strip().splitlines()[0]
        hint = tr("Check AIPLATFORM_DATABASE_URL.")
        if isinstance(refusal, psycopg.errors.InsufficientPrivilege):
            hint = tr("Set AIPLATFORM_MIGRATION_DATABASE_URL to the role that owns the tables.")
        raise CommandError(
            tr("the database refused the operation: {reason}", reason=reason), hint
        ) from error


def import_server_function(module: str, name: str) -> Callable[..., Any]:
    """Return a function of the server.

    Raises:
        CommandError: if the server's packages are not installed.
    """
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "aiplatform":
            raise
        raise CommandError(
            tr("the server components are not installed ({name} is missing)", name=error.name),
            tr(
                "Install them: pip install 'aiplatform[server]'; on a worker that trains or serves "
                "also 'aiplatform[llm]'."
            ),
        ) from error
    return found
