"""Values and filters of rows as people type them."""

import json as jsonlib
from typing import Any

WHERE_HELP = (
    'A filter, such as \'score >= 0.5 and not label in ("a", "b")\'. Can be '
    "repeated; all must be met. See docs/filters.md."
)


def json_or_text(text: str) -> Any:
    """A value as it is typed: JSON where it is some, else text."""
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text
