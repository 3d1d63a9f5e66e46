"""Progress displays: a bar for transfers, and a bar, lines or JSON for a running task."""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.output import duration_text, plain, print_json_line, print_text, say
from aiplatform.language import current, tr
from aiplatform.protocol.enums import LogStream

if TYPE_CHECKING:
    from aiplatform.client import Client, Task, TaskEvent


@contextlib.contextmanager
def bar(label: str, *, hidden: bool = False) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield a callback that draws a progress bar on stderr, or None if there is no terminal."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from aiplatform.cli.output import console, plain

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    ) as progress:
        row = progress.add_task(plain(label), total=None)
        yield lambda done, total: progress.update(row, completed=done, total=total)


_LINE_SECONDS = 10.0
_DIGITS = re.compile(r"\d+")
_SHOWN_METRICS = ("loss", "train_loss", "eval_loss", "perplexity")


def say_queued(task: "Task") -> None:
    """Print that a task is queued, and how to watch it."""
    say(
        tr(
            "Queued {name}. Watch it: aiplatform tasks watch {uuid:quoted}",
            name=task.name,
            uuid=task.uuid,
        )
    )


def follow(client: "Client", task: "Task", *, as_json: bool, show_output: bool = False) -> "Task":
    """Show a task until it ends; with ``as_json``, print each event as a line on stdout.

    Args:
        client: the client of the server that runs the task.
        task: the task.
        as_json: print every event as JSON.
        show_output: print the output of the task instead of a bar.

    Returns:
        The task in its final state.

    Raises:
        TaskFailed: if the task does not complete.
        CommandError: on Ctrl-C; the task continues.
    """
    try:
        if as_json:
            return task.wait(on_event=_print_event)
        with _Display(task.name, show_output=show_output) as display:
            return task.wait(on_event=display.show)
    except KeyboardInterrupt:
        raise CommandError(
            tr("no longer watching; {name} continues at {url}", name=task.name, url=client.url),
            tr(
                "`aiplatform tasks watch {uuid:quoted}` watches it again, `aiplatform tasks cancel "
                "{uuid:quoted}` ends it.",
                uuid=task.uuid,
            ),
            ExitCode.INTERRUPTED,
        ) from None


def waiting_printer(
    name: str, print_line: Callable[[str], None] = say
) -> Callable[["TaskEvent"], None]:
    """Return a function that prints why ``name`` is waiting, for events of kind ``waiting``.

    If only numbers in the reason have changed, it is printed at most once every ten seconds.
    """
    label = plain(name)
    printed, printed_at = "", 0.0

    def show(event: "TaskEvent") -> None:
        nonlocal printed, printed_at
        field = "reason_zh" if current() == "zh" else "reason"
        reason = plain(str(event.data.get(field) or event.data.get("reason", "")))
        if event.kind != "waiting" or not reason or reason == printed:
            return
        now = time.monotonic()
        if _DIGITS.sub("", reason) == _DIGITS.sub("", printed) and now - printed_at < _LINE_SECONDS:
            return
        printed, printed_at = reason, now
        print_line(tr("{name} waits: {reason}", name=label, reason=reason))

    return show


def print_output(data: Mapping[str, Any]) -> None:
    """Print lines of a task's log: its stdout to stdout, everything else to stderr."""
    text = plain(str(data.get("text", ""))).removesuffix("\n")
    if data.get("stream") == LogStream.STDOUT:
        print_text(text)
    else:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _print_event(event: "TaskEvent") -> None:
    print_json_line({"event": event.kind, "data": event.data, "id": event.id})


class _Display:
    """The progress of a task on stderr; with ``show_output``, also the task's output.

    Output lines and a bar would overwrite each other, so only one of them is shown.
    """

    def __init__(self, name: str, *, show_output: bool = False) -> None:
        self._name = plain(name)
        self._show_output = show_output
        self._print_waiting = waiting_printer(name, self._line)
        self._status = ""
        self._metrics: dict[str, float] = {}
        self._progress: dict[str, Any] = {}
        self._bar: Any = None
        self._row: Any = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._show_output:
            from rich.progress import BarColumn, Progress, TextColumn

            from aiplatform.cli.output import console

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[facts]}", markup=False),
                console=console(stderr=True),
            )
            self._bar.start()
            self._row = self._bar.add_task(self._name, total=1.0, facts="")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: "TaskEvent") -> None:
        """Update the display after an event."""
        data = event.data
        match event.kind:
            case "status" | "end":
                changed = data.get("status") != self._status
                self._status = str(data.get("status", ""))
                if changed and self._bar is None:
                    say(f"{self._name}: {self._status}")
            case "waiting":
                self._print_waiting(event)
                return
            case "log":
                if self._show_output:
                    print_output(data)
                return
            case "progress":
                self._progress |= data
            case "metrics":
                values = data.get("values", {})
                self._metrics |= {k: float(v) for k, v in values.items() if k in _SHOWN_METRICS}
            case _:
                return
        self._draw(last=event.kind == "end")

    def _line(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, *, last: bool) -> None:
        facts = " · ".join(self._facts())
        if self._bar is not None:
            done = float(self._progress.get("value") or 0.0)
            if self._status == "completed":
                done = 1.0
            waiting = f"{self._name} ({self._status})" if self._status != "running" else self._name
            self._bar.update(self._row, description=waiting, completed=done, facts=facts)
        elif facts and (last or time.monotonic() - self._last_line >= _LINE_SECONDS):
            self._last_line = time.monotonic()
            say(f"{self._name}: {facts}")

    def _facts(self) -> list[str]:
        facts = []
        step, steps = self._progress.get("step"), self._progress.get("total_steps")
        if step is not None:
            facts.append(
                tr("step {step}/{steps}", step=step, steps=steps)
                if steps
                else tr("step {step}", step=step)
            )
        facts += [
            f"{tr(key.replace('_', ' '))} {self._metrics[key]:.3f}"
            for key in _SHOWN_METRICS
            if key in self._metrics
        ]
        left = self._progress.get("seconds_left")
        if left is not None and self._status == "running":
            facts.append(tr("{duration} left", duration=duration_text(left)))
        return facts
