"""What higher domains want done now and then, beside the queue's own chores."""

from collections.abc import Callable

_chores: list[Callable[[], object]] = []


def on_chores(act: Callable[[], object]) -> None:
    """Let ``act`` be done, in any worker, about once an hour; called by the composition roots."""
    if act not in _chores:
        _chores.append(act)


def do_registered() -> None:
    """Do them all."""
    for act in _chores:
        act()
