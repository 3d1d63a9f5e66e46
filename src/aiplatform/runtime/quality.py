"""Jobs that report on or fix the quality of dataset versions, using the package ``data``."""

from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import FixSpec, QualitySpec
from aiplatform.runtime.channel import JobError, Reporter

AGAINST = "against_"
"""Prefix of the names of inputs for comparison, followed by an index into ``spec.against``."""


def run_quality(job: Job, report: Reporter) -> dict[str, Any]:
    """Create the quality report of the job's ``dataset``; count tokens if a base model is given."""
    from aiplatform.data.quality.references import Reference
    from aiplatform.data.quality.report import make_report
    from aiplatform.data.quality.token_process import CountingFailedError

    spec = job.spec
    assert isinstance(spec, QualitySpec)
    try:
        made = make_report(
            Path(job.inputs["dataset"]),
            tokenizer=_tokenizer(job),
            max_length=spec.max_length,
            progress=report.progress,
            references=[Reference(**each) for each in _compared(job, spec)],
        )
    except CountingFailedError as error:
        raise JobError(str(error)) from error
    return {"report": made}


def run_fix(job: Job, report: Reporter) -> dict[str, Any]:
    """Write the fixed rows into the output directory; the server commits them as a version."""
    from aiplatform.data.errors import MalformedData
    from aiplatform.data.operation_specs import Fix
    from aiplatform.data.operation_specs import Job as Rework
    from aiplatform.data.quality.token_process import CountingFailedError
    from aiplatform.data.row_operations import execute
    from aiplatform.protocol.rows import RowFix

    spec = job.spec
    assert isinstance(spec, FixSpec)
    do = Fix(
        fix=RowFix(fixes=spec.fixes),
        tokenizer=_tokenizer(job),
        max_length=spec.max_length,
        references=_compared(job, spec),
    )
    wanted = Rework(
        base=Path(job.inputs["dataset"]), output=Path(job.output_dir) / "rows.parquet", do=do
    )
    try:
        return execute(wanted, report.progress)
    except MalformedData as error:
        raise JobError(error.message) from error
    except CountingFailedError as error:
        raise JobError(str(error)) from error


def _tokenizer(job: Job) -> Path | None:
    if (base_model := job.inputs.get("base_model")) is None:
        return None
    tokenizer = Path(base_model) / "weights"
    if not (tokenizer / "tokenizer.json").is_file():
        raise JobError("The base model has no tokenizer.json to count tokens with.")
    return tokenizer


def _compared(job: Job, spec: QualitySpec | FixSpec) -> list[Any]:
    return [
        {
            "label": each.label,
            "role": each.role,
            "path": Path(job.inputs[f"{AGAINST}{number}"]),
            "dataset": str(each.dataset),
        }
        for number, each in enumerate(spec.against)
    ]
