"""What pydantic found wrong with something, as it is told."""

from typing import Any


def message_of(fault: Any) -> str:
    """What is wrong, by one of a ``ValidationError``'s ``errors()``: where a check of ours found
    it, in its own words alone."""
    return str(fault["msg"]).removeprefix("Value error, ")


def message_zh_of(fault: Any) -> str:
    """Return what :func:`message_of` does, in Chinese as far as there is a text."""
    advice = fault.get("ctx", {}).get("advice_zh")
    if fault["type"] == "unknown_field" and advice:
        return f"没有这个字段。{advice}"
    return message_of(fault)


def place_of(fault: Any) -> str:
    """Where it is: the fields that lead to it, with dots between; empty for the whole."""
    return ".".join(str(part) for part in fault["loc"])


def fault_text(fault: Any) -> str:
    """What is wrong, after the place where it is."""
    place = place_of(fault)
    return f"{place}: {message_of(fault)}" if place else message_of(fault)
