"""Supervised fine-tuning (SFT) with LoRA: :func:`run_sft` shows all steps from top to bottom."""

import os
import time
import warnings
from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import SftSpec, TrainingSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import (
    choose_precision,
    context_length,
    device,
    load_weights,
    precision_name,
)
from aiplatform.runtime.rows import IGNORED, EncodedRows, encode_dataset
from aiplatform.runtime.training import ranks, sharding
from aiplatform.runtime.training.checkpoints import find_usable, step_of

REPORTED_PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate")


def run_sft(job: Job, report: Reporter) -> dict[str, Any]:
    """Fine-tune the job's base model; write the adapter, merged weights and card to its output.

    Raises:
        JobError: No row can be used, the model lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, SftSpec)
    started = time.monotonic()
    use_one_gpu()
    sharding.prepare(spec.accelerator)
    base = Path(job.inputs["base_model"])

    # Rows.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS)
    max_length = min(spec.max_length, context_length(base))
    rows = encode_dataset(Path(job.inputs["dataset"]), tokenizer, max_length=max_length)
    report.event("rows", **describe(rows))
    held_out = None
    if "eval_dataset" in job.inputs:
        held_out = encode_dataset(
            Path(job.inputs["eval_dataset"]),
            tokenizer,
            max_length=max_length,
            dataset_name="held-out dataset",
        )
        report.event("held_out_rows", **describe(held_out))

    # Model and trainer.
    from transformers.trainer_callback import PrinterCallback

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback
    from aiplatform.runtime.training.trainer import PlatformTrainer, collate

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    model = load_weights(base, precision)
    sharding.require_shardable(model, spec.accelerator)
    reporting = ReportingCallback(report)
    # These warnings concern how the libraries use each other; a reader of the log can't act on
    # them.
    warnings.simplefilter("ignore", FutureWarning)
    try:
        trainer = PlatformTrainer(
            report=report,
            held_out=held_out.rows if held_out else None,
            model=model,
            args=training_arguments(job, spec, model, evaluate=held_out is not None),
            peft_config=lora_config(spec),
            train_dataset=as_dataset(rows),
            eval_dataset=as_dataset(held_out) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(collate, pad=tokenizer.pad_token_id),
            callbacks=[reporting],
        )
    except ValueError as error:
        if "arget modules" in str(error):
            raise JobError(f"lora.target_modules does not fit the base model: {error}") from error
        raise

    trainer.remove_callback(PrinterCallback)  # ReportingCallback prints the same

    # Train, from the newest complete checkpoint if there is one.
    resume_from = checkpoint_to_resume(job, report)
    report.phase("train")
    with report.stop.delay():
        trainer.train(resume_from_checkpoint=resume_from)
    report.stop.raise_if_requested()

    # Results.
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    result: dict[str, Any] = {
        "train_loss_first": history[0]["loss"],
        "train_loss_last": history[-1]["loss"],
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
        "tokens": trainer.state.num_input_tokens_seen,
        "trainable_parameters": sum(
            p.numel() for p in trainer.model.parameters() if p.requires_grad
        ),
        "precision": precision_name(precision),
        "seconds_per_step": reporting.seconds_per_step,
    }
    if held_out is not None:
        result |= last_evaluation(trainer)

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {
        "seconds": time.monotonic() - started,
        "versions": {name: version(name) for name in reported_packages(spec)},
    }
    tuned = trainer.trained_weights.model(base, precision, lora_config(spec))
    if ranks.rank() == 0:
        save_tuned_model(tuned, tokenizer, turn_ends(rows), job, result)
    report.progress(1.0)
    return result


def reported_packages(spec: TrainingSpec) -> tuple[str, ...]:
    """Return the packages whose versions are in the model card."""
    sharded = spec.accelerator is not None and spec.accelerator.deepspeed is not None
    return (*REPORTED_PACKAGES, "deepspeed") if sharded else REPORTED_PACKAGES


def use_one_gpu() -> None:
    """Hide all GPUs except the first one. Call this before torch looks for GPUs."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = first


def checkpoint_to_resume(job: Job, report: Reporter) -> str | None:
    """Return the checkpoint to resume from, or None, and report it as an event."""
    if job.resume_from is None:
        return None
    found = find_usable(Path(job.resume_from))
    if found is None:
        report.event("checkpoint_unusable", path=job.resume_from)
        return None
    report.event("resumed", step=step_of(found))
    return str(found)


def describe(rows: EncodedRows) -> dict[str, Any]:
    """Return counts of a dataset's rows and tokens for the timeline."""
    return {
        "total": rows.total,
        "used": len(rows.rows),
        "truncated": rows.truncated,
        # A template's reasons may quote the rows, so there may be a different reason for each row.
        "dropped": dict(rows.dropped.most_common(10)),
        "tokens": rows.tokens,
        "learned_tokens": rows.learned_tokens,
    }


def as_dataset(rows: EncodedRows) -> Any:
    """Return the rows as a dataset for the trainer: an in-memory Arrow table without a cache."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

    lengths = [len(row.input_ids) for row in rows.rows]
    offsets = pa.array(np.cumsum([0, *lengths]), type=pa.int64())
    columns = {
        name: pa.LargeListArray.from_arrays(
            offsets, pa.array(np.concatenate([getattr(row, name) for row in rows.rows]))
        )
        for name in ("input_ids", "labels")
    }
    return Dataset(pa.table(columns))


def lora_config(spec: SftSpec) -> Any:
    """Return PEFT's configuration of the adapter."""
    from peft import LoraConfig

    return LoraConfig(
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        lora_dropout=spec.lora.dropout,
        target_modules=spec.lora.target_modules,
        task_type="CAUSAL_LM",
        bias="none",
    )


def training_arguments(job: Job, spec: TrainingSpec, model: Any, *, evaluate: bool) -> Any:
    """Return the trainer's arguments, as derived from the spec."""
    import torch
    from trl import SFTConfig

    where = device()
    by_steps = evaluate and spec.eval_steps is not None
    return SFTConfig(
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
        bf16=model.dtype is torch.bfloat16,
        use_cpu=where.type == "cpu",
        dataloader_pin_memory=where.type == "cuda",
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        disable_tqdm=True,
        report_to=[],
        ddp_find_unused_parameters=False,
        **sharding.trainer_options(spec.accelerator),
    )


def needs_gradient_checkpointing(model: Any, spec: TrainingSpec) -> bool:
    """Return True if activations must be recomputed because the GPU has too little memory.

    Recomputing makes training a third slower. For each token, the estimate counts about 16 vectors
    of the hidden size and 6 of the feed-forward size per decoder layer, plus three copies of the
    logits.
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


def last_evaluation(trainer: Any) -> dict[str, float]:
    """Return held-out loss and perplexity after the last step, evaluating now if necessary."""
    values: dict[str, float] = {}
    for entry in trainer.state.log_history:
        if "eval_loss" in entry and entry["step"] == trainer.state.global_step:
            values = entry
    values = values or trainer.evaluate()
    return {"eval_loss": values["eval_loss"], "perplexity": values["eval_perplexity"]}


def turn_ends(rows: EncodedRows) -> list[int]:
    """Return the tokens at which the tuned model must stop: those that end most learned answers.

    The list is empty if no token ends at least half of the answers.

    The end token of a base model may differ from that of its chat template, as for Qwen. Without
    this token, the tuned model would not stop after a correct answer.
    """
    ends = Counter(int(row.labels[row.labels != IGNORED][-1]) for row in rows.rows)
    # A truncated row may end with any token, so a token counts only if at least half of the rows
    # end with it.
    return [token for token, count in ends.most_common(1) if count * 2 >= len(rows.rows)]
