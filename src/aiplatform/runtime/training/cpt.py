"""Continued pre-training (CPT): :func:`run_cpt` shows all steps from top to bottom."""

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import CptSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import choose_precision, context_length, load_weights
from aiplatform.runtime.packing import mix, pack
from aiplatform.runtime.rows import Encoded, EncodedRows, encode_dataset
from aiplatform.runtime.training import ranks, setup, sharding

UNCUT = 1 << 30
"""A maximum length that no text exceeds, so that no text is truncated before packing."""


def run_cpt(job: Job, report: Reporter) -> dict[str, Any]:
    """Train the job's base model on all tokens of its rows; write the tuned model to the output.

    Raises:
        JobError: No text can be used, the model lacks a target module, or the loss diverged.
        JobStopped: A stop was requested. The checkpoint of the last step has been announced.
    """
    spec = job.spec
    assert isinstance(spec, CptSpec)
    started = time.monotonic()
    setup.use_one_gpu()
    sharding.prepare(spec.accelerator)
    base = Path(job.inputs["base_model"])

    # Blocks.
    report.phase("load")
    tokenizer = load_tokenizer(base / WEIGHTS)
    if tokenizer.eos_token_id is None:
        raise JobError(
            "The base model's tokenizer has no end token, which must stand between texts. Choose "
            "another base model."
        )
    length = min(spec.max_length, context_length(base))
    rows = read_texts(job, "dataset", "dataset", tokenizer)
    blocks = pack(rows, tokenizer, length=length, seed=spec.seed)
    report.event("rows", **rows.describe(), blocks=len(blocks))
    if spec.replay_dataset is not None:
        blocks = with_replay(blocks, job, spec, tokenizer, length, report)
    held_out = held_out_rows = None
    if spec.eval_dataset is not None:
        held_out_rows = read_texts(job, "eval_dataset", "held-out dataset", tokenizer)
        held_out = pack(held_out_rows, tokenizer, length=length)
        report.event("held_out_rows", **held_out_rows.describe(), blocks=len(held_out))
    setup.show_rows(
        report, tokenizer, rows, held_out_rows, sequences=[(block,) for block in blocks]
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
    reporting = ReportingCallback(report)
    # These warnings concern how the libraries use each other, so users can't act on them.
    warnings.simplefilter("ignore", FutureWarning)
    with setup.target_modules_checked():
        trainer = PlatformTrainer(
            report=report,
            held_out=held_out,
            model=model,
            args=SFTConfig(
                **setup.shared_arguments(
                    job, spec, model, precision, evaluate=held_out is not None
                ),
                dataset_kwargs={"skip_prepare_dataset": True},
                max_length=None,
            ),
            peft_config=adapter,
            train_dataset=as_dataset({"": blocks}),
            eval_dataset=as_dataset({"": held_out}) if held_out else None,
            processing_class=tokenizer,
            data_collator=partial(collate, pad=tokenizer.pad_token_id),
            callbacks=[reporting],
        )
    setup.train(trainer, job, report)

    # Results.
    result: dict[str, Any] = {
        **setup.training_figures(trainer, precision, reporting),
        "rows": rows.total,
        "rows_truncated": 0,
        "rows_dropped": rows.dropped.total(),
        "blocks": len(blocks),
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
            tuned.to(precision) if adapter is None else tuned, tokenizer, [], job, result
        )
    report.progress(1.0)
    return result


def with_replay(
    blocks: list[Encoded], job: Job, spec: CptSpec, tokenizer: Any, length: int, report: Reporter
) -> list[Encoded]:
    """Return the blocks with blocks of the replay dataset mixed in, and report their share.

    Raises:
        JobError: No row of the replay dataset can be used.
    """
    rows = read_texts(job, "replay_dataset", "replay dataset", tokenizer)
    replay = pack(rows, tokenizer, length=length, seed=spec.seed)
    mixed = mix(blocks, replay, spec.replay_share)
    added = len(mixed) - len(blocks)
    report.event("replay_rows", **rows.describe(), blocks=added, share=round(added / len(mixed), 4))
    return mixed


def read_texts(job: Job, role: str, name: str, tokenizer: Any) -> EncodedRows:
    """Return the tokens of all texts or conversations in an input, each with its end token.

    Raises:
        JobError: No row can be used. The message contains ``name``.
    """
    return encode_dataset(
        Path(job.inputs[role]), tokenizer, max_length=UNCUT, learn="all", dataset_name=name
    )
