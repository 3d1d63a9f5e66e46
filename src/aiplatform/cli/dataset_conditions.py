"""Conditions on rows as people write them: ``score >= 0.5``, ``User Name missing``."""

import json as jsonlib
import re
from typing import Any

import typer

SIGNS = ("==", "!=", "<=", ">=", "<", ">")
WORDS = ("in", "not_in", "contains", "not_contains", "min_length", "max_length")
BARE = ("missing", "present")

WHERE_HELP = (
    f"COLUMN OP VALUE, with {' '.join((*SIGNS, *WORDS))}, or COLUMN {', COLUMN '.join(BARE)};"
    " in and not_in take a JSON list. The first operator counts: a column that has one in its name"
    ' is given as "COLUMN", in double quotes.'
)

CONDITION = re.compile(
    r'(?P<column>"(?:[^"\\]|\\.)+"|.+?)'
    rf"(?:\s+(?P<bare>{'|'.join(BARE)})"
    rf"|(?:\s*(?P<sign>{'|'.join(SIGNS)})|\s+(?P<word>{'|'.join(WORDS)})(?=\s))\s*(?P<value>.*))",
    re.DOTALL,
)


def condition(text: str) -> dict[str, Any]:
    """A condition for the API: all left of the first operator is the column.

    Raises:
        typer.BadParameter: there is no operator that is known, or no column.
    """
    found = CONDITION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{text}: give COLUMN OP VALUE, as in 'score >= 0.5', or COLUMN missing; OP is one of"
            f" {' '.join((*SIGNS, *WORDS, *BARE))}"
        )
    column = found["column"]
    if len(column) > 2 and column[0] == column[-1] == '"':
        column = str(json_or_text(column))
    if found["bare"] is not None:
        return {"column": column, "op": found["bare"]}
    return {
        "column": column,
        "op": found["sign"] or found["word"],
        "value": json_or_text(found["value"]),
    }


def json_or_text(text: str) -> Any:
    """A value as it is typed: JSON where it is some, else text."""
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text
