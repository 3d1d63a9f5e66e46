"""The command ``aiplatform chat``: a single question, or a conversation."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import CommandError
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import console, print_json, print_text, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import ChatStream, Deployment

_HELP = "/reset starts a new conversation, /exit or Ctrl-D ends it, Ctrl-C stops an answer."


def chat(
    deployment: Annotated[
        str,
        typer.Argument(
            metavar="DEPLOYMENT",
            help="Deployment: name or uuid; or NAME@VERSION or NAME@ALIAS of a deployed model.",
        ),
    ],
    question: Annotated[
        str | None,
        typer.Argument(
            help="The question. Without it, a conversation starts, or stdin is "
            "read if it is a pipe."
        ),
    ] = None,
    base: Annotated[bool, typer.Option(help="Ask the base model, without the adapter.")] = False,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System message.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of tokens of an answer.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=2,
            help="Randomness of the answer, 0 to 2; 0 always chooses the likeliest token.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Talk to a deployment; answers appear as they are generated."""
    deployments = connect(project).deployments
    found = deployments.serving(deployment) if "@" in deployment else deployments.get(deployment)
    if found.status in ("stopped", "crashed"):
        raise CommandError(
            tr("{name} is {status}", name=found.name, status=found.status),
            tr("Start it: aiplatform deploy start {name:quoted}", name=found.name),
        )
    wanted = {"max_tokens": max_tokens, "temperature": temperature}
    parameters: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None}
    parameters["base"] = base
    messages = [{"role": "system", "content": system}] if system else []
    if question is None and not sys.stdin.isatty():
        question = sys.stdin.read()
    if question is None:
        if json:
            raise typer.BadParameter(tr("--json needs a question"))
        _converse(found, messages, parameters)
        return
    messages.append({"role": "user", "content": question})
    if json:
        print_json(found.chat(messages, **parameters).raw)
    else:
        _answer(found, messages, parameters)


def _converse(
    deployment: "Deployment", messages: list[dict[str, Any]], parameters: dict[str, Any]
) -> None:
    import contextlib

    from aiplatform.client import ApiError

    with contextlib.suppress(ImportError):  # not available on every system
        import readline  # noqa: F401  (gives input() a history and arrow keys)

    say(tr("Talking to {name}. {help}", name=deployment.name, help=tr(_HELP)))
    beginning = list(messages)
    while True:
        try:
            question = console(stderr=True).input("[bold]> [/]").strip()
        except (EOFError, KeyboardInterrupt):
            say("")
            return
        match question:
            case "":
                continue
            case "/exit" | "/quit":
                return
            case "/reset":
                messages = list(beginning)
                continue
            case "/help":
                say(tr(_HELP))
                continue
        messages.append({"role": "user", "content": question})
        try:
            text = _answer(deployment, messages, parameters, may_stop=True)
        except ApiError as error:
            # Remove the unanswered question, so that the conversation can continue.
            messages.pop()
            say(tr("Error: {error}", error=error))
        else:
            messages.append({"role": "assistant", "content": text})


def _answer(
    deployment: "Deployment",
    messages: list[dict[str, Any]],
    parameters: dict[str, Any],
    *,
    may_stop: bool = False,
) -> str:
    """Print an answer while it is generated, and return it; ``may_stop`` allows Ctrl-C."""
    stream: ChatStream = deployment.chat(messages, stream=True, **parameters)
    try:
        for piece in stream:
            print_text(piece, end="")
    except KeyboardInterrupt:
        print_text("")
        if not may_stop:
            raise
    else:
        print_text("")
    return stream.text
