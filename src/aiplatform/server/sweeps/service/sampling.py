"""Choosing the next trial's parameters with Optuna, from the results of earlier trials."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiplatform.protocol.sweeps import (
    Asha,
    Choice,
    FloatRange,
    IntRange,
    Params,
    SweepSpec,
    TrialState,
)
from aiplatform.server.experiments.rules import number_of
from aiplatform.server.sweeps.rules import grid_point, rung_steps


@dataclass(frozen=True, slots=True)
class PastTrial:
    """An earlier trial of the sweep.

    ``rungs`` are its metric values at the steps where ASHA (the pruning method) compared trials.
    """

    params: Params
    state: TrialState
    value: float | None
    rungs: Sequence[Any] = ()


def choose_parameters(spec: SweepSpec, history: Sequence[PastTrial]) -> Params:
    """Return the next trial's parameters; the same history and seed give the same parameters.

    The Optuna study is built from the history each time, so no process has to keep state.
    """
    number = len(history)
    if spec.method == "grid":
        return grid_point(spec, number)
    # Importing Optuna takes 13 MB and 0.2 s, and only the worker that advances sweeps needs it.
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = (spec.seed + 1_000_003 * number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if spec.method == "random"
            # Running trials count as bad ones, so that simultaneous trials explore other regions.
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
    study = optuna.create_study(direction=spec.direction, sampler=sampler)
    distributions = {path: _distribution(one) for path, one in spec.parameters.items()}
    for tried in history:
        study.add_trial(
            optuna.trial.create_trial(
                **_outcome(tried, spec.pruning), params=tried.params, distributions=distributions
            )
        )
    return dict(study.ask(fixed_distributions=distributions).params)


def _outcome(tried: PastTrial, asha: Asha | None) -> dict[str, Any]:
    """Return the outcome of a trial as arguments of ``optuna.trial.create_trial``.

    Optuna ranks pruned trials by the number of rungs that they reached, then by value. A paused
    trial may continue later, but is passed as pruned, too: otherwise its values would not be used.
    """
    from optuna.trial import TrialState as States  # noqa: PLC0415

    if tried.state is TrialState.COMPLETED and tried.value is not None:
        return {"state": States.COMPLETE, "value": tried.value}
    if asha is not None and tried.rungs and tried.state in {TrialState.PRUNED, TrialState.PAUSED}:
        values = {rung_steps(asha, rung): number_of(v) for rung, v in enumerate(tried.rungs)}
        finite = {step: value for step, value in values.items() if math.isfinite(value)}
        return {"state": States.PRUNED, "intermediate_values": finite}
    return {"state": States.RUNNING if tried.state.is_active else States.FAIL}


def _distribution(parameter: Choice | FloatRange | IntRange) -> Any:
    import optuna.distributions as kinds  # noqa: PLC0415

    match parameter:
        case Choice():
            return kinds.CategoricalDistribution(parameter.values)
        case IntRange():
            return kinds.IntDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        case FloatRange():
            return kinds.FloatDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
