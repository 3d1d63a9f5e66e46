"""Request bodies of projects."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from aiplatform.protocol.encoding import clean_text, dumps, jsonable
from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.specs import Strict
from aiplatform.server.projects.rules import BIN_DAYS, MAX_BIN_DAYS, days_in_bin, retention_in

MAX_CONFIG_BYTES = 64 * 1024

ProjectName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(clean_text),
]
Description = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(clean_text)]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
    AfterValidator(clean_text),
]
Tags = Annotated[list[Tag], Field(max_length=50)]


def _valid_config(config: dict[str, Any]) -> dict[str, Any]:
    if len(dumps(config).encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise ValueError(f"must not take more than {MAX_CONFIG_BYTES} bytes")
    if BIN_DAYS in config and days_in_bin(config, -1) < 0:
        raise ValueError(f"{BIN_DAYS} must be a number of days from 0 to {MAX_BIN_DAYS}")
    retention_in(config)
    clean: dict[str, Any] = jsonable(config)
    return clean


Config = Annotated[dict[str, Any], AfterValidator(_valid_config)]


class ProjectIn(Strict):
    """A new project; the caller owns it."""

    name: ProjectName
    description: Description | None = None
    config: Config = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "support-bot", "description": "Answers about our products"}]
        }
    )


class ProjectPatch(Strict):
    """The fields to change; fields left out stay. ``archived`` makes the project read-only."""

    name: ProjectName | None = None
    description: Description | None = None
    status: ProjectStatus | None = None
    config: Config | None = None
    tags: Tags | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "archived"}]})

    @field_validator("name", "status", "config", "tags")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value
