"""The baseline of ``training_overhead``: LoRA SFT as a plain TRL program.

    python benchmarks/plain_trl.py MODEL_DIRECTORY ROWS.parquet STEPS OUTPUT [--lean]

With ``--lean``, the loss (and only the loss) is computed as on the platform. The platform's loss is
faster than TRL's, which would hide the cost of the rest of the platform.

The program prints a JSON object on stdout with the duration and loss of each step.
"""

import json
import sys
import time
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from aiplatform.runtime.loading import selects_logits
from aiplatform.runtime.training.trainer import PlatformTrainer


class StepTimes(TrainerCallback):
    """A callback that measures the seconds of each step from the end of the previous one."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since = 0.0

    def on_train_begin(self, *_: object, **__: object) -> None:
        self._since = time.monotonic()

    def on_step_end(self, *_: object, **__: object) -> None:
        now = time.monotonic()
        self.seconds.append(now - self._since)
        self._since = now

    def on_save(self, *_: object, **__: object) -> None:
        self._since = time.monotonic()


class LeanTrainer(SFTTrainer):
    """A TRL trainer with the platform's loss."""

    compute_loss = PlatformTrainer.compute_loss

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.selects_logits = selects_logits(self.model)


def main() -> None:
    model_directory, rows, steps, output = sys.argv[1:5]
    chosen = LeanTrainer if "--lean" in sys.argv[5:] else SFTTrainer
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    model = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.bfloat16)
    # With prompt and completion columns, the loss covers the assistant's tokens, as on the
    # platform.
    dataset = Dataset.from_parquet(rows, keep_in_memory=True).map(
        lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]},
        remove_columns=["messages"],
    )
    times = StepTimes()
    trainer = chosen(
        model=model,
        args=SFTConfig(
            output_dir=output,
            max_steps=int(steps),
            per_device_train_batch_size=8,
            gradient_checkpointing=False,
            learning_rate=2e-4,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            logging_steps=1,
            save_steps=20,
            seed=42,
            data_seed=42,
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            max_length=512,
            disable_tqdm=True,
            report_to=[],
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=16,
            lora_alpha=32,
            lora_dropout=0.05,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[times],
    )
    # The trainer's output goes to stderr, because stdout is reserved for the figures.
    stdout, sys.stdout = sys.stdout, sys.stderr
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    stdout.write(json.dumps({"seconds": times.seconds, "losses": losses}) + "\n")


if __name__ == "__main__":
    main()
