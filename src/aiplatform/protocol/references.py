"""References in specs to datasets, models and other tasks, and the permissions they require.

Each reference in a task's spec is annotated: :class:`Reads` names the permission that the task
needs to read it; :class:`Changes` says that the task does not read it. :func:`permissions_to_read`
collects the permissions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.strict import Strict


@dataclass(frozen=True, slots=True)
class Reads:
    """The annotation of a reference that the task reads, with the permission required for that."""

    permission: Permission


@dataclass(frozen=True, slots=True)
class Changes:
    """The annotation of a reference that the task writes to, which is checked elsewhere."""


DatasetId = Annotated[UUID, Reads(Permission.DATASETS_READ)]
ModelId = Annotated[UUID, Reads(Permission.MODELS_READ)]
BundleId = Annotated[UUID, Reads(Permission.TRAINING_READ)]

MODEL_LABEL = r"^[^@\s]{1,100}@[^@\s]{1,50}$"
"""A model named as ``name@version`` or ``name@alias``."""


def parse_model(value: object) -> object:
    """Return the uuid or the label of a model that a request names.

    Raises:
        PydanticCustomError: The value is neither.
    """
    if not isinstance(value, str):
        return value
    if re.fullmatch(MODEL_LABEL, value):
        return value
    try:
        return UUID(value)
    except ValueError:
        raise PydanticCustomError(
            "model_reference",
            "must be the uuid of a model, or its name as NAME@VERSION or NAME@ALIAS",
            {"words_zh": "必须是模型的 uuid，或写作 NAME@VERSION、NAME@ALIAS 的名称"},
        ) from None


NamedModel = Annotated[
    UUID | Annotated[str, Field(pattern=MODEL_LABEL)],
    BeforeValidator(parse_model),
    Reads(Permission.MODELS_READ),
]
"""A model by its uuid, or as ``name@version`` or ``name@alias``.

At submission, the server replaces a label with the uuid of the version that it points to.
"""

VERSION_OR_TAG = r"^@?[a-z][a-z0-9._-]{0,48}[a-z0-9]$"
"""A version or tag: ``v3``, ``prod``, ``@prod``."""


ALIAS_PATTERN = r"^[a-z][a-z0-9._-]{1,49}$"
"""The name of an alias of a model, such as ``production``."""


class After(Strict):
    """A task that must end first: with success (``ok``), or with any outcome (``any``)."""

    task: UUID
    condition: Literal["ok", "any"] = "ok"


class DatasetRef(Strict):
    """A dataset and one of its versions; without a version, the current one at submission.

    A tag can be used instead of a version. It stands for the version that it points to at
    submission.
    """

    dataset: DatasetId
    version: str | None = Field(None, pattern=VERSION_OR_TAG)


class FromTask(Strict):
    """The model that a training task will produce. The task waits until training has succeeded."""

    from_task: ModelId = Field(description="a training of the project")


class ModelReference(Strict):
    """A reference to a model: ``name``, ``name@version`` or ``name@alias``.

    A version label takes precedence over an alias of the same name.
    """

    name: str
    version: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if isinstance(value, str):
            match = re.fullmatch(r"([^@]+)(?:@(.+))?", value)
            if match is None:
                raise ValueError("write it as name, name@version or name@alias")
            return {"name": match[1], "version": match[2]}
        return value


def permissions_to_read(spec: BaseModel) -> frozenset[Permission]:
    """Return the permissions required by the references in a spec, at any depth."""
    return frozenset(_permissions(spec))


def _permissions(value: Any) -> Iterator[Permission]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            held = getattr(value, name)
            if held is None or held in ({}, []):
                continue
            if not isinstance(held, BaseModel):
                yield from (mark.permission for mark in marks(field) if isinstance(mark, Reads))
            yield from _permissions(held)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _permissions(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _permissions(each)


def marks(annotated: Any) -> Iterator[Reads | Changes]:
    """Yield a field's own :class:`Reads` and :class:`Changes` annotations, not nested models'."""
    for mark in getattr(annotated, "metadata", ()) or getattr(annotated, "__metadata__", ()):
        if isinstance(mark, Reads | Changes):
            yield mark
    for inner in get_args(getattr(annotated, "annotation", annotated)):
        yield from marks(inner)
