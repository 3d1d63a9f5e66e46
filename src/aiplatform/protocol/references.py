"""How specs and people refer to datasets, models and other tasks."""

import re
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from aiplatform.protocol.strict import Strict

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

    dataset: UUID
    version: str | None = Field(None, pattern=VERSION_OR_TAG)


class FromTask(Strict):
    """The model that a training makes. Whatever names it so waits for the training's success."""

    from_task: UUID = Field(description="a training of the project")


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
