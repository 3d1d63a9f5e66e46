"""Counting tokens beside the checks, in a process of its own."""

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
"""Least size of a Parquet file that is worth a process: a smaller one is counted sooner."""

ASK_SECONDS = 1.0
"""How often a caller that waits is told how far it is; it may want to stop."""


class CountingFailedError(RuntimeError):
    """Tokens could not be counted; the text says why, for the person who asked."""


class TokensBeside:
    """A process that counts the tokens of a whole file; use as a context manager, which ends it.

    It also ends when this process does, however that ends.

    Args:
        parquet: the canonical Parquet.
        weights: the model's directory with ``tokenizer.json``.
        max_length: rows with more tokens are cut in training.
        keeps_rows: as in :class:`~aiplatform.data.quality.check.Context`.

    Attributes:
        rows: how many are counted so far.
    """

    def __init__(self, parquet: Path, weights: Path, max_length: int, *, keeps_rows: bool) -> None:
        self.rows = 0
        self._told: dict[str, Any] = {}
        command = [
            *(sys.executable, "-P", "-m", PROGRAM, f"--rows={parquet}", f"--weights={weights}"),
            *(f"--max-length={max_length}", *(["--keeps-rows"] if keeps_rows else [])),
        ]
        # What it writes to standard error is for the log, as if this process had written it.
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
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Look whether it still counts, or has counted all rows.

        Raises:
            CountingFailedError: it was killed, or failed.
            OSError, MemoryError: it met with that.
            aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template
                is no template.
        """
        if not self._listener.is_alive() and "lengths" not in self._told:
            raise self._failure()

    def lengths(self, wait: Callable[[], None]) -> TokenLengths:
        """What it has counted; ``wait`` is called now and then until it is done.

        Raises:
            Exception: as :meth:`check` does.
        """
        while self._listener.is_alive():
            self._listener.join(ASK_SECONDS)
            wait()
        self.check()
        return TokenLengths.of_dict(self._told["lengths"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # it was killed while it spoke
            told = json.loads(line)
            self.rows = told.pop("rows", self.rows)
            self._told = told

    def _failure(self) -> Exception:
        match self._told:
            case {"error": "OSError", "args": args}:
                return OSError(*args)
            case {"error": "MemoryError"}:
                return MemoryError()
            case {"error": "TemplateRefusedError", "args": args}:
                # With Jinja, which the server lacks.
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
