"""The commands ``aiplatform keys``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

app = group("API keys, for programs that act in your name.")

User = Annotated[
    str | None,
    typer.Option(
        "--user", "-u", help="Use the keys of this user instead of your own; for administrators."
    ),
]


@app.command()
def ls(
    user: User = None,
    revoked: Annotated[bool, typer.Option(help="Include revoked keys.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List your API keys."""
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
        empty=tr(
            "There are no keys. Create one: aiplatform keys create NAME --scope datasets:read"
        ),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            "-s",
            help="A permission of the key, such as datasets:read or datasets:*. Can "
            "be repeated. `aiplatform roles permissions` lists them.",
        ),
    ],
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", help="Limit the key to this project; name or uuid."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days until the key expires. By default never."),
    ] = None,
    json: Json = False,
) -> None:
    """Create an API key and print it; it is shown only once.

    The key grants your own permissions, as far as its scopes allow.
    """
    made = connect().keys.create(name, scope, project=project, days=days)
    if json:
        print_json(made)
        return
    print_record(made, as_json=False, skip=["key"])
    say(tr("Keep this; it is not shown again. Programs take it as AIPLATFORM_TOKEN."))
    typer.echo(made.key)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="API key: name or uuid.")],
    user: User = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Revoke a key: requests with it are refused from now on."""
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
