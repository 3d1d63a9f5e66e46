"""Supervised fine-tuning (SFT): :func:`run_sft` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import SftSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import (
    choose_precision,
    context_length,
    load_weights,
)
from aiplatform.runtime.rows import encode_dataset, turn_ends
from aiplatform.runtime.training import ranks, setup, sharding
from aiplatform.runtime.training.packed_rows import pack_whole_rows, require_separate_rows


def run_sft(job: Job, report: Reporter) -> dict[str, Any]:
    """Fine-tune the job's base model; write the tuned model to the job's output.

    Raises:
        JobError: No row can be used, the model lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, SftSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    sharding.prepare(spec.accelerator)
    base = Path(job.inputs["base_model"])

    # Rows.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS)
    max_length = min(spec.max_length, context_length(base))
    rows = encode_dataset(
        Path(job.inputs["dataset"]), tokenizer, max_length=max_length, learn=spec.loss
    )
    packed = pack_whole_rows(rows.rows, length=max_length, seed=spec.seed) if spec.packing else None
    blocks = {} if packed is None else {"blocks": len(packed)}
    report.event("rows", **rows.describe(), **blocks)
    held_out = None
    if "eval_dataset" in job.inputs:
        held_out = encode_dataset(
            Path(job.inputs["eval_dataset"]),
            tokenizer,
            max_length=max_length,
            learn=spec.loss,
            dataset_name="held-out dataset",
        )
        report.event("held_out_rows", **held_out.describe())
    setup.show_rows(
        report, tokenizer, rows, held_out, sequences=[(each,) for each in packed or rows.rows]
    )

    # Model and trainer.
    import torch
    from trl import SFTConfig

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback
    from aiplatform.runtime.training.trainer import PlatformTrainer, as_dataset, collate

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    adapter = setup.lora_config(spec.lora) if spec.tuning == "lora" else None
    # Full-tuning steps are so small that rounding to bf16 would lose most of them.
    model = load_weights(base, torch.float32 if adapter is None else precision)
    sharding.require_shardable(model, spec.accelerator)
    require_separate_rows(model, packed or [])
    reporting = ReportingCallback(report)
    # These warnings concern how the libraries use each other, so users can't act on them.
    warnings.simplefilter("ignore", FutureWarning)
    with setup.target_modules_checked():
        trainer = PlatformTrainer(
            report=report,
            held_out=held_out.rows if held_out else None,
            model=model,
            args=SFTConfig(
                **setup.shared_arguments(
                    job, spec, model, precision, evaluate=held_out is not None
                ),
                dataset_kwargs={"skip_prepare_dataset": True},
                max_length=None,
                neftune_noise_alpha=spec.neftune_alpha,
            ),
            peft_config=adapter,
            train_dataset=as_dataset({"": packed or rows.rows}),
            eval_dataset=as_dataset({"": held_out.rows}) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(collate, pad=tokenizer.pad_token_id),
            callbacks=[reporting],
        )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
        **blocks,
    }
    if held_out is not None:
        values = setup.last_evaluation(trainer)
        result |= {"eval_loss": values["eval_loss"], "perplexity": values["eval_perplexity"]}

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {
        "seconds": time.monotonic() - started,
        "versions": setup.versions(spec),
    }
    tuned = trainer.trained_weights.model(base, precision, adapter)
    if ranks.rank() == 0:
        save_tuned_model(
            tuned.to(precision) if adapter is None else tuned,
            tokenizer,
            turn_ends(rows.rows),
            job,
            result,
        )
    report.progress(1.0)
    return result
