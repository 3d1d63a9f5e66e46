"""What pydantic found wrong with something, as it is told."""

from typing import Any


def message_of(fault: Any) -> str:
    """What is wrong, by one of a ``ValidationError``'s ``errors()``: where a check of ours found
    it, in its own words alone."""
    return str(fault["msg"]).removeprefix("Value error, ")


def fault_text(fault: Any) -> str:
    """The same after the place where it is, if that is not the whole."""
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {message_of(fault)}" if place else message_of(fault)
