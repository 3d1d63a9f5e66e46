"""``python -m aiplatform.data.quality.count_tokens``: how many tokens all rows of a dataset are.

A report starts it beside its checks: both are Python for the most part, of which one process runs
no more than one thread at a time. It prints lines of JSON: how many rows are counted so far, and in
the end the lengths, or what went wrong.

Its standard input is held open by whoever started it, and says nothing. When it ends, as it does
with its holder however that ends, so does this program.
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
    # A request to stop goes to the whole group. To obey is the starter's business, which then ends
    # this; or it would be told of a failure where it was to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # NumPy comes with threads for linear algebra, which spin; nothing here asks for any.
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
    """Count, and say on the way how far it is.

    Raises:
        aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template is no
            template.
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
        say({"rows": done})
    return tokens.lengths


def say(told: dict[str, Any]) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def fault_of(error: Exception) -> dict[str, Any]:
    """An error, so that it can be raised again elsewhere; its trace goes to the log."""
    traceback.print_exception(error)
    if isinstance(error, OSError):
        return {"error": "OSError", "args": [error.errno, error.strerror, error.filename]}
    return {"error": type(error).__name__, "args": [str(error)]}


def end_with_starter() -> None:
    """Wait until nobody holds the other end of the standard input any more."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
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
        say({"lengths": lengths.as_dict()})
    except Exception as error:  # noqa: BLE001  (the one handler of this process)
        say(fault_of(error))
    return 0


if __name__ == "__main__":
    code = main()
    # The thread that waits for the end of the input would be in the way of an orderly exit.
    os._exit(code)
