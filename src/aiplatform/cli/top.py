"""The command ``aiplatform tasks top``: the queue, running tasks and workers, live."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiplatform.cli.output import console, duration_text, plain
from aiplatform.language import tr

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aiplatform.client import Client, Task, Worker

QUIT = ("q", "Q", "\x03", "\x04")
MAX_LISTED = 15
BAR_WIDTH = 12


@dataclass(frozen=True)
class View:
    """A snapshot of the platform. ``workers`` is None if the user may not see workers."""

    running: list["Task"]
    waiting: list["Task"]
    more_waiting: bool
    workers: list["Worker"] | None
    moment: datetime


def fetch_view(client: "Client") -> View:
    """Fetch the data for the whole screen once."""
    from aiplatform.client import PermissionDenied

    running = client.tasks.list(status="running").take(MAX_LISTED)
    running += client.tasks.list(status="cancelling").take(MAX_LISTED - len(running) or 1)
    waiting = client.tasks.list(status="pending").take(MAX_LISTED + 1)
    waiting.sort(key=lambda task: task.position or 1 << 60)
    workers: list[Worker] | None
    try:
        workers = [worker for worker in client.workers.list().take(50) if worker.alive]
    except PermissionDenied:
        workers = None
    more = len(waiting) > MAX_LISTED
    return View(running, waiting[:MAX_LISTED], more, workers, datetime.now(UTC))


def screen(view: View, url: str) -> "RenderableType":
    """Return the whole screen for rich."""
    from rich.console import Group
    from rich.text import Text

    head = tr(
        "{url} · {running} running, {waiting} waiting · {moment:%H:%M:%S} UTC",
        url=url,
        running=len(view.running),
        waiting=f"{len(view.waiting)}{'+' if view.more_waiting else ''}",
        moment=view.moment,
    )
    parts: list[RenderableType] = [Text(plain(head), style="bold")]
    parts.append(_table(tr("RUNNING"), RUNNING, view.running, tr("No task is running.")))
    parts.append(_table(tr("WAITING"), WAITING, view.waiting, tr("No task is waiting.")))
    if view.workers is not None:
        parts.append(_table(tr("WORKERS"), WORKERS, view.workers, tr("No worker is running.")))
    return Group(*parts)


def bar(share: float) -> str:
    """Return a fraction from 0 to 1 as a bar, with its percentage."""
    full = round(max(0.0, min(1.0, share)) * BAR_WIDTH)
    return f"{'█' * full}{'░' * (BAR_WIDTH - full)} {share:4.0%}"


def _remaining_text(task: "Task") -> str:
    detail = task.progress_detail or {}
    return duration_text(detail.get("seconds_left"))


def _step(task: "Task") -> str:
    detail = task.progress_detail or {}
    step, steps = detail.get("step"), detail.get("total_steps")
    if step is None:
        return ""
    return f"{step}/{steps}" if steps else str(step)


def _runtime_text(task: "Task") -> str:
    if task.started_at is None:
        return ""
    return duration_text((datetime.now(UTC) - task.started_at).total_seconds())


def _load(worker: "Worker") -> str:
    return bar(float(worker.load.get("cpu_percent", 0.0)) / 100)


def _memory(worker: "Worker") -> str:
    used = float(worker.load.get("memory_used_mb", 0.0))
    return tr("{used:.1f} of {total:.1f} GiB", used=used / 1024, total=worker.memory_mb / 1024)


def _gpus(worker: "Worker") -> str:
    if not worker.devices:
        return tr("no GPU")
    busy = [value for key, value in worker.load.items() if key.endswith(".percent")]
    text = tr("{free} of {total} free", free=worker.devices_free, total=len(worker.devices))
    if busy:
        text += tr(" · {percent:.0f} % busy", percent=sum(busy) / len(busy))
    return text


RUNNING: dict[str, Any] = {
    "TASK": lambda t: str(t.uuid)[:8],
    "NAME": lambda t: t.name,
    "TYPE": lambda t: t.type,
    "WORKER": lambda t: t.worker or "",
    "PROGRESS": lambda t: bar(t.progress),
    "STEP": _step,
    "RUNTIME": _runtime_text,
    "LEFT": _remaining_text,
}
WAITING: dict[str, Any] = {
    "#": lambda t: t.position or "",
    "TASK": lambda t: str(t.uuid)[:8],
    "NAME": lambda t: t.name,
    "TYPE": lambda t: t.type,
    "PRIORITY": lambda t: t.priority,
    "WHY": lambda t: "" if t.waiting is None else t.waiting.reason,
}
WORKERS: dict[str, Any] = {
    "WORKER": lambda w: w.name,
    "STATE": lambda w: w.state,
    "RUNNING": lambda w: len(w.running),
    "CPU": _load,
    "MEMORY": _memory,
    "GPUS": _gpus,
}


def _table(title: str, columns: dict[str, Any], rows: list[Any], empty: str) -> "RenderableType":
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    if not rows:
        return Text(f"\n{title}: {empty}", style="dim")
    table = Table(
        *(Column(tr(name), no_wrap=True, overflow="ellipsis") for name in columns),
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(*(Text(plain(show(row))) for show in columns.values()))
    return table


def top(client: "Client", seconds: float) -> None:
    """Show the screen until the user presses q; without a terminal, print it once."""
    from rich.live import Live

    from aiplatform.client import ServerUnavailable

    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        console().print(screen(fetch_view(client), client.url))
        return
    trouble = ""
    view = fetch_view(client)
    with (
        _keys() as pressed,
        Live(screen(view, client.url), console=console(), screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(_with_footer(view, client.url, trouble, seconds), refresh=True)
            if pressed(seconds):
                return
            try:
                view, trouble = fetch_view(client), ""
            except ServerUnavailable as error:
                # The server may be restarting: keep the last snapshot, with the error below it.
                trouble = str(error)


def _with_footer(view: View, url: str, trouble: str, seconds: float) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    footer = trouble or tr("q ends · every {seconds:g} s", seconds=seconds)
    style = "bold red" if trouble else "dim"
    return Group(screen(view, url), Text(f"\n{plain(footer)}", style=style))


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Yield a function that waits for the given seconds and returns True if the user quits.

    Inside the context, keys are read one by one. Afterwards, the terminal is restored.
    """
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows has none of these; Ctrl-C ends the program there
        yield _sleep
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([sys.stdin], [], [], left)
            if ready and (sys.stdin.read(1) or "q") in QUIT:
                return True
        return False

    try:
        tty.setcbreak(descriptor)
        yield pressed
    except KeyboardInterrupt:
        pass  # Ctrl-C is one of the ways to quit
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        return True
    return False
