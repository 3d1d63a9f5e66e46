"""Training of reward models: :func:`run_reward` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import RewardSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import choose_precision, context_length, load_scorer
from aiplatform.runtime.training import setup


def run_reward(job: Job, report: Reporter) -> dict[str, Any]:
    """Train a reward model on preference pairs; write it to the job's output directory.

    Raises:
        JobError: A row is invalid, no row can be used, the model lacks a target module, or the
            loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, RewardSpec)
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
    from transformers import set_seed
    from trl import RewardConfig

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback
    from aiplatform.runtime.training.reward_trainer import RewardModelTrainer, collate_sides

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    set_seed(spec.seed)  # the new head is initialised at random
    model = load_scorer(base, precision, pad=tokenizer.pad_token_id)
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    with setup.target_modules_checked():
        trainer = RewardModelTrainer(
            report=report,
            model=model,
            args=RewardConfig(
                **setup.shared_arguments(
                    job, spec, model, precision, evaluate=held_out is not None
                ),
                max_length=None,  # the rows have already been cut
                center_rewards_coefficient=spec.center_rewards,
                disable_dropout=False,  # lora.dropout decides
            ),
            peft_config=setup.lora_config(spec.lora, task="SEQ_CLS"),
            train_dataset=preferences.as_dataset(rows.pairs),
            eval_dataset=preferences.as_dataset(held_out.pairs) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(collate_sides, pad=tokenizer.pad_token_id),
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
    save_tuned_model(trainer.model, tokenizer, [], job, result)
    report.progress(1.0)
    return result
