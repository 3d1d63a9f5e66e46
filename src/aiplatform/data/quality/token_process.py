"""Count tokens in a separate process, in parallel with the checks."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiplatform.data.limits import MIB
from aiplatform.data.quality.token_lengths import TokenLengths

PROGRAM = "aiplatform.data.quality.count_tokens"

LEAST_BYTES = 4 * MIB
"""Size of a Parquet file above which a separate process is used.

For a smaller file, starting the process would take longer than counting.
"""

ASK_SECONDS = 1.0
"""Seconds between calls to ``wait``, in which the caller may report progress or cancel."""


class CountingFailedError(RuntimeError):
    """Tokens could not be counted; the message tells the user why."""


class TokenProcess:
    """A process that counts the tokens of a file; a context manager, which stops it on exit.

    The process also exits when this process exits, for whatever reason.

    Args:
        parquet: The canonical Parquet file.
        weights: The model's directory with ``tokenizer.json``.
        max_length: Number of tokens at which training truncates a row.
        keeps_rows: As in :class:`~aiplatform.data.quality.check.Context`.

    Attributes:
        rows: The number of rows counted so far.
    """

    def __init__(self, parquet: Path, weights: Path, max_length: int, *, keeps_rows: bool) -> None:
        self.rows = 0
        self._message: dict[str, Any] = {}
        command = [
            *(sys.executable, "-P", "-m", PROGRAM, f"--rows={parquet}", f"--weights={weights}"),
            *(f"--max-length={max_length}", *(["--keeps-rows"] if keeps_rows else [])),
        ]
        # The new process inherits standard error, so its messages go to the same log.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._listener = threading.Thread(target=self._listen, name="tokens", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise the error of the process if it has failed.

        Raises:
            CountingFailedError: the process was killed or failed.
            OSError: the process failed with this error.
            MemoryError: the process failed with this error.
            aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template
                does not compile.
        """
        if not self._listener.is_alive() and "lengths" not in self._message:
            raise self._failure()

    def lengths(self, wait: Callable[[], None]) -> TokenLengths:
        """Wait until all rows are counted, and return the lengths.

        Args:
            wait: Called every :data:`ASK_SECONDS` while waiting.

        Raises:
            Exception: as in :meth:`check`.
        """
        while self._listener.is_alive():
            self._listener.join(ASK_SECONDS)
            wait()
        self.check()
        return TokenLengths.of_dict(self._message["lengths"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # The process was killed while it wrote this line.
            message = json.loads(line)
            self.rows = message.pop("rows", self.rows)
            self._message = message

    def _failure(self) -> Exception:
        match self._message:
            case {"error": "OSError", "args": args}:
                return OSError(*args)
            case {"error": "MemoryError"}:
                return MemoryError()
            case {"error": "TemplateRefusedError", "args": args}:
                # Imported late: it needs Jinja, which is not installed on the server.
                from aiplatform.data.quality.chat_template import (  # noqa: PLC0415
                    TemplateRefusedError,
                )

                return TemplateRefusedError(*args)
            case {"error": name, "args": [text]}:
                return CountingFailedError(f"Tokens could not be counted: {name}: {text}")
        return CountingFailedError(f"The process that counts tokens {self._ending()}.")

    def _ending(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit status {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = " (perhaps the machine ran out of memory)" if code == -signal.SIGKILL else ""
        return f"was killed by {name}{memory}"
