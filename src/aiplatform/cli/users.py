"""The commands ``aiplatform users``."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, print_text, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import User

app = group("Accounts of users; for administrators.")


Name = Annotated[str, typer.Argument(metavar="USER", help="Username or uuid.")]


@app.command()
def ls(
    search: Annotated[
        str | None, typer.Argument(help="Part of a username or e-mail address.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Only accounts with this global role.")] = None,
    active: Annotated[
        bool | None,
        typer.Option(
            "--active/--inactive", help="Only active or only inactive accounts. By default both."
        ),
    ] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the accounts."""
    print_table(
        connect().users.list(search, role=role, active=active).take(limit),
        {
            "USERNAME": lambda u: u.username,
            "EMAIL": lambda u: u.email,
            "ROLE": lambda u: u.role,
            "ACTIVE": lambda u: "yes" if u.is_active else "no",
            "LAST LOGIN": lambda u: age_text(u.last_login_at),
            "UUID": lambda u: u.uuid,
        },
        as_json=json,
        empty=tr("There are no accounts."),
    )


@app.command()
def create(
    username: Annotated[str, typer.Argument(help="Username.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Annotated[str | None, typer.Option(help="Global role. Most people need none.")] = None,
    password_stdin: Annotated[
        bool, typer.Option(help="Read the initial password from stdin.")
    ] = False,
    must_change_password: Annotated[
        bool, typer.Option(help="Require a new password at the first login.")
    ] = False,
    json: Json = False,
) -> None:
    """Create an account."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt(tr("Password"), hide_input=True, confirmation_prompt=True, err=True)
    user = connect().users.create(
        username, email, password, role=role, must_change_password=must_change_password
    )
    print_record(user, as_json=json)


@app.command()
def show(user: Name, json: Json = False) -> None:
    """Show an account."""
    print_record(connect().users.get(user), as_json=json)


@app.command()
def invite(
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Annotated[str | None, typer.Option(help="Global role. Most people need none.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Also invite them to this project.")
    ] = None,
    project_role: Annotated[
        str | None, typer.Option(help="Their role in the project, such as developer.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=90, help="Days until the link expires.")
    ] = None,
    json: Json = False,
) -> None:
    """Invite a person: create a link with which they can create an account, once."""
    if (project is None) != (project_role is None):
        raise typer.BadParameter(tr("--project and --project-role go together"))
    invitation = connect().invitations.create(
        email, role=role, project=project, project_role=project_role, days=days
    )
    if json:
        print_json(invitation)
        return
    say(tr("Give this link to {email}; it is shown this once:", email=email))
    print_text(invitation.link or "")


@app.command("set")
def set_(
    user: Name,
    username: Annotated[str | None, typer.Option(help="New username.")] = None,
    email: Annotated[str | None, typer.Option(help="New e-mail address.")] = None,
    role: Annotated[str | None, typer.Option(help="Global role; `user` means none.")] = None,
    json: Json = False,
) -> None:
    """Change an account."""
    changes = {"username": username, "email": email, "role": role}
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        raise typer.BadParameter(tr("give at least one option that changes something"))
    print_record(connect().users.get(user).update(**given), as_json=json)


@app.command()
def deactivate(user: Name, json: Json = False) -> None:
    """Deactivate an account: its requests are refused from now on, its sessions and streams end."""
    print_record(connect().users.deactivate(user), as_json=json)


@app.command()
def activate(user: Name, json: Json = False) -> None:
    """Activate an account again."""
    print_record(connect().users.activate(user), as_json=json)


@app.command("delete", hidden=True)
@app.command()
def rm(
    user: Name,
    transfer_to: Annotated[
        str | None,
        typer.Option(metavar="USER", help="User who gets its projects: username or uuid."),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete an account. Everything it created is kept."""
    client = connect()
    found = client.users.get(user)
    confirm(tr("Delete the account {username}?", username=found.username), yes=yes)
    found.delete(transfer_to=transfer_to)
    _done(found, tr("Deleted the account {username}.", username=found.username), json=json)


@app.command("reset-password")
def reset_password(user: Name, json: Json = False) -> None:
    """Create a link that lets the user set a new password. It works once."""
    link = connect().users.reset_password(user)
    if json:
        print_json(link)
        return
    say(tr("Give this link to {user}; it is shown this once:", user=user))
    print_text(link.link)


@app.command("end-sessions")
def end_sessions(user: Name, json: Json = False) -> None:
    """End all sessions of an account."""
    client = connect()
    found = client.users.get(user)
    ended = client.users.end_sessions(found)
    _done(
        found,
        tr("Ended {count} of {username}'s sessions.", count=ended, username=found.username),
        json=json,
    )


@app.command("reset-totp")
def reset_totp(user: Name, yes: Yes = False, json: Json = False) -> None:
    """Remove the second factor of a user who has lost the app and the recovery codes."""
    client = connect()
    found = client.users.get(user)
    confirm(tr("Let {username} log in with only the password?", username=found.username), yes=yes)
    client.users.reset_second_factor(found)
    _done(
        found, tr("{username} no longer has a second factor.", username=found.username), json=json
    )


def _done(user: "User", text: str, *, json: bool) -> None:
    if json:
        print_json({"uuid": str(user.uuid), "done": True})
    else:
        say(text)
