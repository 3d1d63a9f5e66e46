"""Problems of sweeps."""

from aiplatform.server.core.errors import Conflict, Invalid


class SweepEnded(Conflict):
    """A sweep that has ended and can't be cancelled."""

    code = "sweep.ended"


class GridTooLarge(Invalid):
    """A grid with more points than the limit."""

    code = "sweep.grid_too_large"


class InvalidSweepValue(Invalid):
    """A value of a parameter with which every trial would fail."""

    code = "sweep.invalid_value"


class EvalDatasetMissing(Invalid):
    """An objective or pruning figure that the experiment's runs never measure."""

    code = "sweep.eval_dataset_missing"


class EvalStepsMissing(Invalid):
    """A pruning figure that runs measure only at their end, when there is nothing left to prune."""

    code = "sweep.eval_steps_missing"


class NoBestModel(Conflict):
    """A sweep without a model that could be registered."""

    code = "sweep.no_best_model"
