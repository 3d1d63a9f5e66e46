"""Run all checks in a single pass over the rows."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from aiplatform.data.canonical import iter_batches
from aiplatform.data.quality.check import Check, Context, Finding
from aiplatform.data.quality.pieces import pieces_of
from aiplatform.data.quality.third_party import ThirdPartyChecks
from aiplatform.data.quality.token_lengths import TokenLengths
from aiplatform.data.quality.token_process import LEAST_BYTES, TokenProcess
from aiplatform.data.quality.tokens import Tokens

C = TypeVar("C", bound=Check)


SWITCH_SECONDS = 0.0005


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Reduce the interpreter's switch interval inside the ``with`` block.

    NumPy releases the interpreter lock in each of its many steps. By default, it would wait
    5 ms each time to get the lock back from a thread that is running Python code.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class CheckRun:
    """A run of several checks over all rows.

    Args:
        context: The properties of the dataset.
        kinds: The platform's own checks to run. Third-party checks always run.
        tokenizer: A model's directory with ``tokenizer.json``; None to count no tokens.
        max_length: Number of tokens at which training truncates a row.

    Attributes:
        lengths: The lengths of the rows in tokens, after :meth:`execute`; None without a tokenizer.
    """

    def __init__(
        self,
        context: Context,
        kinds: Iterable[type[Check]],
        tokenizer: Path | None,
        max_length: int,
    ) -> None:
        self.context = context
        self.checks = [kind(context) for kind in kinds]
        self.third_party = ThirdPartyChecks(context)
        self.lengths: TokenLengths | None = None
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._found: list[Finding] = []

    def execute(self, parquet: Path, progress: Callable[[float], None]) -> None:
        """Examine all rows of a file.

        Args:
            parquet: The canonical Parquet file.
            progress: Called with the fraction that is done, from 0 to 1.

        Raises:
            aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template
                does not compile.
            CountingFailedError: the process that counts tokens was killed or failed.
        """
        if self._tokenizer is None:
            self._execute(parquet, progress)
        elif parquet.stat().st_size < LEAST_BYTES:
            tokens = Tokens(self.context, self._tokenizer, self._max_length)
            self._execute(parquet, progress, tokens.look)
            self.lengths = tokens.lengths
        else:
            self._execute_with_token_process(parquet, progress, self._tokenizer)

    def _execute_with_token_process(
        self, parquet: Path, progress: Callable[[float], None], tokenizer: Path
    ) -> None:
        """Examine all rows while another process counts their tokens."""
        with TokenProcess(
            parquet, tokenizer, self._max_length, keeps_rows=self.context.keeps_rows
        ) as counting:
            checked = 0.0

            def go_on(done: float) -> None:
                nonlocal checked
                checked = done
                counting.check()
                progress(min(checked, counting.rows / self.context.rows))

            self._execute(parquet, go_on)
            self.lengths = counting.lengths(lambda: go_on(checked))

    def _execute(
        self,
        parquet: Path,
        progress: Callable[[float], None],
        count: Callable[[pa.RecordBatch, int], None] | None = None,
    ) -> None:
        done = 0
        apart = [check for check in self.checks if check.in_numpy]
        together = [check for check in self.checks if not check.in_numpy]
        with short_switch_interval(), ThreadPoolExecutor(1, thread_name_prefix="checks") as beside:
            for batch in iter_batches(parquet):
                for piece in pieces_of(batch):
                    looks = [beside.submit(check.look, piece, done) for check in apart]
                    for check in together:
                        check.look(piece, done)
                    if count is not None:
                        count(piece, done)
                    self.third_party.look(piece, done)
                    for look in looks:
                        look.result()
                    done += piece.num_rows
                progress(done / self.context.rows)
        self._found = [finding for check in self.checks for finding in check.findings()]

    def findings(self) -> list[Finding]:
        """Return the findings of all checks."""
        found = [*self._found, *(self.lengths.findings() if self.lengths is not None else ())]
        return found + self.third_party.findings({finding.code for finding in found})

    def check(self, kind: type[C]) -> C:
        """Return this run's instance of the check class ``kind``."""
        return next(check for check in self.checks if isinstance(check, kind))
