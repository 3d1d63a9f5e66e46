"""The commands ``aiplatform datasets uploads``, for interrupted resumable uploads."""

from typing import Annotated

import typer

from aiplatform.cli.names import find_by_uuid_prefix
from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_table, say, size_text
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

SEARCHED = 500

app = group("Resumable uploads: list and cancel them.")


@app.command()
def ls(project: Project = None, limit: Limit = 100, json: Json = False) -> None:
    """List unfinished uploads, and those that have ended within a day."""
    print_table(
        connect(project).datasets.uploads().take(limit),
        {
            "UPLOAD": lambda u: str(u.uuid)[:8],
            "DATASET": lambda u: u.name or u.dataset,
            "FILE": lambda u: u.filename,
            "STATUS": lambda u: u.status,
            "ARRIVED": lambda u: tr(
                "{done} of {total}", done=size_text(u.offset), total=size_text(u.length)
            ),
            "STARTED": lambda u: age_text(u.created_at),
        },
        as_json=json,
        empty=tr("There are no resumable uploads."),
    )


@app.command()
def cancel(
    upload: Annotated[
        str, typer.Argument(metavar="UPLOAD", help="Uuid, or its first 6 characters or more.")
    ],
    project: Project = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Cancel an upload, and delete the part that was received."""
    datasets = connect(project).datasets
    found = find_by_uuid_prefix(
        upload,
        datasets.uploads().take(SEARCHED),
        refusal=tr("{upload} does not identify an upload of this project", upload=upload),
        hint=tr("`aiplatform datasets uploads ls` shows them."),
    )
    confirm(
        tr(
            "Cancel the upload of {file}? The server has received {size} of it.",
            file=found.filename or found.uuid,
            size=size_text(found.offset),
        ),
        yes=yes,
    )
    found.cancel()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Cancelled the upload {uuid}.", uuid=found.uuid))
