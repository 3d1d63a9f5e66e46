"""For scripts that the platform runs: say how it goes.

    from aiplatform.client import reporting

    reporting.metrics(step, loss=loss)
    reporting.progress(step / steps)
    reporting.checkpoint(step, "epoch-1")  # a directory below $AIPLATFORM_CHECKPOINTS

Outside the platform every call does nothing, so that a script runs anywhere. Programs that have no
AI Platform installed write the same JSON lines to the descriptor ``$AIPLATFORM_REPORT_FD``.
"""

import os
import threading
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import (
    Checkpoint,
    Event,
    Message,
    Metrics,
    Progress,
    encode,
)

_lock = threading.Lock()


def metrics(step: int, **values: float) -> None:
    """Values measured at one step."""
    _send(Metrics(step=step, values={name: float(value) for name, value in values.items()}))


def progress(value: float) -> None:
    """How far the script is, 0 to 1."""
    _send(Progress(value=min(max(value, 0.0), 1.0)))


def event(name: str, **data: Any) -> None:
    """A line for the task's timeline."""
    _send(Event(name=name, data=data))


def checkpoint(step: int, directory: str | os.PathLike[str]) -> None:
    """Announce a complete directory below the checkpoints; the next attempt may begin from it."""
    _send(Checkpoint(step=step, path=str(directory)))


def resume_from() -> Path | None:
    """The newest checkpoint of an attempt before this one, if there is one."""
    path = os.environ.get("AIPLATFORM_RESUME_FROM")
    return None if path is None else Path(path)


def inputs() -> Path:
    """Where datasets (``datasets/NAME.parquet``) and models (``models/NAME/``) lie."""
    return Path(os.environ.get("AIPLATFORM_INPUTS", "."))


def output() -> Path:
    """Where files are put that shall be kept as the task's artifacts."""
    return Path(os.environ.get("AIPLATFORM_OUTPUT", "."))


def checkpoints() -> Path:
    """Where checkpoints are written."""
    return Path(os.environ.get("AIPLATFORM_CHECKPOINTS", "."))


def _send(message: Message) -> None:
    descriptor = os.environ.get("AIPLATFORM_REPORT_FD", "")
    if not descriptor.isdigit():
        return
    line = encode(message)
    with _lock:  # a line is never torn
        while line:
            line = line[os.write(int(descriptor), line) :]
