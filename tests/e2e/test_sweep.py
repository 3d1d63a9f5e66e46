"""Tests of sweeps with real training runs."""

import json

import pytest

from aiplatform import Client
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, chats

pytestmark = pytest.mark.slow

STEPS = 300
"""Steps of a training run that takes some seconds, so that it can be stopped before its end."""


def test_sweep_finds_the_better_learning_rate(client: Client, base_model: Model) -> None:
    train = client.datasets.upload("train", chats(4), base_model=base_model.uuid)
    held_out = client.datasets.upload("held-out", chats(1, tag="held out "))
    for dataset in (train, held_out):
        dataset.wait_ready(120)
    client.experiments.create(
        "answers",
        base_model=base_model,
        dataset=train.uuid,
        eval_dataset=held_out.uuid,
        output_name="trial",
        max_steps=4,
        batch_size=4,
        max_length=64,
    )
    sweep = client.sweeps.create(
        "search", "answers", {"learning_rate": [1e-6, 1e-2]}, method="grid", parallelism=1
    ).wait(240)
    assert (sweep.status, sweep.error) == ("completed", None)
    assert [trial.state for trial in sweep.trials] == ["completed", "completed"]
    assert sweep.best is not None
    # On held-out rows, the trial with the larger learning rate is better.
    assert sweep.best.params == {"learning_rate": 1e-2}
    tuned = sweep.register("answers-best")
    assert (tuned.name, tuned.version, tuned.status) == ("answers-best", "1", "ready")
    assert sweep.register("answers-best").uuid == tuned.uuid


def test_sweep_stops_a_bad_trial_early_and_registers_the_best(
    platform: Platform, client: Client, base_model: Model
) -> None:
    train = client.datasets.upload("pruned", chats(4), base_model=base_model.uuid)
    train.wait_ready(120)
    client.experiments.create(
        "long",
        base_model=base_model,
        dataset=train.uuid,
        output_name="long-trial",
        max_steps=STEPS,
        batch_size=4,
        max_length=64,
    )
    sweep = client.sweeps.create(
        "halving",
        "long",
        {"learning_rate": [1e-2, 1e-7]},
        method="grid",
        objective="loss",
        parallelism=1,
        pruning={"series": "loss", "min_steps": 20, "reduction": 2, "halt": "stop"},
    ).wait(240)
    assert (sweep.status, sweep.error) == ("completed", None)
    good, bad = sweep.trials
    assert (good.state, bad.state) == ("completed", "pruned")
    assert bad.task is not None
    stopped = client.tasks.get(bad.task).wait(60, check=False)
    assert stopped.status == "cancelled"
    (losses,) = stopped.metrics("loss").values()
    assert 20 <= losses[-1].step < STEPS, "it was stopped in the middle"
    (kept,) = client.tasks.get(str(good.task)).metrics("loss").values()
    assert kept[-1].step == STEPS
    assert sweep.best is not None
    assert sweep.best.number == good.number

    platform.environment["AIPLATFORM_TOKEN"] = client.access_token()
    said = platform.command("sweep", "register", "halving", "long-best", "-p", "e2e", "--json")
    registered = json.loads(said.stdout)
    tuned = client.models.get(registered["uuid"])
    assert (tuned.name, tuned.version, tuned.status) == ("long-best", "1", "ready")
    assert good.model is not None
    trials_own = client.models.get(good.model).files()
    assert {file.sha256 for file in tuned.files()} == {file.sha256 for file in trials_own}
