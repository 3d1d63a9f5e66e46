"""Tests of grids, of sampling, and of deciding which trials continue at a rung."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aiplatform.protocol.sweeps import Asha, SweepSpec, TrialState
from aiplatform.server.sweeps.rules import grid_point, grid_size, is_promoted, rung_steps
from aiplatform.server.sweeps.service.next_step import PastTrial, choose_parameters

EXPERIMENT = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"


def spec(**fields: object) -> SweepSpec:
    parameters = {
        "learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True},
        "lora.rank": {"kind": "choice", "values": [4, 8]},
        "batch_size": {"kind": "int", "low": 1, "high": 8},
    }
    return SweepSpec.model_validate({"experiment": EXPERIMENT, "parameters": parameters, **fields})


def test_grid_has_each_point_once() -> None:
    found = spec(
        method="grid",
        parameters={
            "lora.rank": {"kind": "choice", "values": [4, 8]},
            "epochs": {"kind": "float", "low": 1, "high": 2, "step": 0.5},
            "batch_size": {"kind": "int", "low": 2, "high": 6, "step": 2},
        },
    )
    points = [grid_point(found, number) for number in range(grid_size(found))]
    assert len({tuple(point.values()) for point in points}) == 2 * 3 * 3
    assert points[0] == {"lora.rank": 4, "epochs": 1.0, "batch_size": 2}
    assert points[-1] == {"lora.rank": 8, "epochs": 2.0, "batch_size": 6}


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_choose_parameters_is_repeatable_and_within_ranges(method: str) -> None:
    found = spec(method=method)
    history: list[PastTrial] = []
    for number in range(14):
        params = choose_parameters(found, history)
        assert params == choose_parameters(found, history)
        assert 1e-5 <= params["learning_rate"] <= 1e-2
        assert params["lora.rank"] in {4, 8}
        assert 1 <= params["batch_size"] <= 8
        state = TrialState.FAILED if number == 3 else TrialState.COMPLETED
        value = None if number == 3 else abs(math.log10(params["learning_rate"]) + 3)
        history.append(PastTrial(params, state, value))
    assert len({one.params["learning_rate"] for one in history}) == len(history)


def test_tpe_is_better_than_random() -> None:
    found = spec(method="tpe", parameters={"x": {"kind": "float", "low": 0, "high": 1}})
    history: list[PastTrial] = []
    for _ in range(40):
        x = choose_parameters(found, history)["x"]
        history.append(PastTrial({"x": x}, TrialState.COMPLETED, (x - 0.7) ** 2))
    late = [abs(one.params["x"] - 0.7) for one in history[25:]]
    assert sum(late) / len(late) < 0.22  # random search reaches 0.29


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.PAUSED])
def test_tpe_learns_from_halted_trials(state: TrialState) -> None:
    """Use a history in which seven trials below 0.4 completed and ASHA halted all others."""
    x = {"x": {"kind": "float", "low": 0, "high": 1}}
    history = [
        PastTrial({"x": 0.05 * place}, TrialState.COMPLETED, 1.0, [1.0, 1.0])
        for place in range(1, 8)
    ] + [
        PastTrial({"x": 0.4 + 0.6 * place / 43}, state, None, [2.0 + place, "NaN"][: 1 + place % 2])
        for place in range(43)
    ]
    chosen = {
        method: [
            choose_parameters(spec(method=method, parameters=x, seed=seed, pruning={}), history)[
                "x"
            ]
            for seed in range(30)
        ]
        for method in ("tpe", "random")
    }
    avoided = {method: sum(x < 0.4 for x in found) for method, found in chosen.items()}
    assert avoided["tpe"] >= 27
    assert avoided["random"] <= 18


def test_trial_halted_at_nan_is_the_worst() -> None:
    x = {"x": {"kind": "float", "low": 0, "high": 1}}
    history = [
        PastTrial({"x": place / 40}, TrialState.PRUNED, None, ["NaN" if place < 32 else 1.0])
        for place in range(40)
    ]
    for seed in range(10):
        assert choose_parameters(spec(parameters=x, seed=seed, pruning={}), history)["x"] > 0.6


VALUES = st.lists(st.floats(-5, 5) | st.just(math.nan), min_size=1, max_size=30)


@given(VALUES, st.integers(2, 5), st.booleans())
@settings(max_examples=200, deadline=None)
def test_is_promoted_decides_like_optunas_pruner(
    values: list[float], reduction: int, minimize: bool
) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=reduction, min_early_stopping_rate=0
    )
    study = optuna.create_study(direction="minimize" if minimize else "maximize", pruner=pruner)
    asha = Asha(min_steps=1, reduction=reduction)
    for place, value in enumerate(values):
        trial = study.ask()
        trial.report(value, 1)
        ours = is_promoted(value, values[: place + 1], asha, minimize=minimize)
        theirs = not trial.should_prune()
        if not any(math.isnan(other) for other in values[: place + 1]):
            assert ours == theirs
        elif math.isnan(value):
            assert not ours
            assert not theirs


def test_rung_steps() -> None:
    assert [rung_steps(Asha(min_steps=10, reduction=3), rung) for rung in range(3)] == [10, 30, 90]


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {}},
        {"parameters": {"a b": {"kind": "choice", "values": [1]}}},
        {"parameters": {"x": {"kind": "float", "low": 2, "high": 1}}},
        {"parameters": {"x": {"kind": "float", "low": 0, "high": 1, "log": True}}},
        {"parameters": {"x": {"kind": "float", "low": 0, "high": 1}}, "method": "grid"},
        {"max_trials": 0},
        {"pruning": {"reduction": 1}},
    ],
)
def test_invalid_spec_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**fields)
