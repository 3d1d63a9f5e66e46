"""Tests of a chain of queued tasks: train, evaluate, and deploy if the evaluation passes."""

import json
from typing import Any

import pytest

from aiplatform import Client
from aiplatform.client import NotReady
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, chats

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment(client: Client, base_model: Model) -> str:
    """Create an experiment with its datasets, and return its name."""
    for name, rows in (("train", chats(8)), ("held-out", chats(2, tag="held out "))):
        client.datasets.upload(name, rows).wait_ready(120)
    client.experiments.create(
        "faq",
        base_model=base_model,
        dataset="train",
        output_name="faq",
        max_steps=4,
        batch_size=4,
        max_length=128,
        checkpoint_steps=4,
    )
    return "faq"


def chain(platform: Platform, experiment: str, condition: str, name: str) -> tuple[Any, Any, Any]:
    """Queue training, evaluation and deployment, as a nightly script does."""

    def queued(*arguments: str) -> Any:
        return json.loads(platform.command(*arguments, "--project", "e2e", "--json").stdout)

    run = queued("experiments", "run", experiment, "--detach")
    check = queued("evaluate", f"task:{run['uuid']}", "--dataset", "held-out",
                   "--pass-if", condition, "--detach")  # fmt: skip
    served = queued("deploy", "create", f"task:{run['uuid']}", "--after", check["uuid"],
                    "--name", name)  # fmt: skip
    assert (check["status"], served["status"], served["model"]) == ("pending", "starting", None)
    return run, check, served


@pytest.fixture
def signed_in(platform: Platform, client: Client) -> Platform:
    platform.environment["AIPLATFORM_TOKEN"] = client.access_token()
    return platform


def test_chain_serves_the_model_if_its_evaluation_passes(
    client: Client, signed_in: Platform, experiment: str
) -> None:
    run, check, served = chain(signed_in, experiment, "loss<=1000", "passed")
    deployment = client.deployments.wait_ready(served["uuid"], 300)
    made = client.tasks.get(run["uuid"]).model
    evaluation = client.tasks.get(check["uuid"])
    assert deployment.model == evaluation.model == made
    assert evaluation.status == "completed"
    assert client.models.get(made).metrics["evaluation"]["passed"] is True
    reply = deployment.chat([{"role": "user", "content": "Who are you?"}], max_tokens=4)
    assert reply is not None
    deployment.stop()


def test_chain_does_not_serve_the_model_if_its_evaluation_fails(
    client: Client, signed_in: Platform, experiment: str
) -> None:
    run, check, served = chain(signed_in, experiment, "loss<=0.001", "refused")
    with pytest.raises(NotReady, match="waited for the success of evaluate"):
        client.deployments.wait_ready(served["uuid"], 300)
    evaluation = client.tasks.get(check["uuid"])
    assert evaluation.status == "failed"
    assert "must be <= 0.001" in evaluation.error_message
    assert evaluation.result["model"]["loss"] > 0.001
    assert len(evaluation.attempts) == 1
    assert client.tasks.get(run["uuid"]).status == "completed"
    task = client.tasks.get(served["task"])
    assert (task.status, task.attempts) == ("failed", [])
