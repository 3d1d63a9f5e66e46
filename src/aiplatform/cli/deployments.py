"""The commands ``aiplatform deploy``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.models import model_or_task
from aiplatform.cli.options import After, Json, Limit, ModelOrTask, Project, Set, Yes, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign
from aiplatform.cli.task_display import waiting_printer
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Deployment

app = group("Deployments: models that are served and answer requests.")

DeploymentArgument = Annotated[
    str, typer.Argument(metavar="DEPLOYMENT", help="Deployment: name or uuid.")
]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="Update the deployment whenever the alias in MODEL moves."),
]
# The space keeps click from taking the slash for the start of an option name.
Wait = Annotated[
    bool, typer.Option("--wait/--detach", " /--no-wait", help="Wait until it is done.")
]


@app.command()
def create(
    model: ModelOrTask,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name that requests use. By default the name of the model."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Program that serves the model: transformers, llama_cpp or vllm."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=8, help="Length of the context, in tokens.")
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of requests that are decoded together."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Number format of the weights: auto, fp32 or bf16; with llama_cpp also fp16, q8_0."
        ),
    ] = None,
    follow: Follow = False,
    assignments: Set = None,
    after: After = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--detach",
            " /--no-wait",
            help="Return when the deployment answers. This is the default, unless it "
            "waits for other tasks.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Serve a model.

    With task:TASK, waits for that training run and serves the model that it produces. With --after,
    waits until these tasks have succeeded. If one of them fails, the deployment is stopped.

    With --follow, MODEL is NAME@ALIAS, and the deployment serves what the alias points to.
    """
    from aiplatform.client import Task

    fields = {
        "engine": engine,
        "max_length": max_length,
        "max_batch_size": max_batch_size,
        "precision": precision,
    }
    options = _options(fields, assignments or [])
    client = connect(project)
    meant = model_or_task(client, model)
    found = meant if isinstance(meant, Task) else client.models.get(meant)
    own_name = found.config.get("output_name") if isinstance(found, Task) else None
    deployment = client.deployments.create(
        name or own_name or found.name,
        model if follow else found,
        after=after or (),
        follow=follow,
        **options,
    )
    waits = bool(after) or isinstance(found, Task)
    if wait or (wait is None and not waits):
        deployment = _ready(deployment, json=json)
    if json:
        print_json(deployment)
    elif waits and deployment.status == "starting":
        say(
            tr(
                "{name} starts when the tasks that it waits for have ended: aiplatform deploy ls",
                name=deployment.name,
            )
        )
    else:
        _print_status(deployment)
        say(tr("Ask it: aiplatform chat {name:quoted} 'your question'", name=deployment.name))
        say(
            tr(
                "OpenAI clients: base_url={openai_url} model={name}",
                openai_url=client.openai_url,
                name=deployment.name,
            )
        )


def _options(fields: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Apply the assignments to the fields; return the options for ``Deployments.create``.

    Raises:
        CommandError: if a deployment has no such field.
        pydantic.ValidationError: if the resources are invalid.
    """
    from aiplatform.protocol.task_options import Resources

    known = [*fields, "resources"]
    given = {key: value for key, value in fields.items() if value is not None}
    assign(given, assignments)
    for key in given.keys() - set(known):
        raise CommandError(
            tr("--set {key}: a deployment has no such field", key=key),
            tr("It has {known}.", known=", ".join(known)),
            ExitCode.USAGE,
        )
    if "resources" in given:
        given["resources"] = Resources.model_validate(given["resources"])
    return given


@app.command()
def ls(project: Project = None, limit: Limit = 50, json: Json = False) -> None:
    """List the deployments of a project."""
    print_table(
        connect(project).deployments.list().take(limit),
        {
            "NAME": lambda d: d.name,
            "MODEL": lambda d: d.model_name,
            "FOLLOWS": lambda d: d.follows,
            "STATUS": lambda d: d.status,
            "RESTARTS": lambda d: d.restarts or "",
            "ERROR": lambda d: d.error,
            "CHANGED": lambda d: age_text(d.updated_at),
            "UUID": lambda d: d.uuid,
        },
        as_json=json,
        empty=tr("Nothing is deployed. Serve a model: aiplatform deploy create MODEL"),
    )


@app.command()
def show(deployment: DeploymentArgument, project: Project = None, json: Json = False) -> None:
    """Show a deployment."""
    client = connect(project)
    print_record(client.deployments.get(deployment), as_json=json, client=client)


@app.command()
def start(
    deployment: DeploymentArgument, wait: Wait = True, project: Project = None, json: Json = False
) -> None:
    """Start a deployment that was stopped or crashed."""
    found = connect(project).deployments.start(deployment)
    _finish(_ready(found, json=json) if wait else found, json=json)


@app.command()
def stop(
    deployment: DeploymentArgument, wait: Wait = True, project: Project = None, json: Json = False
) -> None:
    """Stop a deployment. Requests in progress are completed first."""
    found = connect(project).deployments.stop(deployment)
    _finish(found.wait_stopped() if wait else found, json=json)


@app.command()
def restart(
    deployment: DeploymentArgument, wait: Wait = True, project: Project = None, json: Json = False
) -> None:
    """Stop a deployment and start it again."""
    found = connect(project).deployments.restart(deployment)
    _finish(_ready(found, json=json) if wait else found, json=json)


@app.command()
def update(
    deployment: DeploymentArgument,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="NAME (the newest version), NAME@VERSION, NAME@ALIAS or uuid of a model.",
        ),
    ],
    follow: Follow = False,
    wait: Wait = True,
    project: Project = None,
    json: Json = False,
) -> None:
    """Serve another model under the same name, without interruption.

    The new server starts alongside the current one and takes over when it is ready. If it fails to
    start, the current one continues. To go back, update to the previous model.

    With --follow, MODEL is NAME@ALIAS, and each move of the alias updates the deployment again.
    Without it, the deployment stops following an alias.
    """
    found = connect(project).deployments.update(deployment, model, follow=follow)
    if wait:
        found = found.wait_updated(on_event=None if json else waiting_printer(found.name))
    if json:
        print_json(found)
    elif found.updating is not None:
        say(
            tr(
                "{name} serves {model} until {next} is ready: aiplatform deploy ls",
                name=found.name,
                model=found.model_name,
                next=found.updating.model_name,
            )
        )
    else:
        say(
            tr(
                "{name} is {status} and serves {model}.",
                name=found.name,
                status=found.status,
                model=found.model_name,
            )
        )


@app.command()
def rm(
    deployment: DeploymentArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Stop and delete a deployment."""
    found = connect(project).deployments.get(deployment)
    confirm(tr("Delete the deployment {name}?", name=found.name), yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Deleted the deployment {name}.", name=found.name))


def _ready(deployment: "Deployment", *, json: bool) -> "Deployment":
    """Wait until the deployment responds; in the meantime, print why its server hasn't started."""
    return deployment.wait_ready(on_event=None if json else waiting_printer(deployment.name))


def _finish(deployment: "Deployment", *, json: bool) -> None:
    if json:
        print_json(deployment)
    else:
        _print_status(deployment)


def _print_status(deployment: "Deployment") -> None:
    say(tr("{name} is {status}.", name=deployment.name, status=deployment.status))
