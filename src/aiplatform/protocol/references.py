"""How specs and people refer to datasets, models and other tasks, and what reading them takes.

Every reference in a task's spec carries a mark: :class:`Reads` names the permission that reading it
needs, :class:`Changes` says that the task does not read it. :func:`permissions_to_read` collects
the former.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.strict import Strict


@dataclass(frozen=True, slots=True)
class Reads:
    """Marks a reference to something that the task reads, and names the permission for that."""

    permission: Permission


@dataclass(frozen=True, slots=True)
class Changes:
    """Marks a reference to something that the task writes to. Its own permission covers that."""


DatasetId = Annotated[UUID, Reads(Permission.DATASETS_READ)]
ModelId = Annotated[UUID, Reads(Permission.MODELS_READ)]
BundleId = Annotated[UUID, Reads(Permission.TRAINING_READ)]

VERSION_OR_TAG = r"^@?[a-z][a-z0-9._-]{0,48}[a-z0-9]$"
"""``v3``, ``prod``, ``@prod``."""


class After(Strict):
    """A task that must end first: with success (``ok``), or however (``any``)."""

    task: UUID
    condition: Literal["ok", "any"] = "ok"


class DatasetRef(Strict):
    """A dataset and one of its versions; without a version, the current one when submitted.

    A tag is accepted in place of a version and means the one it is at when submitted.
    """

    dataset: DatasetId
    version: str | None = Field(None, pattern=VERSION_OR_TAG)


class FromTask(Strict):
    """The model that a training makes. Whatever names it so waits for the training's success."""

    from_task: ModelId = Field(description="a training of the project")


class ModelReference(Strict):
    """``name`` or ``name@version``, as people write it."""

    name: str
    version: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if isinstance(value, str):
            match = re.fullmatch(r"([^@]+)(?:@(.+))?", value)
            if match is None:
                raise ValueError("write it as name or name@version")
            return {"name": match[1], "version": match[2]}
        return value


def permissions_to_read(spec: BaseModel) -> frozenset[Permission]:
    """Return the permissions that the references of a spec need, at any depth."""
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
    """Yield the marks of a field or annotation, without those of the models that it names."""
    for mark in getattr(annotated, "metadata", ()) or getattr(annotated, "__metadata__", ()):
        if isinstance(mark, Reads | Changes):
            yield mark
    for inner in get_args(getattr(annotated, "annotation", annotated)):
        yield from marks(inner)
