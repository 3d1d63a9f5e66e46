"""Tests of the permissions that the references in a spec require."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.references import Changes, Reads, permissions_to_read
from aiplatform.protocol.specs import (
    EvaluationSpec,
    FixSpec,
    ImportSpec,
    InferenceSpec,
    QualitySpec,
    ScriptSpec,
    TaskSpec,
)
from aiplatform.protocol.trainings import SftSpec

KINDS = get_args(get_args(TaskSpec)[0])
DATASET = {"dataset": str(uuid4())}


def unmarked(annotation: Any, where: str, marked: bool = False) -> Iterator[str]:
    """Yield the paths of unmarked uuids at any depth of a type."""
    if annotation is UUID:
        if not marked:
            yield where
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        here = marked or any(isinstance(each, Reads | Changes) for each in metadata)
        yield from unmarked(inner, where, here)
    elif get_origin(annotation) in {Union, UnionType, list, dict, tuple, set}:
        for inner in get_args(annotation):
            yield from unmarked(inner, where, marked)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            here = any(isinstance(each, Reads | Changes) for each in field.metadata)
            yield from unmarked(field.annotation, f"{where}.{name}", here)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_reference_of_every_spec_has_a_mark(kind: type[BaseModel]) -> None:
    assert list(unmarked(kind, kind.__name__)) == []


def test_unmarked_finds_a_nested_reference() -> None:
    class Inner(BaseModel):
        deep: dict[str, list[UUID]]

    class Spec(BaseModel):
        plain: UUID
        either: str | Inner | None

    assert list(unmarked(Spec, "Spec")) == ["Spec.plain", "Spec.either.deep"]


D, M, T = Permission.DATASETS_READ, Permission.MODELS_READ, Permission.TRAINING_READ


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        (SftSpec(base_model=uuid4(), dataset=DATASET), {D, M}),
        (EvaluationSpec(model=uuid4(), dataset=DATASET), {D, M}),
        (EvaluationSpec(model={"from_task": uuid4()}, dataset=DATASET), {D, M}),
        (InferenceSpec(model=uuid4()), {M}),
        (InferenceSpec(model={"from_task": uuid4()}), {M}),
        (QualitySpec(dataset=DATASET), {D}),
        (QualitySpec(dataset=DATASET, base_model=uuid4()), {D, M}),
        (FixSpec(dataset=DATASET, fixes={"empty": "drop"}), {D}),
        (ScriptSpec(bundle=uuid4(), command=["x"]), {T}),
        (ScriptSpec(bundle=uuid4(), command=["x"], datasets={"a": DATASET}), {T, D}),
        (ScriptSpec(bundle=uuid4(), command=["x"], models={"a": uuid4()}), {T, M}),
        (ImportSpec(model=uuid4(), source={"kind": "hub", "repository": "a/b"}), set()),
    ],
    ids=lambda value: getattr(value, "type", None),
)
def test_spec_needs_the_permissions_of_its_references(
    spec: BaseModel, needed: set[Permission]
) -> None:
    assert permissions_to_read(spec) == needed
