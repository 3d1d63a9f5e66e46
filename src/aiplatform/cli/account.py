"""The commands ``aiplatform login``, ``logout``, ``whoami`` and ``account``."""

import sys
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.names import complete_uuid
from aiplatform.cli.options import Json, Limit, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, print_text, say
from aiplatform.cli.session import confirm, connect
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


app = group("Your account: password, sessions, second factor.")

Code = Annotated[
    str | None,
    typer.Option(
        "--code",
        help="Code of the authenticator app, or a recovery code. Without it, "
        "you are asked for the password.",
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin.")
]


@app.command()
def sessions(limit: Limit = 100, json: Json = False) -> None:
    """List your sessions: where you are logged in."""
    print_table(
        connect().account.sessions().take(limit),
        {
            "": lambda s: tr("this one") if s.current else "",
            "DEVICE": lambda s: s.user_agent,
            "ADDRESS": lambda s: s.ip_address,
            "LAST SEEN": lambda s: age_text(s.last_seen_at),
            "SINCE": lambda s: age_text(s.created_at),
            "UUID": lambda s: s.uuid,
        },
        as_json=json,
        empty=tr("You are not logged in to any server."),
    )


@app.command("end-session")
def end_session(
    session: Annotated[
        str | None, typer.Argument(help="Its uuid, or the beginning that the list shows.")
    ] = None,
    others: Annotated[
        bool, typer.Option("--others", help="End all sessions except this one.")
    ] = False,
    json: Json = False,
) -> None:
    """End one of your sessions, or all others."""
    if (session is None) == (not others):
        raise typer.BadParameter(tr("name a session, or use --others"))
    account = connect().account
    ended = 1
    if session is None:
        ended = account.end_other_sessions()
    else:
        meant = complete_uuid(
            session,
            account.sessions(),
            refusal=tr("{session} does not identify one of your sessions", session=session),
            hint=tr("`aiplatform account sessions` shows them."),
        )
        account.end_session(meant)
    text = tr("Ended 1 session.") if ended == 1 else tr("Ended {count} sessions.", count=ended)
    _done(text, json=json, ended=ended)


@app.command()
def password(
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the current password from the first line of stdin, and the "
            "new one from the second.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Change your password. This ends your other sessions."""
    current = _secret(tr("Current password"), stdin=password_stdin)
    new = _secret(tr("New password"), stdin=password_stdin, twice=True)
    connect().change_password(current, new)
    _done(tr("Your password is changed; your other sessions have ended."), json=json)


@app.command()
def email(
    address: Annotated[str, typer.Argument(metavar="EMAIL", help="New e-mail address.")],
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Change your e-mail address."""
    connect().account.change_email(address, _secret(tr("Password"), stdin=password_stdin))
    _done(tr("Your address is {address}.", address=address), json=json, email=address)


@app.command("forgot-password")
def forgot_password(
    email: Annotated[str, typer.Argument(help="E-mail address.")], json: Json = False
) -> None:
    """Request an e-mail with a link that sets a new password."""
    connect().account.forgot_password(email)
    _done(tr("If this account exists, a link was sent to its e-mail address."), json=json)


@app.command("reset-password")
def reset_password(
    token: Annotated[str, typer.Argument(help="The link, or the part of it after the #.")],
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Set a new password with the link that you received."""
    new = _secret(tr("New password"), stdin=password_stdin, twice=True)
    connect().account.reset_password(token_of(token), new)
    _done(tr("Your password is set. Log in: aiplatform login"), json=json)


@app.command("accept-invitation")
def accept_invitation(
    token: Annotated[str, typer.Argument(help="The link, or the part of it after the #.")],
    username: Annotated[str, typer.Argument(help="Username.")],
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Accept an invitation, and create your account."""
    new = _secret(tr("Password"), stdin=password_stdin, twice=True)
    connect().invitations.accept(token_of(token), username, new)
    _done(
        tr("Welcome. Log in: aiplatform login -u {username:quoted}", username=username), json=json
    )


@app.command()
def register(
    username: Annotated[str, typer.Argument(help="Username.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Create an account for yourself, if the platform allows it."""
    new = _secret(tr("Password"), stdin=password_stdin, twice=True)
    connect().account.register(username, email, new)
    _done(
        tr("Welcome. Log in: aiplatform login -u {username:quoted}", username=username), json=json
    )


totp = group("Second factor: codes of an authenticator app.")
app.add_typer(totp, name="totp")


@totp.command()
def status(json: Json = False) -> None:
    """Show whether you have a second factor."""
    print_record(connect().account.second_factor(), as_json=json)


@totp.command()
def enable(password_stdin: PasswordStdin = False, json: Json = False) -> None:
    """Set up an authenticator app as a second factor; asks for a first code.

    With --password-stdin, prints the secret for the app. The second factor becomes active with
    `aiplatform account totp confirm CODE`.
    """
    account = connect().account
    enrolment = account.enrol_second_factor(_secret(tr("Password"), stdin=password_stdin))
    if json:
        print_json({"secret": enrolment.secret, "uri": enrolment.uri})
        return
    print_text(tr("secret: {secret}", secret=enrolment.secret))
    print_text(tr("uri: {uri}", uri=enrolment.uri))
    if password_stdin or not sys.stdin.isatty():
        say(
            tr(
                "Enter the secret in your authenticator app, then: aiplatform account totp "
                "confirm CODE"
            )
        )
        return
    say(tr("Enter the secret in your authenticator app."))
    _show_codes(account.confirm_second_factor(typer.prompt(tr("Code"), err=True)), json=False)


@totp.command("confirm")
def confirm_totp(
    code: Annotated[str, typer.Argument(help="Code that the authenticator app shows.")],
    json: Json = False,
) -> None:
    """Activate the second factor with a first code."""
    _show_codes(connect().account.confirm_second_factor(code), json=json)


@totp.command("recovery-codes")
def recovery_codes(
    code: Code = None, password_stdin: PasswordStdin = False, json: Json = False
) -> None:
    """Replace your recovery codes."""
    given = None if code else _secret(tr("Password"), stdin=password_stdin)
    codes = connect().account.renew_recovery_codes(password=given, code=code)
    _show_codes(codes, json=json)


@totp.command()
def disable(
    code: Code = None,
    password_stdin: PasswordStdin = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove the second factor from your account."""
    confirm(tr("Log in with only the password from now on?"), yes=yes)
    given = None if code else _secret(tr("Password"), stdin=password_stdin)
    connect().account.disable_second_factor(password=given, code=code)
    _done(tr("The second factor is removed."), json=json)


def token_of(link: str) -> str:
    """Return the token in a link; text that is not a link is returned unchanged."""
    return link.rpartition("#")[2]


def _show_codes(codes: Sequence[str], *, json: bool) -> None:
    if json:
        print_json({"recovery_codes": list(codes)})
        return
    say(tr("The second factor is active. Keep these recovery codes; each works once:"))
    for code in codes:
        print_text(code)


def _secret(question: str, *, stdin: bool, twice: bool = False) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    return answer


def _done(text: str, *, json: bool, **facts: object) -> None:
    if json:
        print_json({**facts, "done": True})
    else:
        say(text)
