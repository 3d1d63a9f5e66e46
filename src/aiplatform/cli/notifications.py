"""The commands ``aiplatform notifications``."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.names import complete_uuid
from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import (
    age_text,
    plain,
    print_json,
    print_json_line,
    print_rows,
    print_table,
    print_text,
    say,
)
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from uuid import UUID

    from aiplatform.client.notifications import Notifications

SEARCHED = 500
"""Number of recent notifications that are searched for the start of a uuid."""

app = group("Your inbox, and how you want to be notified.")


@app.command()
def ls(
    unread: Annotated[bool, typer.Option("--unread", help="Only unread notifications.")] = False,
    type: Annotated[  # noqa: A002
        str | None, typer.Option("--type", help="Only this type, such as task:failed.")
    ] = None,
    limit: Limit = 30,
    json: Json = False,
) -> None:
    """List your notifications, newest first."""
    print_table(
        connect().notifications.list(unread=unread or None, type=type).take(limit),
        {
            "": lambda n: "" if n.is_read else "*",
            "WHEN": lambda n: age_text(n.created_at),
            "TITLE": lambda n: n.title,
            "MESSAGE": lambda n: n.message or "",
            "UUID": lambda n: n.uuid,
        },
        as_json=json,
        empty=tr("There are no unread notifications.") if unread else tr("Your inbox is empty."),
    )


@app.command()
def unread(json: Json = False) -> None:
    """Show the number of unread notifications."""
    count = connect().notifications.unread()
    if json:
        print_json({"unread": count})
    else:
        print_text(str(count))


@app.command()
def watch(
    after: Annotated[
        str | None, typer.Option(help="Start after this event_id, which --json prints.")
    ] = None,
    json: Json = False,
) -> None:
    """Print new notifications as they arrive, until you press Ctrl-C."""
    for notification in connect().notifications.watch(last_event_id=after):
        if json:
            print_json_line(notification)
        else:
            print_text(f"{plain(notification.title)}: {plain(notification.message)}")


@app.command()
def read(
    notification: Annotated[
        str | None,
        typer.Argument(
            metavar="[UUID]",
            help="Uuid of the notification, or its first 6 characters or more. By default all.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Mark one notification, or all, as read."""
    notifications = connect().notifications
    if notification is None:
        changed = notifications.mark_all_read()
    else:
        notifications.mark_read(_meant(notifications, notification))
        changed = 1
    if json:
        print_json({"read": changed})
    else:
        say(tr("Marked {changed} as read.", changed=changed))


@app.command()
def rm(
    notification: Annotated[
        str | None,
        typer.Argument(
            metavar="[UUID]",
            help="Uuid of the notification, or its first 6 characters or more. By default all that "
            "you have read.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Delete one notification, or all that you have read."""
    notifications = connect().notifications
    if notification is None:
        deleted = notifications.delete_read()
    else:
        notifications.delete(_meant(notifications, notification))
        deleted = 1
    if json:
        print_json({"deleted": deleted})
    else:
        say(tr("Deleted {deleted}.", deleted=deleted))


def _meant(notifications: "Notifications", beginning: str) -> "UUID":
    """Return the uuid of a notification, given the start of the uuid."""
    return complete_uuid(
        beginning,
        islice(notifications.list(), SEARCHED),
        refusal=tr(
            "{notification} does not identify one of your notifications", notification=beginning
        ),
        hint=tr("`aiplatform notifications ls` shows them."),
    )


@app.command()
def preferences(
    email: Annotated[
        str | None,
        typer.Option(help="When to send e-mails: off, immediate, hourly or daily."),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of e-mails: en or zh.")] = None,
    mail: Annotated[
        list[str] | None, typer.Option(help="Send this type by e-mail. Can be repeated.")
    ] = None,
    no_mail: Annotated[
        list[str] | None, typer.Option(help="Don't send this type by e-mail. Can be repeated.")
    ] = None,
    inbox: Annotated[
        list[str] | None, typer.Option(help="Put this type into the inbox. Can be repeated.")
    ] = None,
    no_inbox: Annotated[
        list[str] | None, typer.Option(help="Keep this type out of the inbox. Can be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how you are notified, or change it with the options."""
    types: dict[str, dict[str, bool]] = {}
    for names, channel, wanted in (
        (mail, "email", True), (no_mail, "email", False),
        (inbox, "inbox", True), (no_inbox, "inbox", False),
    ):  # fmt: skip
        for name in names or ():
            types.setdefault(name, {})[channel] = wanted
    notifications = connect().notifications
    if email or language or types:
        found = notifications.set_preferences(email=email, language=language, types=types or None)
    else:
        found = notifications.preferences()
    if json:
        print_json(found)
        return
    say(
        tr("E-mail: {email}, in Chinese.", email=found.email)
        if found.language == "zh"
        else tr("E-mail: {email}, in English.", email=found.email)
    )
    print_rows(
        ["TYPE", "", "INBOX", "E-MAIL"],
        [
            [
                row.type,
                row.label,
                tr("always") if row.mandatory else tr("yes") if row.inbox else tr("no"),
                tr("yes") if row.email else tr("no"),
            ]
            for row in found.types
        ],
    )
