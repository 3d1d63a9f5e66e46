"""``aiplatform users``."""

import sys
from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import age_text, print_record, print_table
from aiplatform.cli.session import connect

app = group("Accounts; for administrators.")


@app.command()
def ls(limit: Limit = 100, json: Json = False) -> None:
    """List the accounts."""
    print_table(
        connect().users.list().take(limit),
        {
            "USERNAME": lambda u: u.username,
            "EMAIL": lambda u: u.email,
            "ROLE": lambda u: u.role,
            "ACTIVE": lambda u: "yes" if u.is_active else "no",
            "LAST LOGIN": lambda u: age_text(u.last_login_at),
            "UUID": lambda u: u.uuid,
        },
        as_json=json,
        empty="There are no accounts.",
    )


@app.command()
def create(
    username: Annotated[str, typer.Argument()],
    email: Annotated[str, typer.Argument()],
    role: Annotated[str | None, typer.Option(help="A global role; none for most people.")] = None,
    password_stdin: Annotated[
        bool, typer.Option(help="Read the first password from stdin.")
    ] = False,
    must_change_password: Annotated[
        bool, typer.Option(help="Let them do nothing else before they replace it.")
    ] = False,
    json: Json = False,
) -> None:
    """Create an account."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    user = connect().users.create(
        username, email, password, role=role, must_change_password=must_change_password
    )
    print_record(user, as_json=json)
