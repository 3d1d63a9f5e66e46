"""Choosing the parameters of the next trial. Optuna samples; what it knows are our rows."""

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
class Tried:
    """What is known of an earlier trial. ``rungs`` are its values where ASHA has looked."""

    params: Params
    state: TrialState
    value: float | None
    rungs: Sequence[Any] = ()


def choose(spec: SweepSpec, history: Sequence[Tried]) -> Params:
    """The parameters of the next trial: the same for the same history and seed.

    The study is made anew from the history each time, so a trial and its task are written in one
    transaction and nothing is kept in a process.
    """
    number = len(history)
    if spec.method == "grid":
        return grid_point(spec, number)
    # Optuna takes 13 MB and 0.2 s, and only the process that sweeps needs it.
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = (spec.seed + 1_000_003 * number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if spec.method == "random"
            # Trials that run count as bad ones, so that those beside them look elsewhere.
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


def _outcome(tried: Tried, asha: Asha | None) -> dict[str, Any]:
    """What Optuna is told of how a trial went.

    Of those that were halted it ranks the ones that came farthest first, of these the best first.
    One that is paused may yet go on; until then what it has shown says more than that it waits.
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
