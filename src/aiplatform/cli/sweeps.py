"""The commands ``aiplatform sweep``."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Detach, Json, Limit, OverrideGate, Priority, Project, group
from aiplatform.cli.output import (
    age_text,
    number_text,
    print_json,
    print_json_line,
    print_rows,
    print_table,
    say,
)
from aiplatform.cli.session import connect
from aiplatform.cli.specs import assign
from aiplatform.cli.task_display import waiting_printer
from aiplatform.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiplatform.client import Client, Sweep

app = group("Sweeps: hyper-parameter searches for an experiment.")

_POLL_SECONDS = 2.0

SweepArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="Sweep: name or uuid.")]


@app.command()
def create(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="Experiment: name or uuid.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the sweep.")],
    parameters: Annotated[
        list[str],
        typer.Option(
            "--param",
            metavar="PATH=VALUES",
            help="Parameter to search: lora.rank=4,8,16 or "
            "learning_rate=1e-5..1e-3:log or batch_size=2..16:int. Can be "
            "repeated.",
        ),
    ],
    method: Annotated[str, typer.Option(help="Method of the search: grid, random or tpe.")] = "tpe",
    objective: Annotated[str, typer.Option(help="Metric to optimize.")] = "eval_loss",
    maximize: Annotated[
        bool, typer.Option("--maximize", help="Maximize the metric instead of minimizing it.")
    ] = False,
    trials: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of trials.")] = 20,
    parallelism: Annotated[
        int, typer.Option(min=1, max=64, help="Number of trials that run at the same time.")
    ] = 2,
    prune: Annotated[
        str | None,
        typer.Option(metavar="SERIES", help="Stop trials early if this metric is bad."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set any other field of the sweep, such as pruning.min_steps=20 "
            "or seed=1. Can be repeated.",
        ),
    ] = None,
    priority: Priority = None,
    override_gate: OverrideGate = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Start a sweep, and follow it. Each trial is a run of the experiment."""
    options: dict[str, Any] = {
        "method": method,
        "objective": objective,
        "direction": "maximize" if maximize else "minimize",
        "max_trials": trials,
        "parallelism": parallelism,
    }
    if priority is not None:
        options["priority"] = priority
    if override_gate is not None:
        options["override_gate"] = override_gate
    if prune is not None:
        options["pruning"] = {"series": prune}
    assign(options, assignments or [])
    client = connect(project)
    found = client.sweeps.create(name, experiment, dict(map(read_parameter, parameters)), **options)
    if detach:
        if json:
            print_json(found)
        else:
            say(
                tr(
                    "Started {name}. Watch it: aiplatform sweep watch {name:quoted}",
                    name=found.name,
                )
            )
        return
    _watch(client, found, as_json=json)


def read_parameter(text: str) -> tuple[str, Any]:
    """Parse a parameter that the user wrote as ``path=values``.

    Raises:
        CommandError: if the values are neither a list nor a range.
    """
    path, equals, values = text.partition("=")
    if not equals or not values:
        raise CommandError(
            tr("--param {text}: write it as PATH=VALUES", text=text), exit_code=ExitCode.USAGE
        )
    if ".." in values:
        bounds, _, kind = values.partition(":")
        low, _, high = bounds.partition("..")
        if kind not in {"", "log", "int"}:
            raise CommandError(
                tr("--param {text}: only :log or :int", text=text), exit_code=ExitCode.USAGE
            )
        found: dict[str, Any] = {"value": None}
        assign(found, [f"low={low}", f"high={high}"])
        kind_of_range = {"kind": "int" if kind == "int" else "float"}
        return path, {**kind_of_range, "low": found["low"], "high": found["high"],
                      "log": kind == "log"}  # fmt: skip
    listed: list[Any] = []
    for value in values.split(","):
        one: dict[str, Any] = {}
        assign(one, [f"value={value}"])
        listed.append(one["value"])
    return path, listed


@app.command()
def ls(project: Project = None, limit: Limit = 50, json: Json = False) -> None:
    """List the sweeps of a project."""
    print_table(
        connect(project).sweeps.list().take(limit),
        {
            "NAME": lambda s: s.name,
            "METHOD": lambda s: s.spec.get("method"),
            "OBJECTIVE": lambda s: s.spec.get("objective"),
            "TRIALS": lambda s: s.spec.get("max_trials"),
            "STATUS": lambda s: s.status,
            "CREATED": lambda s: age_text(s.created_at),
        },
        as_json=json,
        empty=tr("There is no sweep in this project."),
    )


@app.command()
def show(sweep: SweepArgument, project: Project = None, json: Json = False) -> None:
    """Show a sweep and its trials, best first."""
    print_sweep(connect(project).sweeps.get(sweep), as_json=json)


@app.command()
def watch(sweep: SweepArgument, project: Project = None, json: Json = False) -> None:
    """Follow a sweep until it ends. Exit code 5 if it does not succeed."""
    client = connect(project)
    _watch(client, client.sweeps.get(sweep), as_json=json)


def _watch(client: "Client", sweep: "Sweep", *, as_json: bool) -> None:
    """Print the changes of a sweep until it ends, then its trials.

    Raises:
        CommandError: on Ctrl-C; the sweep continues.
    """
    try:
        ended = sweep.wait(
            interval=_POLL_SECONDS,
            on_event=None if as_json else waiting_printer(sweep.name),
            on_change=_change_printer(as_json=as_json),
        )
    except KeyboardInterrupt:
        raise CommandError(
            tr("no longer watching; {name} continues at {url}", name=sweep.name, url=client.url),
            tr(
                "`aiplatform sweep watch {name:quoted}` watches it again, `aiplatform sweep cancel "
                "{name:quoted}` ends it.",
                name=sweep.name,
            ),
            ExitCode.INTERRUPTED,
        ) from None
    if as_json:
        print_json_line(ended)
    else:
        print_sweep(ended, as_json=False)
    if ended.status != "completed":
        raise typer.Exit(ExitCode.TASK_FAILED)


def _change_printer(*, as_json: bool) -> "Callable[[Sweep], None]":
    """Return a function that prints the state of a sweep whenever it has changed."""
    last: list[str] = []

    def show_change(sweep: "Sweep") -> None:
        states = Counter(trial.state for trial in sweep.trials)
        text = tr(
            "{name}: {begun} of {most} trials begun ({counts})",
            name=sweep.name,
            begun=len(sweep.trials),
            most=sweep.spec.get("max_trials"),
            counts=", ".join(f"{count} {state}" for state, count in states.items()),
        )
        if sweep.best is not None:
            text += tr(
                "; best {objective} {value}",
                objective=sweep.spec.get("objective", ""),
                value=number_text(sweep.best.value),
            )
        if last == [text] or not sweep.trials:
            return
        last[:] = [text]
        if as_json:
            best_value = None if sweep.best is None else sweep.best.value
            data = {"trials": len(sweep.trials), "states": dict(states), "best": best_value}
            print_json_line({"event": "progress", "data": data})
        else:
            say(text)

    return show_change


@app.command()
def cancel(sweep: SweepArgument, project: Project = None, json: Json = False) -> None:
    """Cancel a sweep: start no more trials, and stop those that are running."""
    found = connect(project).sweeps.cancel(sweep)
    if json:
        print_json(found)
    else:
        say(tr("Cancelled {name}.", name=found.name))


@app.command()
def register(
    sweep: SweepArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model in the registry.")],
    project: Project = None,
    json: Json = False,
) -> None:
    """Register the model of the best trial as the next version of a name."""
    found = connect(project).sweeps.register(sweep, name)
    if json:
        print_json(found)
    else:
        say(tr("The best model is {name}@{version}.", name=found.name, version=found.version))


def print_sweep(sweep: "Sweep", *, as_json: bool) -> None:
    """Print a table of the trials, best first, with those without a value last."""
    if as_json:
        print_json(sweep)
        return
    paths = list(sweep.spec.get("parameters", {}))
    sign = -1 if sweep.spec.get("direction") == "maximize" else 1
    valued = sorted(
        (trial for trial in sweep.trials if trial.value is not None),
        key=lambda trial: sign * (trial.value or 0.0),
    )
    rest = [trial for trial in sweep.trials if trial.value is None]
    print_rows(
        ["TRIAL", "STATE", str(sweep.spec.get("objective", "")).upper(), *paths, "TASK"],
        [
            [
                trial.number,
                trial.state,
                number_text(trial.value),
                *(number_text(trial.params.get(path)) for path in paths),
                str(trial.task or "")[:8],
            ]
            for trial in [*valued, *rest]
        ],
    )
    ending = tr("{name} is {status}.", name=sweep.name, status=sweep.status)
    say(f"{ending} {sweep.error}" if sweep.error else ending)
