"""Comparing and changing configs."""

from collections.abc import Mapping, Sequence
from typing import Any


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a document's values, keyed by path: ``{"lora": {"rank": 8}}`` has ``lora.rank``."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{path}.")
        else:
            found[path] = value
    return found


def compare(
    documents: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the values that all documents share, and the values that differ.

    Both are keyed by path. Differing values are lists with one value per document, None where a
    document has none.
    """
    leaves = [flatten(document) for document in documents]
    paths = sorted({path for one in leaves for path in one})
    same: dict[str, Any] = {}
    differs: dict[str, list[Any]] = {}
    for path in paths:
        values = [one.get(path) for one in leaves]
        if all(path in one for one in leaves) and all(value == values[0] for value in values):
            same[path] = values[0]
        else:
            differs[path] = values
    return same, differs


def merge_changes(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with ``changes`` merged into it.

    Keys in ``changes`` may be paths (``a.b``).
    """
    result = dict(document)
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        inner = result.get(head)
        if rest:
            result[head] = merge_changes(inner if isinstance(inner, Mapping) else {}, {rest: value})
        elif isinstance(value, Mapping) and isinstance(inner, Mapping):
            result[head] = merge_changes(inner, value)
        else:
            result[head] = value
    return result
