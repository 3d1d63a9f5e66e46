"""The commands ``aiplatform workers``."""

from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Limit, group
from aiplatform.cli.output import age_text, print_json, print_record, print_table, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Worker

app = group("Workers, which run the tasks; for administrators.")

Name = Annotated[str, typer.Argument(metavar="WORKER", help="Worker: name or uuid.")]


def state_text(worker: "Worker") -> str:
    """Return the state of a worker, or "stopped" or "silent" if it is not alive."""
    if not worker.alive:
        return "stopped" if worker.stopped_at else "silent"
    return worker.state


@app.command()
def ls(limit: Limit = 100, json: Json = False) -> None:
    """List the workers and their free resources."""
    print_table(
        connect().workers.list().take(limit),
        {
            "WORKER": lambda w: w.name,
            "STATE": state_text,
            "RUNNING": lambda w: len(w.running),
            "CPUS FREE": lambda w: tr(
                "{free} of {total}", free=f"{w.cpus_free:g}", total=f"{w.cpus:g}"
            ),
            "MEMORY FREE": lambda w: tr(
                "{free} of {total} MiB", free=w.memory_mb_free, total=w.memory_mb
            ),
            "GPUS FREE": lambda w: tr(
                "{free} of {total}", free=w.devices_free, total=len(w.devices)
            ),
            "QUEUES": lambda w: ", ".join([*w.queues, *w.labels]),
            "VERSION": lambda w: w.version,
            "SEEN": lambda w: age_text(w.heartbeat_at),
        },
        as_json=json,
        empty=tr("No worker has registered yet."),
    )


@app.command()
def show(worker: Name, json: Json = False) -> None:
    """Show a worker: what it offers, uses and runs."""
    print_record(connect().workers.get(worker), as_json=json)


@app.command()
def cordon(worker: Name, json: Json = False) -> None:
    """Cordon a worker: it accepts no more tasks. Running tasks continue."""
    found = connect().workers.cordon(worker)
    _print_state(
        found,
        tr("{name} accepts no more tasks; it runs {tasks}.", **_facts(found)),
        as_json=json,
    )


@app.command()
def drain(worker: Name, json: Json = False) -> None:
    """Drain a worker: preemptible tasks continue elsewhere; other tasks finish there."""
    found = connect().workers.drain(worker)
    _print_state(
        found,
        tr("{name} is being drained; it runs {tasks}.", **_facts(found)),
        as_json=json,
    )


@app.command()
def resume(worker: Name, json: Json = False) -> None:
    """Let a worker accept tasks again."""
    found = connect().workers.resume(worker)
    _print_state(
        found,
        tr("{name} accepts tasks again; it runs {tasks}.", **_facts(found)),
        as_json=json,
    )


def _facts(worker: "Worker") -> dict[str, object]:
    count = len(worker.running)
    tasks = tr("1 task") if count == 1 else tr("{count} tasks", count=count)
    return {"name": worker.name, "tasks": tasks}


def _print_state(worker: "Worker", text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(worker)
    else:
        say(text)
