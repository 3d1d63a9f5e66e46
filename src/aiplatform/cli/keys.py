"""``aiplatform keys``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

app = group("API keys, for programs that act for you.")

User = Annotated[
    str | None, typer.Option("--user", "-u", help="Somebody else's; for administrators.")
]


@app.command()
def ls(
    user: User = None,
    revoked: Annotated[bool, typer.Option(help="Those that were revoked too.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the keys."""
    print_table(
        connect().keys.list(user=user, revoked=revoked or None).take(limit),
        {
            "NAME": lambda k: k.name,
            "KEY": lambda k: f"{k.prefix}…",
            "SCOPES": lambda k: " ".join(k.scopes),
            "PROJECT": lambda k: k.project or "",
            "EXPIRES": lambda k: f"{k.expires_at:%Y-%m-%d}" if k.expires_at else "never",
            "LAST USED": lambda k: age_text(k.last_used_at),
            "UUID": lambda k: k.uuid,
        },
        as_json=json,
        empty=tr("There are no keys. Make one: aiplatform keys create NAME --scope datasets:read"),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            "-s",
            help="A permission, such as datasets:read or datasets:*; may be given several times. "
            "See `aiplatform roles permissions`.",
        ),
    ],
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", help="The one project that it reaches; name or uuid."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it expires; else never.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and print it, this once. It does what you may do, within its scopes."""
    made = connect().keys.create(name, scope, project=project, days=days)
    if json:
        print_json(made)
        return
    print_record(made, as_json=False, skip=["key"])
    say(tr("Keep this; it is not shown again. Programs take it as AIPLATFORM_TOKEN."))
    typer.echo(made.key)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Name or uuid.")],
    user: User = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Have requests with a key refused from now on."""
    client = connect()
    found = next((k for k in client.keys.list(user=user) if key in {k.name, str(k.uuid)}), None)
    if found is None:
        raise typer.BadParameter(
            tr("there is no key {key}; `aiplatform keys ls` lists them", key=key)
        )
    confirm(
        tr("Revoke the key {name}? Programs that use it are refused.", name=found.name), yes=yes
    )
    client.keys.revoke(found, user=user)
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Revoked the key {name}.", name=found.name))
