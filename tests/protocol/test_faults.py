"""How faults of what was given are told."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.faults import fault_text, message_of
from aiplatform.protocol.specs import TaskSpec
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
            {"batch_size": 0},
            "training.batch_size: Input should be greater than or equal to 1",
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
    assert message_of(fault).startswith("Input should be a valid integer")
