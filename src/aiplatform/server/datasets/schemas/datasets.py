"""Request and response bodies of datasets, their versions, tags and the quality gate."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from aiplatform.protocol.reading_options import ColumnMap, Reading
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.rows import RowFilter, RowFix, RowPatch, RowSplit
from aiplatform.protocol.shapes.datasets import DatasetOut, TagOut
from aiplatform.protocol.specs import Strict
from aiplatform.server.core.pagination import Page

NAME_PATTERN = r"^[^\x00-\x1f\x7f/@]+$"
"""Pattern for names: any script, but no control characters, and no ``/`` or ``@``.

An ``@`` would make ``name@version`` ambiguous.
"""

MAX_NAME = 255
"""Maximum length of a name in characters."""


class DatasetChange(Strict):
    """The fields of a dataset that can be changed."""

    name: str = Field(min_length=1, max_length=MAX_NAME, pattern=NAME_PATTERN)

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "support-chats-2026"}]})


class RowPage(Page[dict[str, Any]]):
    """A page of rows, with each row's position in the version, counted from 0."""

    places: list[int]


_PLACE: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer"}


def _list_of(*names: str) -> dict[str, Any]:
    """Return the JSON schema of a list of objects with these texts."""
    item = {
        "type": "object",
        "properties": dict.fromkeys(names, _TEXT),
        "required": list(names),
    }
    return {"type": "array", "items": item}


DiffEntry = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": ["added", "removed", "changed"]},
                "before": _PLACE,
                "after": _PLACE,
                "row": {"type": "object", "additionalProperties": True},
                "cells": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"before": {}, "after": {}},
                        "required": ["before", "after"],
                    },
                },
            },
            "required": ["kind", "before", "after"],
        }
    ),
]
"""A row that differs: a whole ``row`` that was added or removed, or the ``cells`` that changed."""

DiffSummary = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "key": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "added": _COUNT,
                "removed": _COUNT,
                "changed": _COUNT,
                "unchanged": _COUNT,
                "rows_before": _COUNT,
                "rows_after": _COUNT,
                "cells": {"type": "object", "additionalProperties": _COUNT},
                "columns": {
                    "type": "object",
                    "properties": {
                        "added": _list_of("name", "type"),
                        "removed": _list_of("name", "type"),
                        "changed": _list_of("name", "before", "after"),
                    },
                    "required": ["added", "removed", "changed"],
                },
            },
            "required": [
                "key",
                "added",
                "removed",
                "changed",
                "unchanged",
                "rows_before",
                "rows_after",
                "cells",
                "columns",
            ],
        }
    ),
]
"""The numbers of all differences between two versions."""


class DiffPage(Page[DiffEntry]):
    """A page of differences between two versions.

    Each item has its ``kind``, its positions ``before`` and ``after``, and its ``row``; a changed
    item instead has the ``cells`` that differ. The ``summary`` covers all differences, not only
    this page.
    """

    before: str
    after: str
    summary: DiffSummary

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "before": "v1",
                    "after": "v2",
                    "summary": {
                        "key": "id", "added": 0, "removed": 0, "changed": 1, "unchanged": 419,
                        "rows_before": 420, "rows_after": 420, "cells": {"label": 1},
                        "columns": {"added": [], "removed": [], "changed": []},
                    },
                    "items": [
                        {
                            "kind": "changed", "before": 17, "after": 17,
                            "cells": {"label": {"before": "ham", "after": "spam"}},
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )  # fmt: skip


class CommitOptions(Strict):
    """The message and parent of a commit that changes rows."""

    message: str | None = Field(None, max_length=10_000, description="what this version is")
    parent: str | None = Field(
        None, pattern=VERSION_OR_TAG, description="the version or tag that is changed"
    )


class PatchRequest(RowPatch, CommitOptions):
    """A commit that adds, changes and deletes rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "set": [{"row": 17, "values": {"completion": "Paris."}}],
                    "add": [{"prompt": "2 + 2?", "completion": "4"}],
                    "delete": [3],
                    "message": "answers corrected",
                }
            ]
        }
    )


class FilterRequest(RowFilter, CommitOptions):
    """A commit that keeps only some rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"where": [{"column": "score", "op": ">=", "value": 0.5}], "message": "good ones"}
            ]
        }
    )


class MapRequest(CommitOptions):
    """A commit that renames columns to those of a data shape."""

    map: ColumnMap = Field(min_length=1, description="columns and what they are")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"map": {"question": "prompt", "answer": "completion"}}]}
    )

    @field_validator("map")
    @classmethod
    def _distinct(cls, value: dict[str, str]) -> dict[str, str]:
        Reading(map=value)
        return value


class FixRequest(RowFix, CommitOptions):
    """A task that fixes findings of the quality report and commits the result."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"fixes": {"duplicates": "drop", "personal_email": "mask", "markup": "strip"}}
            ]
        }
    )


class GateRule(BaseModel):
    """A rule of the quality gate that a version breaks."""

    rule: str
    text: str
    text_zh: str


class GateVerdict(BaseModel):
    """The quality gate's verdict on a version: passed, or the rules that it breaks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passed": True, "failures": []}]})

    passed: bool
    failures: list[GateRule]


class SplitRequest(RowSplit):
    """The parts into which a version is split, and the names of their datasets.

    The default name of a part's dataset is ``DATASET-PART``.
    """

    version: str | None = Field(None, pattern=VERSION_OR_TAG, description="by default the current")
    names: dict[str, Annotated[str, Field(max_length=MAX_NAME, pattern=NAME_PATTERN)]] = Field(
        default_factory=dict, description="of the datasets, by part; else `DATASET-PART`"
    )
    message: str | None = Field(None, max_length=10_000)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"fractions": {"train": 0.9, "eval": 0.1}, "seed": 7, "stratify": "label"}]
        }
    )

    @model_validator(mode="after")
    def _named(self) -> "SplitRequest":
        for part in self.names:
            if part not in self.fractions:
                raise ValueError(f"names: there is no part {part}")
        return self


class SplitOut(BaseModel):
    """The new datasets of a split, in the order of the fractions."""

    datasets: list[DatasetOut]


class RestoreRequest(Strict):
    """The version whose rows become current again."""

    version: str = Field(pattern=VERSION_OR_TAG)
    message: str | None = Field(None, max_length=10_000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v2"}]})


class TagMove(Strict):
    """The version to which a tag moves; it may be given by another tag."""

    version: str = Field(pattern=VERSION_OR_TAG)

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v3"}]})


class TagList(BaseModel):
    """All tags of a dataset."""

    items: list[TagOut]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "prod",
                            "version": "v3",
                            "moved_by": {
                                "uuid": "c0a8012e-1111-4222-8333-944455566677",
                                "username": "lin",
                            },
                            "moved_at": "2026-11-24T08:00:00Z",
                        }
                    ]
                }
            ]
        }
    )
