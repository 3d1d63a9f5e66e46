"""A counter that makes names unique."""

from itertools import count

_number = count(1)


def number() -> int:
    """Return a number that this process has not used in a name before."""
    return next(_number)
