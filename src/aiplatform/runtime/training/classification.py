"""Training of classifiers: :func:`run_classification` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import ClassificationSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.labelled_texts import LabelledRows, encode_labelled
from aiplatform.runtime.loading import choose_precision, context_length, load_classifier
from aiplatform.runtime.training import setup


def run_classification(job: Job, report: Reporter) -> dict[str, Any]:
    """Train a text classifier; write it to the job's output directory.

    Raises:
        JobError: A row is invalid, no row can be used, the model lacks a target module, or the
            loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, ClassificationSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    base = Path(job.inputs["base_model"])

    # Rows.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS, chat=False)
    rows, held_out = encode_inputs(job, spec, tokenizer, report)
    setup.show_rows(report, tokenizer, rows, held_out)

    # Model and trainer.
    import torch
    from peft import get_peft_model
    from peft.utils.constants import SEQ_CLS_HEAD_NAMES
    from transformers import TrainingArguments, set_seed

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.classification_trainer import ClassificationTrainer, collate
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    several = spec.label_separator is not None
    set_seed(spec.seed)  # the new head is initialised at random
    model, new_modules = load_classifier(
        base,
        # Full-tuning steps are so small that rounding to bf16 would lose most of them.
        torch.float32 if spec.tuning == "full" else precision,
        pad=tokenizer.pad_token_id,
        labels=rows.names,
        several=several,
    )
    arguments = setup.shared_arguments(job, spec, model, precision, evaluate=held_out is not None)
    if spec.tuning == "lora":
        if arguments["gradient_checkpointing"]:
            model.enable_input_require_grads()
        with setup.target_modules_checked():
            adapter = setup.lora_config(spec.lora, task="SEQ_CLS")
            # An adapter can't repair random weights, so modules that the base model lacks are
            # trained in full. PEFT itself does this for the head.
            adapter.exclude_modules = new_modules
            adapter.modules_to_save = [
                name for name in new_modules if name.partition(".")[0] not in SEQ_CLS_HEAD_NAMES
            ]
            model = get_peft_model(model, adapter)
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    trainer = ClassificationTrainer(
        report=report,
        held_out=held_out,
        class_weights=balanced_weights(rows) if spec.class_weights == "balanced" else None,
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=[row._asdict() for row in rows.rows],
        eval_dataset=[row._asdict() for row in held_out.rows] if held_out else None,
        processing_class=tokenizer,
        data_collator=partial(
            collate, pad=tokenizer.pad_token_id, labels=len(rows.names), several=several
        ),
        callbacks=[reporting],
    )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
        "labels": rows.names,
    }
    if held_out is not None:
        result |= trainer.measure()

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {"seconds": time.monotonic() - started, "versions": setup.versions(spec)}
    tuned = trainer.model.to(precision) if spec.tuning == "full" else trainer.model
    save_tuned_model(tuned, tokenizer, [], job, result)
    report.progress(1.0)
    return result


def encode_inputs(
    job: Job, spec: ClassificationSpec, tokenizer: Any, report: Reporter
) -> tuple[LabelledRows, LabelledRows | None]:
    """Return the encoded training rows, and the held-out ones if there are any.

    Raises:
        JobError: see :func:`aiplatform.runtime.labelled_texts.encode_labelled`.
    """
    max_length = min(spec.max_length, context_length(Path(job.inputs["base_model"])))
    encode = partial(
        encode_labelled,
        tokenizer=tokenizer,
        max_length=max_length,
        separator=spec.label_separator,
    )
    rows = encode(Path(job.inputs["dataset"]))
    report.event("rows", **rows.describe())
    if "eval_dataset" not in job.inputs:
        return rows, None
    held_out = encode(
        Path(job.inputs["eval_dataset"]), known=rows.names, dataset_name="held-out dataset"
    )
    report.event("held_out_rows", **held_out.describe())
    return rows, held_out


def balanced_weights(rows: LabelledRows) -> list[float]:
    """Return a weight per label, so that all labels count equally and the mean over rows is 1."""
    return [len(rows.rows) / (len(rows.names) * count) for count in rows.counts]
