"""What makes a run repeatable, put together from what is stored of it."""

from collections.abc import Iterable, Mapping
from typing import Any


def record_of(
    config: Mapping[str, Any],
    inputs: Iterable[tuple[str, str, str | None]],
    told: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a run.

    Args:
        config: the whole spec, its dataset versions pinned.
        inputs: role, label and SHA-256 of what it read.
        told: what was stored of it: ``git`` by who queued it, ``environment`` when it ended.
        environment: what its last attempt has said, where nothing is stored yet.
    """
    # The config of a run that executes elsewhere is as its author wrote it.
    seed = config.get("seed")
    return {
        "seed": seed if type(seed) is int else None,
        "config": dict(config),
        "inputs": [
            {"role": role, "label": label, "sha256": sha256} for role, label, sha256 in inputs
        ],
        "git": told.get("git"),
        "environment": told.get("environment") or dict(environment) or None,
    }
