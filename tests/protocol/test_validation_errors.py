"""Tests of the texts of validation errors."""

import importlib
import pkgutil
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform import protocol
from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.model_sources import ModelSource
from aiplatform.protocol.specs import TaskSpec
from aiplatform.protocol.strict import MAX_ERRORS
from aiplatform.protocol.validation_errors import error_text, message_of, message_zh_of
from tests.runtime.conftest import training_spec

SPECS: TypeAdapter[Any] = TypeAdapter(TaskSpec)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"accelerator": {"deepspeed": {"zero_optimization": {"stage": 2}, "amp": {}}}},
            (
                "training.sft.accelerator.deepspeed: amp is not supported: the spec has a "
                "field precision for it. Leave it out"
            ),
        ),
        (
            {"accelerator": {"fsdp": {}, "deepspeed": {"zero_optimization": {"stage": 2}}}},
            (
                "training.sft.accelerator: accelerator has both fsdp and deepspeed; leave one of "
                "them out"
            ),
        ),
        (
            {"lora": {"rnk": 8}},
            "training.sft.lora.rnk: there is no such field. Did you mean rank?",
        ),
        (
            {"learning_rat": 1, "lora": {"dropout": 0.1}},
            "training.sft.learning_rat: there is no such field. Did you mean learning_rate?",
        ),
        (
            {"lora": {"zzz": 8}},
            (
                "training.sft.lora.zzz: there is no such field. There are: alpha, dropout, kind, "
                "rank, target_modules."
            ),
        ),
        (
            {"batch_size": 0},
            "training.sft.batch_size: must be at least 1",
        ),
    ],
)
def test_validation_error_names_place_and_reason(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(**fields))
    (fault,) = caught.value.errors()
    assert error_text(fault) == text


def test_validation_error_of_the_whole_value_has_no_place() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    (fault,) = caught.value.errors()
    assert error_text(fault) == message_of(fault)
    assert message_of(fault) == "must be a whole number"


def test_unknown_field_keeps_the_other_errors() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(
            training_spec(epochs=-1, learning_rat=1, lora={"rnk": 1, "alpha": 0}, precision="x")
        )
    assert {(fault["type"], fault["loc"][-1]) for fault in caught.value.errors()} == {
        ("greater_than", "epochs"),
        ("unknown_field", "learning_rat"),
        ("unknown_field", "rnk"),
        ("greater_than_equal", "alpha"),
        ("literal_error", "precision"),
    }


def test_unknown_field_is_described_in_chinese() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(lora={"rnk": 8}))
    (fault,) = caught.value.errors()
    assert message_zh_of(fault) == "没有这个字段。您是否指 rank？"


def test_many_unknown_fields_are_reported_in_part() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(**{"x" * 1000 + str(n): n for n in range(1000)}))
    assert len(caught.value.errors()) == MAX_ERRORS


SOURCES: TypeAdapter[Any] = TypeAdapter(ModelSource)


@pytest.mark.parametrize(
    ("union", "given", "en", "zh"),
    [
        (
            SOURCES,
            {"package": "x"},
            "must have the field kind, which says what it is: one of hub, package, upload",
            "须有字段 kind 来指明类型，可为：hub、package、upload",
        ),
        (
            SOURCES,
            {"kind": "hup"},
            "has 'hup' in the field kind, which must be one of hub, package, upload",
            "的字段 kind 为 'hup'，应为以下之一：hub、package、upload",
        ),
        (
            SOURCES,
            {"kind": ["hub"]},
            "has \"['hub']\" in the field kind, which must be one of hub, package, upload",
            "的字段 kind 为 \"['hub']\"，应为以下之一：hub、package、upload",
        ),
        (SOURCES, "hub", "must be a JSON object", "应为JSON 对象"),
    ],
)
def test_invalid_kind_lists_the_valid_kinds(
    union: TypeAdapter[Any], given: object, en: str, zh: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        union.validate_python(given)
    (fault,) = caught.value.errors()
    assert (message_of(fault), message_zh_of(fault)) == (en, zh)


def test_missing_type_lists_all_task_types() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python({})
    (fault,) = caught.value.errors()
    assert all(kind in message_of(fault) for kind in TaskType)


def test_every_discriminated_union_names_its_kinds() -> None:
    """If this fails, add ``KindErrors`` to the new union."""
    unions = {
        name: found
        for module in pkgutil.iter_modules(protocol.__path__, "aiplatform.protocol.")
        for name, value in vars(importlib.import_module(module.name)).items()
        if (found := getattr(value, "__metadata__", None))
        and any(getattr(part, "discriminator", None) for part in found)
    }
    assert {"ModelSource", "DataSource", "TaskSpec", "Parameter", "Action"} <= set(unions)
    internal = {"RuntimeMessage", "ScriptMessage", "ControlMessage"}
    silent = {
        name
        for name, found in unions.items()
        if not any(isinstance(part, KindErrors) for part in found)
    }
    assert silent == internal
