"""Functions through which a script run by the platform reports its progress.

    from aiplatform.client import reporting

    reporting.metrics(step, loss=loss)
    reporting.progress(step / steps)
    reporting.checkpoint(step, "epoch-1")  # a directory below $AIPLATFORM_CHECKPOINTS

Outside the platform, the functions do nothing, so the same script runs anywhere. Programs without
the AI Platform package can write the same JSON lines to the file descriptor
``$AIPLATFORM_REPORT_FD``.
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
    """Report metrics: values that were measured at one step."""
    _send(Metrics(step=step, values={name: float(value) for name, value in values.items()}))


def progress(value: float) -> None:
    """Report the progress of the script, from 0 to 1."""
    _send(Progress(value=min(max(value, 0.0), 1.0)))


def event(name: str, **data: Any) -> None:
    """Add an event to the task's timeline."""
    _send(Event(name=name, data=data))


def checkpoint(step: int, directory: str | os.PathLike[str]) -> None:
    """Report a complete checkpoint directory, from which the next attempt can resume.

    The path is relative to the directory of :func:`checkpoints`.
    """
    _send(Checkpoint(step=step, path=str(directory)))


def resume_from() -> Path | None:
    """Return the newest checkpoint of an earlier attempt, or None."""
    path = os.environ.get("AIPLATFORM_RESUME_FROM")
    return None if path is None else Path(path)


def inputs() -> Path:
    """Return the directory with the task's input files.

    Datasets are in ``datasets/NAME.parquet``, models in ``models/NAME/``.
    """
    return Path(os.environ.get("AIPLATFORM_INPUTS", "."))


def output() -> Path:
    """Return the directory whose files are kept as artifacts of the task."""
    return Path(os.environ.get("AIPLATFORM_OUTPUT", "."))


def checkpoints() -> Path:
    """Return the directory for checkpoints."""
    return Path(os.environ.get("AIPLATFORM_CHECKPOINTS", "."))


def _send(message: Message) -> None:
    descriptor = os.environ.get("AIPLATFORM_REPORT_FD", "")
    if not descriptor.isdigit():
        return
    line = encode(message)
    with _lock:  # lines of two threads must not be mixed
        while line:
            line = line[os.write(int(descriptor), line) :]
