"""The quality report of a dataset version: the work is the data package's, this only calls it."""

from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import QualitySpec
from aiplatform.runtime.channel import JobError, Reporter


def run_quality(job: Job, report: Reporter) -> dict[str, Any]:
    """Make the report of the job's ``dataset``, with token counts when a base model is given."""
    from aiplatform.data.quality.report import make_report

    spec = job.spec
    assert isinstance(spec, QualitySpec)
    tokenizer = None
    if (base_model := job.inputs.get("base_model")) is not None:
        tokenizer = Path(base_model) / "weights"
        if not (tokenizer / "tokenizer.json").is_file():
            raise JobError("The base model has no tokenizer.json to count tokens with.")
    return {
        "report": make_report(
            Path(job.inputs["dataset"]),
            tokenizer=tokenizer,
            max_length=spec.max_length,
            progress=report.progress,
        )
    }
