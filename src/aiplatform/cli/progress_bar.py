"""The progress bar for uploads and downloads."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(label: str, *, hidden: bool = False) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield a callback that draws the progress in bytes on stderr, or None without a terminal."""
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
