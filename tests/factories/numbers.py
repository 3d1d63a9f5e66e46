"""What makes names unique."""

from itertools import count

_number = count(1)


def number() -> int:
    """A number not given before, for names."""
    return next(_number)
