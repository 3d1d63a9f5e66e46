"""Values and row filters as users type them."""

import json as jsonlib
from typing import Any

WHERE_HELP = (
    'A filter, such as \'score >= 0.5 and not label in ("a", "b")\'. Can be '
    "repeated; all must be met. See docs/filters.md."
)


def json_or_text(text: str) -> Any:
    """Return the value of a typed text: decoded if it is JSON, else the text itself."""
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text
