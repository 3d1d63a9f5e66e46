"""Errors about experiments and runs, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ExperimentBusy(Conflict):
    """An experiment with an unfinished task or sweep, which can't be deleted."""

    code = "experiment.in_use"


class DatasetNotTrainable(Invalid):
    """A dataset without conversations or texts, which supervised fine-tuning needs."""

    code = "dataset.not_trainable"


class PreferencePairsRefused(Invalid):
    """A dataset of preference pairs for supervised fine-tuning.

    Training would learn the chosen answers and ignore the rejected ones.
    """

    code = "dataset.preference_pairs"


class ExperimentArchived(Conflict):
    """An archived experiment, which can't start runs."""

    code = "experiment.archived"


class ExternalRunNotRerunnable(Conflict):
    """A rerun of an external run, for which the platform has neither code nor data."""

    code = "run.executes_elsewhere"


class NotRepeatable(Conflict):
    """A rerun whose inputs have been changed or deleted since the first run."""

    code = "run.not_repeatable"


class ConfigInvalid(Invalid):
    """A change that would make the config invalid."""

    code = "experiment.invalid_config"
