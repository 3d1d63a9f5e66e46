"""Tests of the training specs: one per method, chosen by the field ``method``."""

from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.enums import DataShape, TrainingMethod
from aiplatform.protocol.specs import TaskSpec
from aiplatform.protocol.trainings import SPECS, SftSpec, TrainingSpec, methods_for, parse_training
from aiplatform.protocol.validation_errors import error_text
from aiplatform.runtime.training import METHODS

CONFIG: dict[str, Any] = {"base_model": str(uuid4()), "dataset": {"dataset": str(uuid4())}}
OWN: dict[TrainingMethod, dict[str, Any]] = {
    TrainingMethod.GRPO: {"rewards": [{"kind": "exact"}]},
}
"""The fields that a method requires."""


def test_every_method_has_a_spec_and_a_function() -> None:
    assert set(SPECS) == set(METHODS) == set(TrainingMethod)
    for method, spec in SPECS.items():
        assert spec.reads, method
        assert spec.__doc__, method


def test_config_without_method_is_supervised_fine_tuning() -> None:
    spec = parse_training(CONFIG)
    assert type(spec) is SftSpec
    assert spec.method is TrainingMethod.SFT
    task = TypeAdapter[Any](TaskSpec).validate_python({"type": "training", **CONFIG})
    assert task == spec


@pytest.mark.parametrize("method", TrainingMethod)
def test_stored_config_is_parsed_as_the_same_spec(method: TrainingMethod) -> None:
    spec = parse_training({**CONFIG, "method": method.value, **OWN.get(method, {})})
    assert isinstance(spec, TrainingSpec)
    assert type(spec) is SPECS[method]
    assert parse_training(spec.model_dump(mode="json")) == spec
    task = TypeAdapter[Any](TaskSpec).validate_json(spec.model_dump_json())
    assert task == spec


def test_unknown_method_is_refused_with_the_known_ones() -> None:
    config = {**CONFIG, "type": "training", "method": "magic"}
    for adapter in (TypeAdapter[Any](TaskSpec).validate_python, parse_training):
        with pytest.raises(ValidationError) as caught:
            adapter(config)
        (error,) = caught.value.errors()
        assert "'magic'" in error_text(error, config)
        assert all(method in error_text(error, config) for method in TrainingMethod)


def test_error_in_a_field_is_located_without_the_method() -> None:
    config = {**CONFIG, "type": "training", "lora": {"rank": 0}}
    for adapter in (TypeAdapter[Any](TaskSpec).validate_python, parse_training):
        with pytest.raises(ValidationError) as caught:
            adapter(config)
        (error,) = caught.value.errors()
        assert error_text(error, config) == "lora.rank: must be at least 1"


def test_methods_for_a_shape_are_those_that_read_it() -> None:
    assert TrainingMethod.SFT in methods_for(DataShape.CHAT)
    assert methods_for(DataShape.TABLE) == []
