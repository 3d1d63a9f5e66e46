"""Records of runs, which contain everything needed to repeat them."""

from collections.abc import Iterable, Mapping
from typing import Any


def record_of(
    config: Mapping[str, Any],
    inputs: Iterable[tuple[str, str, str | None]],
    told: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the record of a run.

    Args:
        config: the whole spec, with exact dataset versions.
        inputs: role, label and SHA-256 of each input.
        told: stored facts: ``git`` from the caller who queued the run, and ``environment`` from the
            end of the run.
        environment: the environment reported by the last attempt, in case none is stored yet.
    """
    # An external run's config has no fixed shape.
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
