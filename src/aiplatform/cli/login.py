"""The commands ``aiplatform login``, ``logout`` and ``whoami``."""

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json
from aiplatform.cli.output import print_json, print_record, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client


def login(
    username: Annotated[
        str | None,
        typer.Option("--username", "-u", help="Username. Without it, you are asked for it."),
    ] = None,
    password_stdin: Annotated[
        bool,
        typer.Option(
            help="Read the password from the first line of stdin, and a new one from "
            "the second line if the password must be changed."
        ),
    ] = False,
    totp: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Code of the authenticator app, or a recovery code. You are asked "
            "for it if it is needed.",
        ),
    ] = None,
    sso: Annotated[
        bool,
        typer.Option(
            "--sso",
            help="Log in with your browser and the account of your organisation (single sign-on).",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Log in. The session is stored and renewed until you log out."""
    if sso and (username is not None or totp is not None or password_stdin):
        raise typer.BadParameter(
            tr("--sso can't be used with other options: the browser asks for everything")
        )
    client = connect()
    if sso:
        _login_by_browser(client, json=json)
        return
    if not password_stdin and not sys.stdin.isatty():
        raise CommandError(
            tr("there is no terminal to ask for a password"),
            tr("Use --password-stdin."),
            ExitCode.USAGE,
        )
    if username is None:
        if password_stdin:
            raise typer.BadParameter(tr("--password-stdin needs --username"))
        username = typer.prompt(tr("Username"), default="admin", err=True)
    password = _line() if password_stdin else _hidden(tr("Password"))
    _log_in(client, username, password, totp)
    if client.must_change_password:
        new = _line() if password_stdin else _ask_new_password()
        if not new:
            raise CommandError(
                tr("this password must be changed before anything else is allowed"),
                tr("Log in again and choose one, or give it as the second line of stdin."),
            )
        client.change_password(password, new)
    if json:
        print_json({"url": client.url, "username": username})
    else:
        say(tr("Logged in at {url} as {username}.", url=client.url, username=username))


def logout(json: Json = False) -> None:
    """Log out: end the session on this machine and on the server."""
    client = connect()
    client.logout()
    if json:
        print_json({"url": client.url})
    else:
        say(tr("Logged out at {url}.", url=client.url))


def whoami(json: Json = False) -> None:
    """Show the account that you are logged in with, and the server."""
    client = connect()
    me = client.me()
    if json:
        print_json({**me.model_dump(mode="json"), "url": client.url})
    else:
        print_record({**me.model_dump(mode="json"), "url": client.url}, as_json=False)


def _log_in(client: "Client", username: str, password: str, totp: str | None) -> None:
    from aiplatform.client import Unauthenticated

    try:
        client.login(username, password, totp=totp, remember=True)
    except Unauthenticated as error:
        if error.code != "auth.totp_required":
            raise
        if not sys.stdin.isatty():
            error.hint = tr("Give the code with --totp.")
            raise
        code = typer.prompt(tr("Code of the authenticator app"), err=True)
        client.login(username, password, totp=code, remember=True)


def _line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _hidden(question: str) -> str:
    answer: str = typer.prompt(question, hide_input=True, err=True)
    return answer


def _ask_new_password() -> str:
    say(tr("Choose a new password; the current one was only for the first login."))
    answer: str = typer.prompt(
        tr("New password"), hide_input=True, confirmation_prompt=True, err=True
    )
    return answer


def _login_by_browser(client: "Client", *, json: bool) -> None:
    def show(url: str) -> None:
        say(tr("Open this address in a browser on this machine:\n{url}", url=url))
        webbrowser.open(url)

    username = client.login_sso(show, remember=True).me().username
    if json:
        print_json({"url": client.url, "username": username})
    else:
        say(tr("Logged in at {url} as {username}.", url=client.url, username=username))
