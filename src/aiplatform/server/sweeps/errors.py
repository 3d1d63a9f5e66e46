"""Errors about sweeps."""

from aiplatform.server.core.errors import Conflict, Invalid


class SweepEnded(Conflict):
    """The sweep can't be cancelled, because it has ended."""

    code = "sweep.ended"


class GridTooLarge(Invalid):
    """The grid has more points than the limit."""

    code = "sweep.grid_too_large"


class InvalidSweepValue(Invalid):
    """A sweep parameter's value that would make every trial fail."""

    code = "sweep.invalid_value"


class EvalDatasetMissing(Invalid):
    """The objective or pruning metric needs an eval_dataset, which the experiment lacks."""

    code = "sweep.eval_dataset_missing"


class EvalStepsMissing(Invalid):
    """The pruning metric is measured only at the end of a run, which is too late for pruning."""

    code = "sweep.eval_steps_missing"


class NoBestModel(Conflict):
    """The sweep has no best model yet, or its best model was deleted."""

    code = "sweep.no_best_model"
