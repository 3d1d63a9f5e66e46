"""Kahneman-Tversky optimisation (KTO): :func:`run_kto` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import KtoSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.labelled_answers import encode_answers
from aiplatform.runtime.loading import choose_precision, context_length, load_weights
from aiplatform.runtime.rows import turn_ends
from aiplatform.runtime.training import setup


def run_kto(job: Job, report: Reporter) -> dict[str, Any]:
    """Tune the job's base model on answers labelled good or bad; write the tuned model.

    Raises:
        JobError: A row is invalid, no row can be used, all answers have the same label, the model
            lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, KtoSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    base = Path(job.inputs["base_model"])

    # Rows.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS)
    max_length = min(spec.max_length, context_length(base))
    rows = encode_answers(Path(job.inputs["dataset"]), tokenizer, max_length=max_length)
    report.event("rows", **rows.describe())
    held_out = None
    if "eval_dataset" in job.inputs:
        held_out = encode_answers(
            Path(job.inputs["eval_dataset"]),
            tokenizer,
            max_length=max_length,
            dataset_name="held-out dataset",
        )
        report.event("held_out_rows", **held_out.describe())
    setup.show_rows(report, tokenizer, rows, held_out)

    # Model and trainer.
    from trl import KTOConfig

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.kto_trainer import (
        KtoTrainer,
        as_dataset,
        collate_answers,
        last_figures,
    )
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    model = load_weights(base, precision)
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    with setup.target_modules_checked():
        trainer = KtoTrainer(
            report=report,
            held_out=held_out,
            model=model,
            args=KTOConfig(
                **setup.shared_arguments(
                    job, spec, model, precision, evaluate=held_out is not None
                ),
                max_length=max_length,
                beta=spec.beta,
                desirable_weight=spec.desirable_weight,
                undesirable_weight=spec.undesirable_weight,
                loss_type=spec.loss_type,
                # A batch of one row has no other answer to compare its question with.
                dataloader_drop_last=len(rows.rows) % spec.batch_size == 1,
                disable_dropout=False,  # lora.dropout decides
            ),
            peft_config=setup.lora_config(spec.lora),
            train_dataset=as_dataset(rows),
            eval_dataset=as_dataset(held_out) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(
                collate_answers, pad=tokenizer.pad_token_id, max_length=max_length
            ),
            callbacks=[reporting],
        )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        **last_figures(trainer, evaluated=held_out is not None),
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
    }

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {"seconds": time.monotonic() - started, "versions": setup.versions(spec)}
    save_tuned_model(trainer.model, tokenizer, turn_ends(rows.rows), job, result)
    report.progress(1.0)
    return result
