"""Values and row filters in the form in which users type them."""

import json as jsonlib
from typing import Any

WHERE_HELP = (
    'A filter, such as \'score >= 0.5 and not label in ("a", "b")\'. Can be '
    "repeated; all must be met. See docs/filters.md."
)


def json_or_text(text: str) -> Any:
    """Return the value of typed text: decoded if it is JSON, otherwise the text itself."""
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text
