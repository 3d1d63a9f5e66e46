"""The client that commands use, and what they ask the person."""

import sys
from typing import TYPE_CHECKING

import typer

from aiplatform.language import current, tr

if TYPE_CHECKING:
    from aiplatform.client import Client


def connect(project: str | None = None) -> "Client":
    """Return a client as environment and last login say.

    The server answers in the person's language. The project is ``project``, else that of
    ``AIPLATFORM_PROJECT``, else the one that `aiplatform projects use` has remembered.
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
    """Return the name of the remembered project if this command uses it."""
    return _remembered[0] if _remembered else None


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        typer.Abort: when the answer is no.
        typer.BadParameter: when there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(tr("there is nobody to ask; add --yes"))
    typer.confirm(question, abort=True, err=True)
