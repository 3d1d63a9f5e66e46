"""A project with objects of most kinds, for screenshots and for tests that visit every page."""

import math
import tempfile
from contextlib import suppress
from pathlib import Path

from aiplatform import Client
from tests.e2e.conftest import chats
from tests.tiny_model import make_tiny_model

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = 200


def make_sample(client: Client, name: str = "support") -> str:
    """Create a project with datasets, runs, a model and a deployment; return its uuid."""
    project = client.projects.create(name, description="Answers for the shop's customers")
    client.project = project
    client.datasets.upload("questions", chats(8)).wait_ready()
    # Screenshots show the newest item of a list: this dataset, whose report has more findings.
    shop = client.datasets.upload("shop", EXAMPLES / "messy.jsonl").wait_ready()
    client.datasets.fix(
        shop, {"markup": "strip", "duplicates": "deduplicate", "personal_email": "mask"}
    )
    for title, rate in (("rank 8", 0.012), ("rank 16", 0.02), ("rank 32", 0.03)):
        report_run(client, title, rate)
    with suppress(ValueError), client.run("rank 64") as run:
        run.write("Traceback (most recent call last): …")
        raise ValueError("the rank is larger than the layer")
    train(client)
    return str(project.uuid)


def report_run(client: Client, title: str, rate: float) -> None:
    """Report a run that executes in this process, with a curve and a log."""
    with client.run(title, config={"learning_rate": rate, "rank": title}) as run:
        for step in range(1, STEPS + 1):
            noise = math.sin(step * 12.9898 + rate * 78.233) * 0.08
            loss = 2.4 * math.exp(-rate * step) + 0.6 + noise
            run.log({"loss": loss, "learning_rate": rate * (1 - step / STEPS)}, step=step)
            if step % 20 == 0:
                run.write(f"step {step}/{STEPS}: loss {loss:.3f}")


def train(client: Client) -> None:
    """Train, evaluate and deploy a tiny model, create a schedule, and run a sweep."""
    with tempfile.TemporaryDirectory() as directory:
        weights = make_tiny_model(Path(directory)) / "weights"
        base = client.models.import_path(weights, name="tiny").wait_ready(300)
    experiment = client.experiments.create(
        "first try",
        description="Does the tiny model learn the answers?",
        base_model=base,
        dataset="questions",
        output_name="shop-answers",
        max_steps=12,
        batch_size=4,
        max_length=64,
    )
    training = experiment.run().wait()
    tuned = client.models.get(str(training.model))
    tuned.evaluate("questions", max_length=64, answers=2).wait()
    client.deployments.create("shop-answers", tuned).wait_ready()
    client.schedules.create(
        "nightly", "30 2 * * *", timezone="Asia/Shanghai", experiment=experiment
    )
    client.sweeps.create(
        "ranks",
        experiment,
        {
            "lora.rank": [2, 4, 8],
            "learning_rate": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
        },
        objective="loss",
        method="random",
        max_trials=3,
    ).wait()
