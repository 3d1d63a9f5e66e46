"""The commands ``aiplatform audit``: read, export, seal and verify the audit trail."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.names import NAMES
from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import (
    SHORT_UUID,
    UUID_LENGTH,
    age_text,
    print_json,
    print_record,
    print_table,
    print_text,
    say,
)
from aiplatform.cli.production import import_server_function, run_on_database, use_local_platform
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import AuditEntry, Client
    from aiplatform.server.audit.rules.findings import Verdict

MAX_LOOKUPS = 25
"""Largest number of resources that one listing looks up by name on the server."""

app = group("The audit trail; for administrators.")

User = Annotated[str | None, typer.Option(help="Only this user: username or uuid.")]
Action = Annotated[
    str | None,
    typer.Option(help="Only this action, such as dataset:created; dataset: means all of datasets."),
]
ResourceOf = Annotated[str | None, typer.Option(help="Only this resource: its type or uuid.")]
Project = Annotated[str | None, typer.Option(help="Only this project: uuid.")]
Outcome = Annotated[str | None, typer.Option(help="Only this outcome: success, denied or failure.")]
Address = Annotated[str | None, typer.Option(help="Only this IP address or network.")]
Since = Annotated[str | None, typer.Option(help="Only from this time on; with time zone.")]
Until = Annotated[str | None, typer.Option(help="Only before this time; with time zone.")]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="EXPRESSION",
        help='A filter, such as \'action contains "delete" and created > '
        '"2026-11-01"\'. See docs/filters.md.',
    ),
]
Text = Annotated[
    str | None,
    typer.Option(help="Only rows with these words, or beginnings of words, in the details."),
]


@app.command()
def ls(
    user: User = None,
    action: Action = None,
    resource: ResourceOf = None,
    project: Project = None,
    outcome: Outcome = None,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    asked: Filter = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List audit rows, newest first."""
    filters: dict[str, Any] = {
        "user": user, "action": action, "resource": resource, "project": project,
        "outcome": outcome, "address": address, "since": since, "until": until, "text": text,
        "filter": asked,
    }  # fmt: skip
    client = connect()
    found = client.audit.list(**filters).take(limit)
    names = {} if json else _names_of(client, found)
    print_table(
        found,
        {
            "TIME": lambda e: age_text(e.created_at),
            "USER": lambda e: None if e.user is None else e.user.username,
            "ACTION": lambda e: e.action,
            "OUTCOME": lambda e: e.outcome,
            "RESOURCE": lambda e: _resource_text(e, names),
            "ADDRESS": lambda e: e.ip_address,
        },
        as_json=json,
        empty=tr("No audit rows match."),
    )


def _names_of(client: "Client", entries: Iterable["AuditEntry"]) -> dict[str, str]:
    """Return the names of resources that entries mention only by uuid.

    The names come from other entries, or else from the server, if the resources still exist and the
    caller may read them.
    """
    from aiplatform.client import ClientError

    names: dict[str, str] = {}
    unnamed: dict[str, str] = {}
    for entry in entries:
        uuid, name = str(entry.resource_id), _recorded_name(entry)
        if name:
            names.setdefault(uuid, name)
        elif entry.resource_type is not None and entry.resource_type in NAMES:
            unnamed[uuid] = entry.resource_type
    missing = [uuid for uuid in unnamed if uuid not in names and len(uuid) == UUID_LENGTH]
    for uuid in missing[:MAX_LOOKUPS]:
        with suppress(ClientError):
            names[uuid] = NAMES[unnamed[uuid]](client, UUID(uuid))
    return names


def _recorded_name(entry: "AuditEntry") -> str:
    """Return the resource name that the entry recorded, or an empty string."""
    name = (entry.details or {}).get("name") or (entry.details or {}).get("username")
    return name if isinstance(name, str) else ""


def _resource_text(entry: "AuditEntry", names: Mapping[str, str]) -> str:
    """Return the kind and name of an entry's resource."""
    meant = str(entry.resource_id or "")
    name = _recorded_name(entry)
    version = (entry.details or {}).get("version")
    if name and isinstance(version, str):
        name = f"{name}@{version}"
    shown = name or names.get(meant) or (meant[:SHORT_UUID] if len(meant) == UUID_LENGTH else meant)
    return f"{entry.resource_type or ''} {shown}".strip()


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write to.")],
    user: User = None,
    action: Action = None,
    resource: ResourceOf = None,
    project: Project = None,
    outcome: Outcome = None,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    asked: Filter = None,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv", help="Write CSV, a table without the proofs that `audit verify` needs."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Export audit rows to a file that `audit verify` can check against its seals.

    The export itself is recorded in the audit trail.
    """
    written = connect().audit.export(
        file, csv=csv, user=user, action=action, resource=resource,
        project=project, outcome=outcome, address=address, since=since, until=until, text=text,
        filter=asked,
    )  # fmt: skip
    if json:
        print_json({"file": str(written)})
    else:
        say(tr("Written to {written}.", written=written))


@app.command()
def state(
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the server verify the trail now, and wait.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the result of the verification that was last requested from the server.

    `audit verify` checks an export on your machine, so you need not trust the server.

    Exit codes: 0 intact, or never verified; 1 not intact.
    """
    client = connect()
    found = client.audit.verify() if verify else client.audit.verification()
    if found is None:
        if json:
            print_json(None)
        else:
            say(tr("Nobody has requested a verification yet: aiplatform audit state --verify"))
        return
    print_record(found, as_json=json, skip=("uuid", "findings"))
    if not json:
        for finding in found.findings:
            print_text(f"{finding.kind}: {finding.text}")
    if found.state in {"broken", "failed"}:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="An exported or archived file. By default the database."),
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(help="Public key (PEM) that seals must be signed with. Can be repeated."),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A head that you have stored in another place, as `audit seal` "
            "prints it. Can be repeated."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check whether audit rows were altered, removed or inserted after they were sealed.

    Works without a server: reads a file, or the database in AIPLATFORM_DATABASE_URL, and computes
    everything itself. Store a head in another place regularly: without it, nobody can detect that
    the newest seals were removed together with their rows.

    Exit codes: 0 intact, 1 not intact.
    """
    heads = [_head(text) for text in head or ()]
    keys = [_key(path, "read_public") for path in public_key or ()]
    if file is not None:
        verdict = _verify_file(file, heads, keys)
    else:
        use_local_platform()
        run = import_server_function(
            "aiplatform.server.audit.service.verification", "verify_database"
        )
        settings = import_server_function("aiplatform.server.core.settings", "get_settings")()
        libpq = import_server_function("aiplatform.server.core.events", "libpq_url")
        shelf = import_server_function(
            "aiplatform.server.audit.service.archives", "rows_of_archive"
        )
        verdict = run_on_database(
            lambda: run(libpq(settings.database_url), expected=heads, keys=keys, archived=shelf)
        )
    _print_verdict(verdict, json=json, signed=bool(keys))


@app.command()
def seal(
    key: Annotated[
        Path | None, typer.Option(help="Private key (PEM) to sign the newest seal with.")
    ] = None,
    json: Json = False,
) -> None:
    """Seal new audit rows, and print the head, which you should store in another place.

    Workers do this automatically every AIPLATFORM_AUDIT_SEAL_SECONDS. Needs the database.
    """
    use_local_platform()
    run = import_server_function("aiplatform.server.audit.service.sealing", "seal_all")
    if key is not None:
        _key(key, "read_private")
    rows = run_on_database(run)
    found = run_on_database(lambda: _newest(key))
    if found is None:
        raise CommandError(tr("there is nothing to seal yet"))
    if json:
        print_json({"sealed": rows, "head": str(found), "signed": key is not None})
        return
    say(tr("{rows} rows sealed. Store this head in another place:", rows=rows))
    print_text(str(found))


@app.command()
def archive(
    days: Annotated[
        int, typer.Option(min=0, help="Archive seals that are at least this many days old.")
    ],
    json: Json = False,
) -> None:
    """Copy sealed audit rows to the store.

    Workers do this too if AIPLATFORM_AUDIT_ARCHIVE_DAYS is set.
    """
    use_local_platform()
    run = import_server_function("aiplatform.server.audit.service.archives", "archive_all")
    rows = run_on_database(lambda: _report_unfit_archives(lambda: run(days)))
    if json:
        print_json({"archived": rows})
    else:
        say(tr("{rows} rows archived.", rows=rows))


@app.command()
def prune(
    days: Annotated[
        int, typer.Option(min=0, help="Prune rows that were archived at least this many days ago.")
    ],
    json: Json = False,
) -> None:
    """Delete archived rows from the table after reading back and verifying each archive.

    The rows are then only in the store, where `audit verify` finds them. Lists and exports no
    longer show them. Runs as the owner of the tables, AIPLATFORM_MIGRATION_DATABASE_URL.
    """
    use_local_platform()
    run = import_server_function("aiplatform.server.audit.service.archives", "prune")
    settings = import_server_function("aiplatform.server.core.settings", "get_settings")()
    libpq = import_server_function("aiplatform.server.core.events", "libpq_url")
    url = libpq(settings.migration_database_url or settings.database_url)
    rows = run_on_database(lambda: _report_unfit_archives(lambda: run(url, days)))
    if json:
        print_json({"pruned": rows})
    else:
        say(tr("{rows} rows pruned.", rows=rows))


@app.command()
def keygen(
    path: Annotated[Path, typer.Argument(help="Where to write the private key.")],
    json: Json = False,
) -> None:
    """Create a key pair for signing seals: PATH, and PATH.pub for those who verify."""
    from aiplatform.server.audit.rules.signatures import make_key

    public = path.with_name(path.name + ".pub")
    try:
        private_pem, public_pem = make_key()
        _write_new(path, private_pem, 0o600)
        _write_new(public, public_pem, 0o644)
    except ModuleNotFoundError as error:
        raise CommandError(
            tr("the server components are not installed ({name} is missing)", name=error.name),
            tr("pip install 'aiplatform[server]'"),
        ) from error
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {error.strerror}") from error
    if json:
        print_json({"private": str(path), "public": str(public)})
    else:
        say(
            tr(
                "Private key: {path}. Don't give it to anyone who can write to the database.",
                path=path,
            )
        )
        say(tr("Public key: {public}, for `aiplatform audit verify --public-key`.", public=public))


def _report_unfit_archives(run: Callable[[], Any]) -> Any:
    from aiplatform.server.audit.service.archives import ArchiveMismatchError

    try:
        return run()
    except ArchiveMismatchError as error:
        raise CommandError(tr("nothing more was done: {error}", error=error)) from error


def _newest(key: Path | None) -> Any:
    from aiplatform.server.audit.service import sealing
    from aiplatform.server.core.database import transaction

    with transaction() as session:
        return sealing.newest(session) if key is None else sealing.sign_head(session, key)


def _verify_file(file: Path, heads: list[Any], keys: list[Any]) -> "Verdict":
    from aiplatform.server.audit.service.file_verification import verify_file

    try:
        return verify_file(file, expected=heads, keys=keys)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}") from error


def _head(text: str) -> Any:
    from aiplatform.server.audit.rules.chain import Head

    try:
        return Head.parse(text)
    except ValueError as error:
        raise CommandError(
            tr("{text} is not a head", text=text[:80]),
            tr("A head looks like 12:4f0c…, as `audit seal` prints it."),
        ) from error


def _key(path: Path, reader: str) -> Any:
    read = import_server_function("aiplatform.server.audit.rules.signatures", reader)
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a new file; never overwrite an existing key."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _print_verdict(verdict: "Verdict", *, json: bool, signed: bool) -> None:
    if json:
        print_json(
            {
                "intact": verdict.is_intact,
                "seals": verdict.seals,
                "rows": verdict.rows,
                "unsealed": verdict.unsealed,
                "archived": verdict.archived,
                "head": None if verdict.head is None else str(verdict.head),
                "signed_through": verdict.signed_through,
                "filters": verdict.filters,
                "findings": [
                    {"kind": f.kind.value, "text": f.text, "row": f.row, "seal": f.seal}
                    for f in verdict.findings
                ],
                "more": verdict.more,
            }
        )
    else:
        for finding in verdict.findings:
            print_text(f"{finding.kind.value}: {finding.text}")
        if verdict.more:
            print_text(tr("and {more} more", more=verdict.more))
        if verdict.is_intact:
            print_text(
                tr(
                    "Intact: {rows} rows under {seals} seals.",
                    rows=verdict.rows,
                    seals=verdict.seals,
                )
            )
            if verdict.filters:
                filters = ", ".join(f"{name}={text}" for name, text in verdict.filters.items())
                print_text(
                    tr(
                        "This is a selection ({filters}). Other rows were not verified.",
                        filters=filters,
                    )
                )
            if verdict.unsealed:
                print_text(
                    tr(
                        "{unsealed} rows are not sealed yet and were not verified.",
                        unsealed=verdict.unsealed,
                    )
                )
            if signed:
                print_text(
                    tr(
                        "Signed through seal {signed_through}.",
                        signed_through=verdict.signed_through,
                    )
                )
            if verdict.head is not None:
                print_text(tr("Head, to store in another place: {head}", head=verdict.head))
    if not verdict.is_intact:
        raise typer.Exit(ExitCode.FAILED)
