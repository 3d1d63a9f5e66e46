"""How faults of what was given are told."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.faults import fault_text, message_of, message_zh_of
from aiplatform.protocol.specs import TaskSpec
from aiplatform.protocol.strict import MAX_FAULTS
from tests.runtime.conftest import training_spec

SPECS: TypeAdapter[Any] = TypeAdapter(TaskSpec)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"accelerator": {"deepspeed": {"zero_optimization": {"stage": 2}, "amp": {}}}},
            (
                "training.accelerator.deepspeed: amp is not taken: precision is the spec's own "
                "field. Leave it out"
            ),
        ),
        (
            {"accelerator": {"fsdp": {}, "deepspeed": {"zero_optimization": {"stage": 2}}}},
            "training.accelerator: accelerator has both fsdp and deepspeed; leave one of them out",
        ),
        (
            {"lora": {"rnk": 8}},
            "training.lora.rnk: there is no such field. Did you mean rank?",
        ),
        (
            {"learning_rat": 1, "lora": {"dropout": 0.1}},
            "training.learning_rat: there is no such field. Did you mean learning_rate?",
        ),
        (
            {"lora": {"zzz": 8}},
            (
                "training.lora.zzz: there is no such field. There are: alpha, dropout, rank, "
                "target_modules."
            ),
        ),
        (
            {"batch_size": 0},
            "training.batch_size: must be at least 1",
        ),
    ],
)
def test_place_and_words(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(**fields))
    (fault,) = caught.value.errors()
    assert fault_text(fault) == text


def test_the_whole_has_no_place() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    (fault,) = caught.value.errors()
    assert fault_text(fault) == message_of(fault)
    assert message_of(fault) == "must be a whole number"


def test_other_faults_beside_an_unknown_field_stay() -> None:
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


def test_an_unknown_field_is_told_in_chinese() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(lora={"rnk": 8}))
    (fault,) = caught.value.errors()
    assert message_zh_of(fault) == "没有这个字段。您是否指 rank？"


def test_many_unknown_fields_are_told_in_part() -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python(training_spec(**{"x" * 1000 + str(n): n for n in range(1000)}))
    assert len(caught.value.errors()) == MAX_FAULTS
