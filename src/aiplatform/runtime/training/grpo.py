"""Group relative policy optimisation (GRPO): :func:`run_grpo` shows all steps from top to bottom.

The model answers questions, and learns from the rewards for its answers.
"""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import GrpoSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import choose_precision, context_length, load_weights
from aiplatform.runtime.prompts import Prompts, encode_prompts
from aiplatform.runtime.training import setup
from aiplatform.runtime.training.rewards import Answer, Scorer, make_scorers


def run_grpo(job: Job, report: Reporter) -> dict[str, Any]:
    """Tune the job's base model with rewards for its own answers; write the tuned model.

    Raises:
        JobError: A row is invalid, no row can be used, a reward failed or needs a reference that a
            row lacks, the model lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, GrpoSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    base = Path(job.inputs["base_model"])

    # Rewards and rows.
    report.phase("load")
    scorers = make_scorers(spec.rewards)
    tokenizer = load_tokenizer(base / WEIGHTS)
    room = min(spec.max_length, context_length(base)) - spec.max_answer_tokens
    rows = encode_prompts(Path(job.inputs["dataset"]), tokenizer, max_tokens=room)
    report.event("rows", **rows.describe())
    require_references(rows, scorers, "dataset")
    require_full_step(rows, spec)
    held_out = Prompts()
    if "eval_dataset" in job.inputs:
        held_out = encode_prompts(
            Path(job.inputs["eval_dataset"]),
            tokenizer,
            max_tokens=room,
            dataset_name="held-out dataset",
        )
        report.event("held_out_rows", **held_out.describe())
        require_references(held_out, scorers, "held-out dataset")

    # Model and trainer.
    from trl import GRPOConfig

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.grpo_trainer import GrpoTrainer, as_dataset, last_figures
    from aiplatform.runtime.training.output import add_stop_tokens, save_tuned_model
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    model = load_weights(base, precision)
    add_stop_tokens(model, rows.ends)  # answers end there in training, too
    evaluate = bool(held_out.rows)
    arguments = setup.shared_arguments(job, spec, model, precision, evaluate=evaluate)
    # TRL itself counts the tokens of prompts and answers.
    arguments["include_num_input_tokens_seen"] = "no"
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    with setup.target_modules_checked():
        trainer = GrpoTrainer(
            report=report,
            scorers=scorers,
            held_out=held_out.rows,
            model=model,
            args=GRPOConfig(
                **arguments,
                reward_weights=[reward.weight for reward in spec.rewards],
                num_generations=spec.num_generations,
                num_generations_eval=1,
                max_completion_length=spec.max_answer_tokens,
                temperature=spec.temperature,
                top_p=spec.top_p,
                beta=spec.beta,
                loss_type=spec.loss_type,
                scale_rewards=spec.scale_rewards,
                # Answers are used for only one step, so a checkpoint contains none of them.
                steps_per_generation=spec.gradient_accumulation,
                disable_dropout=False,  # lora.dropout decides
            ),
            peft_config=setup.lora_config(spec.lora),
            train_dataset=as_dataset(rows.rows),
            eval_dataset=as_dataset(held_out.rows) if evaluate else None,
            processing_class=tokenizer,
            callbacks=[reporting],
        )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        **last_figures(trainer, evaluated=evaluate),
        "rows": rows.total,
        "rows_truncated": 0,
        "rows_dropped": rows.dropped.total(),
    }

    # Files.
    report.phase("save")
    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {"seconds": time.monotonic() - started, "versions": setup.versions(spec)}
    save_tuned_model(trainer.model, tokenizer, rows.ends, job, result)
    report.progress(1.0)
    return result


def require_references(rows: Prompts, scorers: Sequence[Scorer], dataset_name: str) -> None:
    """Check that each row has a reference that the rewards can read, if they need one.

    Raises:
        JobError: A row has no such reference; the message names the row and the reward.
    """
    for scorer in scorers:
        if not scorer.reward.needs_reference:
            continue
        for row in rows.rows:
            if row.reference is None:
                raise JobError(
                    f"The reward {scorer.__name__} compares answers with a reference, but row "
                    f"{row.number} of the {dataset_name} has no answer. Add answers to such rows, "
                    "remove them, or choose rewards that need no reference."
                )
            place = f"row {row.number} of the {dataset_name}"
            scorer.score(Answer(row.reference, 0), row.reference, place=place)


def require_full_step(rows: Prompts, spec: GrpoSpec) -> None:
    """Check that there are enough rows for a step.

    Raises:
        JobError: There are too few rows.
    """
    needed = spec.batch_size * spec.gradient_accumulation // spec.num_generations
    if len(rows.rows) < needed:
        raise JobError(
            f"A step needs {needed} rows (batch_size {spec.batch_size} times "
            f"gradient_accumulation {spec.gradient_accumulation}, divided by num_generations "
            f"{spec.num_generations}), but only {len(rows.rows)} of the dataset can be used. Lower "
            "batch_size or gradient_accumulation, raise num_generations, or add rows."
        )
