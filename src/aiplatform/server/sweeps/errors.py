"""Errors about sweeps."""

from aiplatform.server.core.errors import Conflict, Invalid


class SweepEnded(Conflict):
    """A sweep that has ended and so can't be cancelled."""

    code = "sweep.ended"


class GridTooLarge(Invalid):
    """A grid with more points than the limit."""

    code = "sweep.grid_too_large"


class InvalidSweepValue(Invalid):
    """A sweep parameter's value that would make every trial fail."""

    code = "sweep.invalid_value"


class EvalDatasetMissing(Invalid):
    """An objective or pruning metric that needs an eval_dataset, which the experiment lacks."""

    code = "sweep.eval_dataset_missing"


class EvalStepsMissing(Invalid):
    """A pruning metric that runs measure only at their end, too late to stop a trial early."""

    code = "sweep.eval_steps_missing"


class NoBestModel(Conflict):
    """A registration for a sweep that has no best model yet, or whose best model was deleted."""

    code = "sweep.no_best_model"
