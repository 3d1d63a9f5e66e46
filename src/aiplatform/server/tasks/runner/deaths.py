"""The error message for a child that ended without a result."""

import signal
from collections.abc import Iterable


def death_of(code: int, last_lines: Iterable[str]) -> str:
    """Describe for the task's author how the child ended and what it printed last."""
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        try:
            how = f"was killed by {signal.Signals(number).name}"
        except ValueError:
            how = f"ended with exit code {code}"
        if number == signal.SIGKILL:
            how += " (perhaps the machine ran out of memory)"
    else:
        how = f"ended with exit code {code} and without a result"
    said = "\n".join(line for line in last_lines if line.strip())[-2000:]
    return f"The runtime {how}." + (f" Its last words:\n{said}" if said else "")
