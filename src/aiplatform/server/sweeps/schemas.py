"""Request and response bodies for sweeps."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.names import Name
from aiplatform.protocol.shapes.experiments import EXAMPLE_SPEC, EXAMPLE_SWEEP_UUID
from aiplatform.protocol.specs import Strict
from aiplatform.protocol.sweeps import SweepSpec


class SweepIn(Strict):
    """A search for the best parameters of an experiment."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "faq-search", "spec": EXAMPLE_SPEC}]}
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    spec: SweepSpec


class RegisterBestIn(Strict):
    """The name under which the best model is registered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "faq-best"}]})

    name: Name


class RegisteredOut(BaseModel):
    """A model in the registry, ready for use."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": EXAMPLE_SWEEP_UUID, "name": "faq-best", "version": "1"}]
        }
    )

    model: UUID
    name: str
    version: str
