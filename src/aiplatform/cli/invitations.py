"""The commands ``aiplatform invitations``."""

from typing import Annotated

import typer

from aiplatform.cli.names import complete_uuid
from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import age_text, print_json, print_table, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

app = group("Invitations; for administrators. `aiplatform users invite` creates one.")


@app.command()
def ls(
    only_open: Annotated[
        bool, typer.Option("--open", help="Only invitations that are still valid.")
    ] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the invitations."""
    print_table(
        connect().invitations.list(only_open=only_open or None).take(limit),
        {
            "EMAIL": lambda i: i.email,
            "STATUS": lambda i: i.status,
            "ROLE": lambda i: i.role,
            "PROJECT": lambda i: f"{i.project.name} ({i.project.role})" if i.project else "",
            "BY": lambda i: i.invited_by.username if i.invited_by else "",
            "CREATED": lambda i: age_text(i.created_at),
            "UUID": lambda i: i.uuid,
        },
        as_json=json,
        empty=tr("There are no invitations."),
    )


@app.command()
def revoke(
    invitation: Annotated[
        str, typer.Argument(help="Its uuid, or the beginning that the list shows.")
    ],
    json: Json = False,
) -> None:
    """Revoke an invitation: its link stops working."""
    invitations = connect().invitations
    meant = complete_uuid(
        invitation,
        invitations.list(),
        refusal=tr("{invitation} does not identify an invitation", invitation=invitation),
        hint=tr("`aiplatform invitations ls` shows them."),
    )
    invitations.revoke(meant)
    if json:
        print_json({"uuid": str(meant), "done": True})
    else:
        say(tr("The link no longer works."))
