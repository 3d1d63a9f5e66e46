"""Pure rules of experiments.

``runs`` decides what can be learned and which run is the best, ``comparison`` finds the differences
between configs, ``records`` builds the record that makes a run repeatable.
"""

from aiplatform.server.experiments.rules.runs import (
    LEARNABLE,
    RUN_TYPES,
    RUNS_KEPT,
    STATUS_AFTER,
    SUMMARY,
    best_run,
    evaluation_of,
    few_of,
    figures_of,
    number_of,
    own_config,
    summary_of,
    unmet,
    with_evaluation,
    with_run,
)

__all__ = [
    "LEARNABLE",
    "RUNS_KEPT",
    "RUN_TYPES",
    "STATUS_AFTER",
    "SUMMARY",
    "best_run",
    "evaluation_of",
    "few_of",
    "figures_of",
    "number_of",
    "own_config",
    "summary_of",
    "unmet",
    "with_evaluation",
    "with_run",
]
