"""Training of embeddings: :func:`run_embedding` shows all steps from top to bottom."""

import json
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import EmbeddingSpec
from aiplatform.runtime.artifacts import WEIGHTS, make_durable
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.embedding_rows import EmbeddingRows, encode_embedding_rows
from aiplatform.runtime.loading import choose_precision, context_length, load_encoder
from aiplatform.runtime.training import setup


def run_embedding(job: Job, report: Reporter) -> dict[str, Any]:
    """Train an encoder on pairs or triplets of texts; write it to the job's output directory.

    Raises:
        JobError: The rows can't be used, the model lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, EmbeddingSpec)
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
    from transformers import TrainingArguments, set_seed

    from aiplatform.runtime.environment import environment
    from aiplatform.runtime.training.embedding_trainer import EmbeddingTrainer, collate
    from aiplatform.runtime.training.reporting import PROGRESS_AFTER_TRAINING, ReportingCallback

    report.event("environment", **environment())
    precision = choose_precision(spec.precision)
    set_seed(spec.seed)
    # Full-tuning steps are so small that rounding to bf16 would lose most of them.
    model = load_encoder(base, torch.float32 if spec.tuning == "full" else precision)
    arguments = setup.shared_arguments(job, spec, model, precision, evaluate=held_out is not None)
    if spec.tuning == "lora":
        if arguments["gradient_checkpointing"]:
            model.enable_input_require_grads()
        with setup.target_modules_checked():
            model = get_peft_model(model, setup.lora_config(spec.lora, task="FEATURE_EXTRACTION"))
    reporting = ReportingCallback(report)
    warnings.simplefilter("ignore", FutureWarning)  # users can't act on these warnings
    trainer = EmbeddingTrainer(
        report=report,
        held_out=held_out,
        pooling=spec.pooling,
        scale=spec.scale,
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=[row._asdict() for row in rows.rows],
        eval_dataset=[row._asdict() for row in held_out.rows] if held_out else None,
        processing_class=tokenizer,
        data_collator=partial(collate, pad=tokenizer.pad_token_id),
        callbacks=[reporting],
    )
    # A checkpoint to resume from is loaded later, so these are always the base model's.
    before = trainer.measure() if held_out is not None else {}
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        "rows": rows.total,
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
    }
    if held_out is not None:
        result |= trainer.measure()
        result["base"] = before

    # Files.
    report.phase("save")
    from aiplatform.runtime.training.output import save_tuned_model

    report.progress(PROGRESS_AFTER_TRAINING)
    result |= {"seconds": time.monotonic() - started, "versions": setup.versions(spec)}
    tuned = trainer.model.to(precision) if spec.tuning == "full" else trainer.model
    save_tuned_model(tuned, tokenizer, [], job, result)
    write_modules(Path(job.output_dir) / WEIGHTS, tuned.config.hidden_size, spec)
    report.progress(1.0)
    return result


def encode_inputs(
    job: Job, spec: EmbeddingSpec, tokenizer: Any, report: Reporter
) -> tuple[EmbeddingRows, EmbeddingRows | None]:
    """Return the encoded training rows, and the held-out ones if there are any.

    Raises:
        JobError: see :func:`aiplatform.runtime.embedding_rows.encode_embedding_rows`.
    """
    max_length = min(spec.max_length, context_length(Path(job.inputs["base_model"])))
    encode = partial(encode_embedding_rows, tokenizer=tokenizer, max_length=max_length)
    rows = encode(Path(job.inputs["dataset"]))
    report.event("rows", **rows.describe())
    if "eval_dataset" not in job.inputs:
        return rows, None
    held_out = encode(Path(job.inputs["eval_dataset"]), dataset_name="held-out dataset")
    report.event("held_out_rows", **held_out.describe())
    return rows, held_out


def write_modules(weights: Path, width: int, spec: EmbeddingSpec) -> None:
    """Write the files with which sentence-transformers computes the same vectors.

    Args:
        weights: the directory of the saved encoder.
        width: the number of elements of a vector.
        spec: the spec of the training run.
    """
    package = "sentence_transformers.models"
    modules = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    listed = [
        {"idx": index, "name": str(index), "path": path, "type": f"{package}.{name}"}
        for index, (path, name) in enumerate(modules)
    ]
    pooling = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": spec.pooling == "cls",
        "pooling_mode_mean_tokens": spec.pooling == "mean",
    }
    for name, content in (
        ("modules.json", listed),
        ("sentence_bert_config.json", {"max_seq_length": spec.max_length, "do_lower_case": False}),
        ("1_Pooling/config.json", pooling),
    ):
        file = weights / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    make_durable(weights)
