"""Odds ratio preference optimisation: :func:`run_orpo` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import OrpoSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import choose_precision, context_length, load_weights
from aiplatform.runtime.rows import turn_ends
from aiplatform.runtime.training import setup


def run_orpo(job: Job, report: Reporter) -> dict[str, Any]:
    """Tune the job's base model on preference pairs; write the tuned model to the job's output.

    Raises:
        JobError: A row is invalid, no row can be used, the model lacks a target module, or the
            loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, OrpoSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    base = Path(job.inputs["base_model"])

    # Rows.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS)
    from aiplatform.runtime.training import preferences

    max_length = min(spec.max_length, context_length(base))
    rows, held_out = preferences.encode_inputs(job, tokenizer, max_length, report)
    setup.show_rows(report, tokenizer, rows, held_out)

    # Model and trainer.
    from trl import DPOConfig

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.dpo_trainer import OrpoTrainer
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    model = load_weights(base, precision)
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    with setup.target_modules_checked():
        trainer = OrpoTrainer(
            report=report,
            model=model,
            args=DPOConfig(
                **setup.shared_arguments(
                    job, spec, model, precision, evaluate=held_out is not None
                ),
                max_length=None,  # the rows have already been cut
                beta=spec.beta,
                disable_dropout=False,  # lora.dropout decides
            ),
            peft_config=setup.lora_config(spec.lora),
            train_dataset=preferences.as_dataset(rows.pairs),
            eval_dataset=preferences.as_dataset(held_out.pairs) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(preferences.collate_pairs, pad=tokenizer.pad_token_id),
            callbacks=[reporting],
        )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        **preferences.last_figures(trainer, evaluated=held_out is not None),
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
    }

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {"seconds": time.monotonic() - started, "versions": setup.versions(spec)}
    save_tuned_model(
        trainer.model, tokenizer, turn_ends([pair.chosen for pair in rows.pairs]), job, result
    )
    report.progress(1.0)
    return result
