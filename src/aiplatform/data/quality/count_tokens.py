"""``python -m aiplatform.data.quality.count_tokens``: count the tokens of all rows of a dataset.

The process that makes a quality report (the *starter*) starts this program, so that tokens are
counted in parallel with the checks. Both are mostly Python code, and a Python process runs only one
thread of Python code at a time. The program prints lines of JSON: the number of rows counted so
far, and finally the lengths or the error.

The starter keeps the standard input of this program open, but writes nothing to it. When the
starter exits, for whatever reason, the input is closed, and this program exits, too.
"""

import argparse
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A signal to stop goes to the whole process group. Only the starter reacts, and then stops
    # this program; otherwise, the starter would see a failure here instead of the signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # NumPy's linear algebra threads spin while they wait; this program does not need them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pyarrow.parquet as pq

from aiplatform.data.canonical import iter_batches, row_count, shape_of
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.pieces import pieces_of
from aiplatform.data.quality.token_lengths import TokenLengths
from aiplatform.data.quality.tokens import Tokens


def count_tokens(
    parquet: Path, weights: Path, max_length: int, *, keeps_rows: bool
) -> TokenLengths:
    """Count the tokens of all rows, and print the progress.

    Args:
        parquet: The canonical Parquet file.
        weights: The model's directory with ``tokenizer.json``.
        max_length: Number of tokens at which training truncates a row.
        keeps_rows: As in :class:`~aiplatform.data.quality.check.Context`.

    Raises:
        aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template does
            not compile.
    """
    schema, rows = pq.read_schema(parquet), row_count(parquet)
    tokens = Tokens(
        Context(shape_of(parquet), schema, rows, keeps_rows=keeps_rows), weights, max_length
    )
    done = 0
    for batch in iter_batches(parquet):
        for piece in pieces_of(batch):
            tokens.look(piece, done)
            done += piece.num_rows
        send({"rows": done})
    return tokens.lengths


def send(message: dict[str, Any]) -> None:
    """Print a message as a line of JSON."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def error_as_dict(error: Exception) -> dict[str, Any]:
    """Log the traceback of an error, and return the error as JSON for the starter to raise."""
    traceback.print_exception(error)
    if isinstance(error, OSError):
        return {"error": "OSError", "args": [error.errno, error.strerror, error.filename]}
    return {"error": type(error).__name__, "args": [str(error)]}


def end_with_starter() -> None:
    """Wait until the standard input is closed, then exit."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="aiplatform.data.quality.count_tokens", description=__doc__
    )
    parser.add_argument("--rows", type=Path, required=True, help="a canonical Parquet")
    parser.add_argument("--weights", type=Path, required=True, help="with tokenizer.json")
    parser.add_argument("--max-length", type=int, required=True, help="tokens of the longest row")
    parser.add_argument("--keeps-rows", action="store_true", help="name all rows of a finding")
    options = parser.parse_args(arguments)
    threading.Thread(target=end_with_starter, name="lifeline", daemon=True).start()
    try:
        lengths = count_tokens(
            options.rows, options.weights, options.max_length, keeps_rows=options.keeps_rows
        )
        send({"lengths": lengths.as_dict()})
    except Exception as error:  # noqa: BLE001  (the one handler of this process)
        send(error_as_dict(error))
    return 0


if __name__ == "__main__":
    code = main()
    # The thread that waits for the end of the input would block a regular exit.
    os._exit(code)
