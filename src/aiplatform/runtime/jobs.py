"""Selection of the function that runs a job. Only the modules that the job needs are imported."""

from typing import Any, assert_never

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import (
    DatasetImportSpec,
    EstimateSpec,
    EvaluationSpec,
    ExternalSpec,
    FixSpec,
    ImportSpec,
    InferenceSpec,
    QualitySpec,
    ScriptSpec,
)
from aiplatform.protocol.trainings import TrainingSpec
from aiplatform.runtime.channel import Reporter


def run(job: Job, report: Reporter) -> dict[str, Any]:
    """Run ``job`` to its end and return the data of its result message."""
    match job.spec:
        case TrainingSpec() as spec:
            from aiplatform.runtime.training import run_training

            return run_training(job, spec, report)
        case EstimateSpec():
            from aiplatform.runtime.estimates.run import run_estimate

            return run_estimate(job, report)
        case EvaluationSpec():
            from aiplatform.runtime.evaluation.run import run_evaluation

            return run_evaluation(job, report)
        case QualitySpec():
            from aiplatform.runtime.quality import run_quality

            return run_quality(job, report)
        case FixSpec():
            from aiplatform.runtime.quality import run_fix

            return run_fix(job, report)
        case ImportSpec():
            from aiplatform.runtime.importing.run import run_import

            return run_import(job, report)
        case DatasetImportSpec():
            from aiplatform.runtime.fetching.run import run_dataset_import

            return run_dataset_import(job, report)
        case InferenceSpec():
            from aiplatform.runtime.serving.run import run_serving

            return run_serving(job, report)
        case ScriptSpec():
            from aiplatform.runtime.script.run import run_script

            return run_script(job, report)
        case ExternalSpec():
            raise ValueError("a run that executes elsewhere is not executed here")
        case _ as other:
            assert_never(other)
