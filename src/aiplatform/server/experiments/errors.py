"""Errors about experiments and runs, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ExperimentBusy(Conflict):
    """The experiment can't be deleted, because it has an unfinished task or sweep."""

    code = "experiment.in_use"


class DatasetNotTrainable(Invalid):
    """The training method can't learn from rows of this shape."""

    code = "dataset.not_trainable"


class NotEstimable(Invalid):
    """The amount of work that the training method does can't be known in advance."""

    code = "training.not_estimable"


class DatasetNotEvaluable(Invalid):
    """The dataset lacks the conversations or texts on which a model's loss is measured."""

    code = "dataset.not_evaluable"


class ExperimentArchived(Conflict):
    """The experiment is archived and can't start runs."""

    code = "experiment.archived"


class RewardInvalid(Invalid):
    """A reward of the method ``grpo`` can't be used."""

    code = "experiment.invalid_reward"


class ExternalRunNotRerunnable(Conflict):
    """The external run can't be rerun: the platform has neither its code nor its data."""

    code = "run.executes_elsewhere"


class NotRepeatable(Conflict):
    """An input of the run has since been changed or deleted, so the run can't be repeated."""

    code = "run.not_repeatable"


class ConfigInvalid(Invalid):
    """The change would make the config invalid."""

    code = "experiment.invalid_config"
