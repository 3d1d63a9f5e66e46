"""Tests of the resources that specs reserve by default."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import InferenceSpec, QualitySpec, TaskSpec
from aiplatform.protocol.task_options import Resources
from aiplatform.protocol.trainings import SftSpec

ROWS = {"dataset": str(uuid4())}
MODEL = str(uuid4())
SPECS: dict[str, dict[str, Any]] = {
    "inference": {"model": MODEL},
    "training": {"base_model": MODEL, "dataset": ROWS},
    "data_quality": {"dataset": ROWS},
    "data_fix": {"dataset": ROWS, "fixes": {"empty": "drop"}},
}


def parsed(kind: str, **options: Any) -> Any:
    return TypeAdapter[Any](TaskSpec).validate_python({"type": kind, **SPECS[kind], **options})


def test_two_deployments_training_and_report_fit_on_two_cores() -> None:
    kinds = ["inference", "inference", "training", "data_quality"]
    assert sum(parsed(kind).resources.cpus for kind in kinds) <= 2
    assert parsed("data_fix").resources.cpus == parsed("data_quality").resources.cpus


@pytest.mark.parametrize("kind", SPECS)
def test_spec_with_some_resources_keeps_its_own_default_for_the_others(kind: str) -> None:
    default = parsed(kind).resources.cpus
    assert parsed(kind, resources={"gpus": 1}).resources.cpus == default
    assert parsed(kind, resources={"cpus": 3}).resources.cpus == 3


def test_spec_given_resources_object_keeps_its_own_default_for_the_others() -> None:
    dataset = DatasetRef.model_validate(ROWS)
    served = InferenceSpec(model=uuid4(), resources=Resources(gpus=1))
    assert (served.resources.cpus, served.resources.gpus) == (0.1, 1)
    assert InferenceSpec(model=uuid4(), resources=Resources(cpus=1)).resources.cpus == 1
    assert QualitySpec(dataset=dataset, resources=Resources(memory_mb=9)).resources.cpus == 0.5
    trained = SftSpec(base_model=uuid4(), dataset=dataset, resources=Resources(gpus=2))
    assert trained.resources.cpus == 1
