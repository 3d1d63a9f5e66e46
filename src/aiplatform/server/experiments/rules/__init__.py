"""Pure rules of experiments.

``runs`` decides which data can be used for training and which run is the best, ``comparison`` finds
the differences between configs, and ``records`` builds the record that makes a run repeatable.
"""

from aiplatform.server.experiments.rules.runs import (
    RUN_TYPES,
    RUNS_KEPT,
    STATUS_AFTER,
    SUMMARY,
    TRAINABLE_SHAPES,
    best_run,
    evaluation_of,
    figures_of,
    first_series,
    number_of,
    own_config,
    summary_of,
    unmet,
    with_evaluation,
    with_run,
)

__all__ = [
    "RUNS_KEPT",
    "RUN_TYPES",
    "STATUS_AFTER",
    "SUMMARY",
    "TRAINABLE_SHAPES",
    "best_run",
    "evaluation_of",
    "figures_of",
    "first_series",
    "number_of",
    "own_config",
    "summary_of",
    "unmet",
    "with_evaluation",
    "with_run",
]
