"""The commands ``aiplatform webhooks``."""

from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.names import complete_uuid
from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_rows, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from uuid import UUID

    from aiplatform.client.notifications import Webhooks

app = group("Webhooks: events of a project, sent to your programs.")

Name = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Webhook: name or uuid.")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event", "-e", help="Type of event, such as task:failed. Can be repeated. By default all."
    ),
]


@app.command()
def ls(project: Project = None, limit: Limit = 100, json: Json = False) -> None:
    """List the webhooks of a project."""
    print_table(
        connect(project).webhooks.list().take(limit),
        {
            "NAME": lambda w: w.name,
            "URL": lambda w: w.url,
            "EVENTS": lambda w: ", ".join(w.events) or "all",
            "STATE": _state,
            "UUID": lambda w: w.uuid,
        },
        as_json=json,
        empty=tr("There are no webhooks. Create one: aiplatform webhooks create NAME URL"),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the webhook.")],
    url: Annotated[str, typer.Argument(help="Address to call.")],
    event: Events = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Create a webhook, which sends events of a project to an address.

    Its secret is shown only once.
    """
    made = connect(project).webhooks.create(name, url, events=event or ())
    print_record(made, as_json=json)
    if not json:
        say(tr("Keep the secret: receivers verify calls with it, and it is not shown again."))


@app.command()
def show(webhook: Name, project: Project = None, json: Json = False) -> None:
    """Show a webhook."""
    print_record(connect(project).webhooks.get(webhook), as_json=json)


@app.command()
def update(
    webhook: Name,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    url: Annotated[str | None, typer.Option(help="New address to call.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event", "-e", help="New types of events, instead of the old ones. Can be repeated."
        ),
    ] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Enable or disable it.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Change a webhook."""
    wanted = {"name": name, "url": url, "events": event or None, "is_enabled": enable}
    given = {key: value for key, value in wanted.items() if value is not None}
    if not given:
        raise typer.BadParameter(tr("give at least one option that changes something"))
    found = connect(project).webhooks.get(webhook)
    print_record(found.update(**given), as_json=json)


@app.command()
def rotate(
    webhook: Name,
    overlap_hours: Annotated[
        float,
        typer.Option(
            min=0, max=720, help="Hours in which the old secret is also used for signing."
        ),
    ] = 24,
    project: Project = None,
    json: Json = False,
) -> None:
    """Replace the secret of a webhook. The new one is shown only once."""
    found = connect(project).webhooks.rotate(webhook, overlap_hours=overlap_hours)
    print_record(found, as_json=json)


@app.command("test")
def ping(webhook: Name, project: Project = None, json: Json = False) -> None:
    """Send a test event, and show the result."""
    delivery = connect(project).webhooks.test(webhook)
    if json:
        print_json(delivery)
    elif not delivery.calls:
        say(tr("It was not sent yet. Is a worker running?"))
    else:
        call = delivery.calls[-1]
        say(
            tr(
                "{status}: {answer}, {duration_ms} ms",
                status=delivery.status,
                answer=call.error or call.status_code,
                duration_ms=call.duration_ms,
            )
        )
    if delivery.status != "delivered":
        raise typer.Exit(1)


@app.command()
def deliveries(
    webhook: Name,
    delivery: Annotated[
        str | None,
        typer.Argument(
            metavar="[DELIVERY]",
            help="Uuid of a delivery, or its beginning, to show its calls.",
        ),
    ] = None,
    project: Project = None,
    limit: Limit = 30,
    json: Json = False,
) -> None:
    """List sent and waiting deliveries of a webhook, or show one delivery with all its calls."""
    webhooks = connect(project).webhooks
    if delivery is not None:
        found = webhooks.delivery(webhook, _delivery(webhooks, webhook, delivery))
        print_record(found, as_json=json, skip=["calls"])
        if not json:
            print_rows(
                ["CALL", "WHEN", "STATUS", "MS", "ANSWER"],
                [
                    [c.attempt, age_text(c.started_at), c.status_code or "", c.duration_ms or "",
                     c.error or c.response or ""]
                    for c in found.calls
                ],
            )  # fmt: skip
        return
    print_table(
        webhooks.deliveries(webhook).take(limit),
        {
            "EVENT": lambda d: d.type,
            "STATUS": lambda d: d.status,
            "CALLS": lambda d: d.attempts,
            "CREATED": lambda d: age_text(d.created_at),
            "UUID": lambda d: d.uuid,
        },
        as_json=json,
        empty=tr("Nothing was sent to it in the last 30 days."),
    )


@app.command()
def replay(
    webhook: Name,
    delivery: Annotated[str, typer.Argument(help="Uuid of the delivery, or its beginning.")],
    project: Project = None,
    json: Json = False,
) -> None:
    """Send an event again, with the same webhook-id."""
    webhooks = connect(project).webhooks
    again = webhooks.replay(webhook, _delivery(webhooks, webhook, delivery))
    print_record(again, as_json=json)


def _delivery(webhooks: "Webhooks", webhook: str, beginning: str) -> "UUID":
    """Return the uuid of a delivery, given the start of the uuid."""
    return complete_uuid(
        beginning,
        webhooks.deliveries(webhook),
        refusal=tr("{delivery} does not identify a delivery of this webhook", delivery=beginning),
        hint=tr("`aiplatform webhooks deliveries WEBHOOK` shows them."),
    )


@app.command("delete", hidden=True)
@app.command()
def rm(webhook: Name, project: Project = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a webhook and its log. Waiting deliveries are not sent."""
    found = connect(project).webhooks.get(webhook)
    confirm(tr("Delete the webhook {name}?", name=found.name), yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Deleted the webhook {name}.", name=found.name))


def _state(webhook: object) -> str:
    if not getattr(webhook, "is_enabled", True):
        reason = getattr(webhook, "disabled_reason", None)
        return tr("off ({reason})", reason=reason) if reason else tr("off")
    return tr("failing") if getattr(webhook, "failing_since", None) else tr("on")
