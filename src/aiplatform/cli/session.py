"""The client that commands use, and prompts for the user."""

import sys
from typing import TYPE_CHECKING

import typer

from aiplatform.language import current, tr

if TYPE_CHECKING:
    from aiplatform.client import Client


def connect(project: str | None = None) -> "Client":
    """Create a client from the environment and the last login.

    The server answers in the user's language. The project is ``project`` if given, otherwise
    ``AIPLATFORM_PROJECT`` if set, otherwise the one stored by `aiplatform projects use`.
    """
    from aiplatform.client import Client
    from aiplatform.client.credentials import CredentialStore

    client = Client(project=project, language=current())
    if client.project is None:
        chosen = CredentialStore().project(client.url)
        if chosen is not None:
            client.project = chosen[0]
            _remembered[:] = [chosen[1]]
    return client


_remembered: list[str] = []


def remembered_project() -> str | None:
    """Return the name of the project stored by `projects use`, if this command uses it."""
    return _remembered[0] if _remembered else None


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation before an action that can't be undone.

    Raises:
        typer.Abort: if the answer is no.
        typer.BadParameter: if there is no terminal for the question.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(tr("there is no terminal to ask for confirmation; add --yes"))
    typer.confirm(question, abort=True, err=True)
