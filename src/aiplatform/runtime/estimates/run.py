"""Estimate jobs, which start a training run and stop it as soon as its cost can be estimated.

The training method itself encodes the rows, so that the estimate counts exactly the tokens that the
real training run would use. If the speed of similar training runs is known, this is enough.
Otherwise the method trains for a few steps, which are timed and then discarded.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import TrainingMethod
from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import EstimateSpec
from aiplatform.protocol.trainings import KtoSpec, TrainingSpec, TuningSpec
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.estimates import advice, duration, memory
from aiplatform.runtime.estimates.batches import (
    Batches,
    Steps,
    count_steps,
    longest_batch,
    make_batches,
)
from aiplatform.runtime.estimates.model_facts import read_model_facts
from aiplatform.runtime.estimates.rows import describe_rows, describe_tokens, render_first
from aiplatform.runtime.loading import choose_precision, context_length
from aiplatform.runtime.row_counts import RowCounts
from aiplatform.runtime.rows import Encoded
from aiplatform.runtime.training import run_training

CALIBRATION_STEPS = 5
"""Maximum number of measured steps; the first one does not count toward the speed."""

CALIBRATION_SECONDS = 20
"""Seconds after which the measurement ends if at least two steps have been measured."""

CHECKED_METHODS = frozenset({TrainingMethod.SFT, TrainingMethod.CPT})
"""Methods for which the memory formula was compared with real training runs."""

WITHOUT_LOGITS = frozenset(
    {TrainingMethod.CLASSIFICATION, TrainingMethod.EMBEDDING, TrainingMethod.REWARD}
)
"""Methods that don't score the whole vocabulary."""


class Observed(Exception):
    """An exception that stops the observed training run, because the estimate can be made."""


class Observer(Reporter):
    """A reporter that observes a training run instead of reporting it, and stops it early.

    Args:
        report: The reporter of the estimate.
        measure_steps: True to time some steps; False if the encoded rows are sufficient.
    """

    def __init__(self, report: Reporter, *, measure_steps: bool) -> None:
        super().__init__(None, report.stop)
        self.observer = self
        self.measure_steps = measure_steps
        self.encoding_seconds = 0.0
        self.loading_seconds = 0.0
        self.steps: list[duration.MeasuredStep] = []
        self.tokenizer: Any = None
        self.rows: RowCounts
        self.sequences: list[tuple[Encoded, ...]]
        self.held_out: RowCounts | None = None
        self._trainer: Any = None
        self._created = self._began = time.monotonic()

    def rows_encoded(self, tokenizer: Any, rows: Any, sequences: Any, held_out: Any) -> None:
        """Keep the rows; stop the training run unless steps are to be measured."""
        self.encoding_seconds = time.monotonic() - self._created
        self.tokenizer, self.rows, self.held_out = tokenizer, rows, held_out
        self.sequences = list(sequences)
        if not self.measure_steps:
            raise Observed

    def training_begins(self, trainer: Any) -> None:
        """Start the clock of the first step."""
        self._trainer = trainer
        self._began = time.monotonic()
        self.loading_seconds = self._began - self._created

    def metrics(self, step: int, values: dict[str, float]) -> None:  # noqa: ARG002
        """Record the duration of the last step; stop the training run after enough steps."""
        if "seconds_per_step" not in values:
            return
        before = sum(measured.tokens for measured in self.steps)
        tokens = self._trainer.computed_tokens - before
        self.steps.append(duration.MeasuredStep(values["seconds_per_step"], tokens))
        late = time.monotonic() - self._began > CALIBRATION_SECONDS and len(self.steps) > 1
        if late or len(self.steps) == CALIBRATION_STEPS:
            raise Observed


def run_estimate(job: Job, report: Reporter) -> dict[str, Any]:
    """Return an estimate of the training run in the job's spec.

    Raises:
        JobError: The real training run would fail with the same error.
    """
    estimate = job.spec
    assert isinstance(estimate, EstimateSpec)
    spec = estimate.training
    observer = Observer(report, measure_steps=estimate.pace is None)
    observed = job.model_copy(update={"spec": shortened(spec)})
    with contextlib.suppress(Observed):
        run_training(observed, observed.spec, observer)  # type: ignore[arg-type]
    report.stop.raise_if_requested()
    report.progress(0.9)
    result = summarise(job, estimate, observer)
    report.progress(1.0)
    return result


def shortened(spec: TrainingSpec) -> TrainingSpec:
    """Return a copy of the spec for a few equal steps in a single process."""
    return spec.model_copy(
        update={
            "max_steps": CALIBRATION_STEPS,
            "gradient_accumulation": 1,
            "logging_steps": 1,
            "eval_steps": None,
            "checkpoint_steps": CALIBRATION_STEPS + 1,
            "nodes": 1,
            "processes": None,
            "accelerator": None,
            "resources": spec.resources.model_copy(update={"gpus": min(1, spec.resources.gpus)}),
        }
    )


def summarise(job: Job, estimate: EstimateSpec, seen: Observer) -> dict[str, Any]:
    """Return the estimate in the API's format, based on the observed rows and steps."""
    spec = estimate.training
    base = Path(job.inputs["base_model"])
    units = len(seen.sequences)
    used = seen.rows.total - seen.rows.dropped.total()
    steps = count_steps(
        units,
        batch_size=spec.batch_size,
        accumulation=spec.gradient_accumulation,
        processes=spec.all_processes,
        epochs=spec.epochs,
        max_steps=spec.max_steps,
    )
    batches = make_batches(
        seen.sequences,
        trainer_orders(units, spec.seed),
        batch_size=spec.batch_size,
        count=steps.total * spec.gradient_accumulation,
    )
    per_epoch = sum(len(text.input_ids) for texts in seen.sequences for text in texts)
    drawn_rows = len(batches.tokens) * min(spec.batch_size, units)
    padding = max(0.0, 1 - per_epoch * drawn_rows / units / max(1, float(batches.tokens.sum())))
    tokens = describe_tokens(seen.sequences, padding)
    amount = estimate_memory(spec, base, seen, batches)
    context = context_length(base)
    facts = advice.Facts(
        used=used,
        truncated=seen.rows.truncated,
        dropped=seen.rows.dropped.total(),
        total=seen.rows.total,
        held_out=None if seen.held_out is None else len(seen.held_out.sequences()),
        sequences=units,
        mean_tokens=per_epoch / used,
        padding_share=padding,
        steps=steps,
        sufficient_length=sufficient_length(seen.rows.truncated_lengths, used, tokens["max"]),
        longest_context=context,
        memory_mb=amount["expected"],
        available_mb=available_mb(spec),
    )
    return {
        "rows": describe_rows(Path(job.inputs["dataset"]), seen.rows, used, facts.held_out),
        "tokens": tokens,
        "steps": {"per_epoch": steps.per_epoch, "total": steps.total},
        "first_rows": render_first(seen.tokenizer, seen.sequences, spec.method),
        "memory_mb": amount,
        "seconds": estimate_seconds(estimate, seen, batches, steps),
        "warnings": [vars(remark) for remark in advice.advise(spec, facts)],
    }


def trainer_orders(rows: int, seed: int) -> Iterator[Any]:
    """Yield the order of the rows in each epoch, as accelerate's seedable sampler shuffles them."""
    import torch

    for epoch in itertools.count():
        generator = torch.Generator().manual_seed(seed + epoch)
        yield torch.randperm(rows, generator=generator).numpy()


def estimate_memory(
    spec: TrainingSpec, base: Path, seen: Observer, batches: Batches
) -> dict[str, Any]:
    """Return the estimated peak memory per device, as a range."""
    model = read_model_facts(base)
    on_gpu = spec.resources.gpus > 0
    full = isinstance(spec, TuningSpec) and spec.tuning == "full"
    # GPUs that lack bf16 are rare, and the estimate may run on a machine without GPUs.
    half = spec.precision == "bf16" or (
        spec.precision == "auto" and (on_gpu or choose_precision("auto").itemsize == 2)
    )
    setting = memory.MemorySetting(
        device="gpu" if on_gpu else "cpu",
        weight_bytes=4 if full or not half else 2,
        compute_bytes=2 if half else 4,
        lora=None if full else getattr(spec, "lora", None),
        has_logits=spec.method not in WITHOUT_LOGITS,
    )
    parts = memory.memory_parts(model, setting, batches)
    expected = memory.peak_mb(model, setting, batches)
    worst = memory.peak_mb(model, setting, longest_batch(seen.sequences, spec.batch_size))
    margin = memory.MARGIN if spec.method in CHECKED_METHODS else memory.WIDE_MARGIN
    sharded = spec.accelerator is not None and spec.all_processes > 1
    return {
        "low": round(expected * (1 - (memory.WIDE_MARGIN if sharded else margin))),
        "expected": round(expected),
        "high": round(max(expected, worst) * (1 + margin)),
        "device": setting.device,
        "parts": {name: round(part) for name, part in parts.items()},
    }


def estimate_seconds(
    estimate: EstimateSpec, seen: Observer, batches: Batches, steps: Steps
) -> dict[str, Any]:
    """Return the estimated duration, as a range."""
    spec = estimate.training
    held_out = 0
    if seen.held_out is not None:
        held_out = sum(len(text.input_ids) for texts in seen.held_out.sequences() for text in texts)
    evaluations = (steps.total - 1) // spec.eval_steps if held_out and spec.eval_steps else 0
    # The last batch of an epoch may be smaller than the others.
    batches_in_all = steps.batches_per_epoch * steps.epochs
    compared = isinstance(spec, KtoSpec) and spec.loss_type == "kto"
    work = duration.Work(
        # The method kto compares each row with the answer of another row.
        trained=batches.mean_tokens * batches_in_all * (2 if compared else 1),
        final_held_out=held_out,
        other_held_out=held_out * evaluations,
    )
    if estimate.pace is not None:
        return duration.from_history(estimate.pace, work)
    return duration.from_calibration(seen.steps, seen.loading_seconds, work)


def sufficient_length(truncated: list[int], used: int, longest: int) -> int:
    """Return a maximum length, in tokens, that is enough for 95 % of the rows.

    Args:
        truncated: The lengths of the truncated rows before they were cut.
        used: The number of used rows, including truncated ones.
        longest: The number of tokens of the longest row, after truncation.
    """
    allowed = used - math.ceil(0.95 * used)
    ordered = sorted(truncated, reverse=True)
    return ordered[allowed] if allowed < len(ordered) else longest


def available_mb(spec: TrainingSpec) -> int | None:
    """Return the memory in MiB that the training run may use, or None if it is unknown."""
    if spec.resources.gpus:
        import torch

        if spec.resources.gpu_memory_mb:
            return spec.resources.gpu_memory_mb
        if torch.cuda.is_available():
            return int(torch.cuda.get_device_properties(0).total_memory >> 20)
        return None
    import psutil

    return spec.resources.memory_mb or int(psutil.virtual_memory().total >> 20)
