"""The client that commands use, and what they ask the person."""

import sys
from typing import TYPE_CHECKING

import typer

from aiplatform.language import current

if TYPE_CHECKING:
    from aiplatform.client import Client


def connect(project: str | None = None) -> "Client":
    """A client as environment and last login say; the server answers in the person's language."""
    from aiplatform.client import Client

    return Client(project=project, language=current())


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        typer.Abort: when the answer is no.
        typer.BadParameter: when there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is nobody to ask; add --yes")
    typer.confirm(question, abort=True, err=True)
