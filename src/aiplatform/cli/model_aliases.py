"""The commands ``aiplatform models alias``."""

from typing import Annotated

import typer

from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

app = group("Aliases: names such as production that point to one version of a model.")

AliasArgument = Annotated[
    str, typer.Argument(metavar="NAME@ALIAS", help="Alias of a model, such as faq@production.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Why; the history and the audit trail keep it.")
]


@app.command()
def ls(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Only the aliases of this model: name or uuid."),
    ] = None,
    project: Project = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the aliases of a project's models, or of one model."""
    print_table(
        connect(project).models.aliases(model).take(limit),
        {
            "ALIAS": lambda a: a.reference,
            "VERSION": lambda a: a.version,
            "MOVED": lambda a: age_text(a.moved_at),
            "BY": lambda a: a.moved_by.username if a.moved_by else None,
            "REASON": lambda a: a.reason,
        },
        as_json=json,
        empty=tr(
            "There are no aliases. Set one: aiplatform models alias set NAME@VERSION production "
            "--reason TEXT"
        ),
    )


@app.command("set")
def set_alias(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="NAME (the newest version), NAME@VERSION, NAME@ALIAS or uuid of a model.",
        ),
    ],
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="Name of the alias, such as production.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; the history and the audit trail keep it.")
    ],
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Refuse the move unless the alias points to this version now, as in NAME@VERSION.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Let an alias point to a version. It is created if it does not exist."""
    models = connect(project).models
    made = models.set_alias(model, alias, reason=reason, expected=expected)
    if json:
        print_json(made)
    else:
        say(
            tr(
                "{reference} points to version {version}.",
                reference=made.reference,
                version=made.version,
            )
        )


@app.command()
def history(
    alias: AliasArgument, project: Project = None, limit: Limit = 100, json: Json = False
) -> None:
    """Show the moves of an alias, newest first."""
    model, name = _parse(alias)
    print_table(
        connect(project).models.alias_moves(model, name).take(limit),
        {
            "FROM": lambda m: m.from_version,
            "TO": lambda m: m.to_version,
            "WHEN": lambda m: age_text(m.moved_at),
            "BY": lambda m: m.moved_by.username if m.moved_by else None,
            "UNDO": lambda m: tr("yes") if m.is_undo else None,
            "UNDONE": lambda m: tr("yes") if m.undone else None,
            "REASON": lambda m: m.reason,
        },
        as_json=json,
        empty=tr("There is no alias {alias}.", alias=alias),
    )


@app.command()
def undo(
    alias: AliasArgument, reason: Reason = None, project: Project = None, json: Json = False
) -> None:
    """Let an alias point to the version before its last move, or bring a deleted alias back."""
    model, name = _parse(alias)
    made = connect(project).models.undo_alias(model, name, reason=reason)
    if json:
        print_json(made)
    else:
        say(
            tr(
                "{reference} points to version {version} again.",
                reference=made.reference,
                version=made.version,
            )
        )


@app.command()
def rm(
    alias: AliasArgument,
    reason: Reason = None,
    project: Project = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete an alias. The version that it points to is kept."""
    model, name = _parse(alias)
    models = connect(project).models
    confirm(tr("Delete the alias {alias}?", alias=alias), yes=yes)
    models.delete_alias(model, name, reason=reason)
    if json:
        print_json({"alias": alias, "done": True})
    else:
        say(
            tr(
                "Deleted the alias {alias}. Bring it back: aiplatform models alias undo "
                "{alias:quoted}",
                alias=alias,
            )
        )


def _parse(text: str) -> tuple[str, str]:
    """Return the model and the alias of ``NAME@ALIAS``; the model can also be a uuid.

    Raises:
        typer.BadParameter: if a part is missing.
    """
    model, _, alias = text.partition("@")
    if not (model and alias):
        raise typer.BadParameter(
            tr("{text!r} is not NAME@ALIAS", text=text), param_hint="NAME@ALIAS"
        )
    return model, alias
