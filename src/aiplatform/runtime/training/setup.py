"""Steps that all training methods share: arguments, the training loop, and its metrics."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import LoraSpec, TrainingSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.loading import device, precision_name
from aiplatform.runtime.row_counts import RowCounts
from aiplatform.runtime.rows import Encoded
from aiplatform.runtime.training import sharding
from aiplatform.runtime.training.checkpoints import find_usable, step_of
from aiplatform.runtime.training.packed_rows import PackedRows
from aiplatform.runtime.training.usage import peak_memory_mb

if TYPE_CHECKING:
    from aiplatform.runtime.training.reporting import ReportingCallback

REPORTED_PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate")


def reported_packages(spec: TrainingSpec) -> tuple[str, ...]:
    """Return the packages whose versions are in the model card."""
    sharded = spec.accelerator is not None and spec.accelerator.deepspeed is not None
    return (*REPORTED_PACKAGES, "deepspeed") if sharded else REPORTED_PACKAGES


def use_one_gpu() -> None:
    """Hide all GPUs except the first one. Call this before torch looks for GPUs."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = first


def checkpoint_to_resume(job: Job, report: Reporter) -> str | None:
    """Return the checkpoint to resume from, or None; report an event if one was given."""
    if job.resume_from is None:
        return None
    found = find_usable(Path(job.resume_from))
    if found is None:
        report.event("checkpoint_unusable", path=job.resume_from)
        return None
    report.event("resumed", step=step_of(found))
    return str(found)


@contextmanager
def target_modules_checked() -> Iterator[None]:
    """Replace PEFT's error about missing LoRA target modules by one that users understand.

    Raises:
        JobError: The base model lacks target modules; the message names them.
    """
    try:
        yield
    except ValueError as error:
        if "arget modules" in str(error):
            raise JobError(f"lora.target_modules does not fit the base model: {error}") from error
        raise


def train(trainer: Any, job: Job, report: Reporter) -> None:
    """Train from the newest complete checkpoint if there is one, otherwise from the start.

    Raises:
        JobError: The loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # ReportingCallback prints the same values
    resume_from = checkpoint_to_resume(job, report)
    report.phase("train")
    if report.observer is not None:
        report.observer.training_begins(trainer)
    with report.stop.delay():
        trainer.train(resume_from_checkpoint=resume_from)
    report.stop.raise_if_requested()


def show_rows(
    report: Reporter,
    tokenizer: Any,
    rows: RowCounts,
    held_out: RowCounts | None,
    *,
    sequences: Sequence[tuple[Encoded | PackedRows, ...]] | None = None,
) -> None:
    """Pass the rows that will be learned to the training run's observer, if there is one.

    Args:
        report: The reporter of the training run.
        tokenizer: The tokenizer of the rows.
        rows: The encoded rows.
        held_out: The encoded held-out rows.
        sequences: The token sequences that are learned, if these are not the rows themselves.
    """
    if report.observer is not None:
        learned = rows.sequences() if sequences is None else sequences
        report.observer.rows_encoded(tokenizer, rows, learned, held_out)


def training_figures(
    trainer: Any, precision: Any, reporting: "ReportingCallback"
) -> dict[str, Any]:
    """Return the metrics of a finished training run that do not depend on the method.

    ``computed_tokens`` (including padding) and ``computed_seconds`` cover only this attempt's steps
    on one device, while ``steps`` includes those of earlier attempts.
    """
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "train_loss_first": history[0]["loss"],
        "train_loss_last": history[-1]["loss"],
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "tokens": trainer.state.num_input_tokens_seen,
        "trainable_parameters": sum(
            p.numel() for p in trainer.model.parameters() if p.requires_grad
        ),
        "precision": precision_name(precision),
        "seconds_per_step": reporting.seconds_per_step,
        "computed_tokens": trainer.computed_tokens,
        "computed_seconds": reporting.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def last_evaluation(trainer: Any) -> dict[str, float]:
    """Return the held-out metrics after the last step, evaluating now if necessary."""
    values: dict[str, float] = {}
    for entry in trainer.state.log_history:
        evaluated = any(name.startswith("eval_") for name in entry)
        if evaluated and entry["step"] == trainer.state.global_step:
            values = entry
    return values or trainer.evaluate()


def versions(spec: TrainingSpec) -> dict[str, str]:
    """Return the versions of the packages that are named in the model card."""
    return {name: version(name) for name in reported_packages(spec)}


def lora_config(lora: LoraSpec, task: str = "CAUSAL_LM") -> Any:
    """Return PEFT's configuration of the adapter; ``task`` is PEFT's name for the kind of model."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        use_dora=lora.kind == "dora",
        use_rslora=lora.kind == "rslora",
        task_type=task,
        bias="none",
    )


def shared_arguments(
    job: Job, spec: TrainingSpec, model: Any, precision: Any, *, evaluate: bool
) -> dict[str, Any]:
    """Return the trainer's arguments that do not depend on the method.

    Args:
        job: The training job.
        spec: The spec of the job.
        model: The loaded model.
        precision: The torch dtype to compute in.
        evaluate: True if there are held-out rows.
    """
    import torch

    where = device()
    by_steps = evaluate and spec.eval_steps is not None
    return dict(
        output_dir=job.checkpoint_dir,
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        gradient_checkpointing=needs_gradient_checkpointing(model, spec),
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.lr_scheduler,
        warmup_steps=spec.warmup_ratio,
        weight_decay=spec.weight_decay,
        logging_steps=spec.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a loss of NaN must be visible
        eval_strategy="steps" if by_steps else "no",
        eval_steps=spec.eval_steps if by_steps else None,
        save_strategy="steps",
        save_steps=spec.checkpoint_steps,
        seed=spec.seed,
        data_seed=spec.seed,
        bf16=precision is torch.bfloat16,
        use_cpu=where.type == "cpu",
        dataloader_pin_memory=where.type == "cuda",
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        ddp_find_unused_parameters=False,
        **sharding.trainer_options(spec.accelerator),
    )


def needs_gradient_checkpointing(model: Any, spec: TrainingSpec) -> bool:
    """Return True if activations must be recomputed because the GPU has too little memory.

    Recomputing makes training a third slower. Per token, the estimated memory consists of about 16
    vectors of the hidden size and 6 vectors of the feed-forward size in each decoder layer, plus
    three copies of the logits.
    """
    import torch

    where = device()
    if where.type != "cuda":
        return False
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    per_layer = (16 * config.hidden_size + 6 * inner) * model.dtype.itemsize
    per_token = config.num_hidden_layers * per_layer + 3 * config.vocab_size * 4
    weights = sum(p.numel() * p.dtype.itemsize for p in model.parameters())
    free, _ = torch.cuda.mem_get_info(where)
    return bool(spec.batch_size * spec.max_length * per_token > 0.8 * (free - weights))
