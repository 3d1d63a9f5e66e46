"""Request and response bodies for datasets, versions, uploads, imports and reports."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from aiplatform.protocol.dataset_sources import DataSource
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import ColumnMap, Reading, UploadMode
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.rows import RowFilter, RowFix, RowPatch, RowSplit
from aiplatform.protocol.shapes.datasets import EXAMPLE_DATASET, DatasetOut, TagOut
from aiplatform.protocol.specs import ComparedDatasets, DatasetImportSpec, FixAction, Strict
from aiplatform.protocol.task_options import SecretsByVariable
from aiplatform.server.core.pagination import Page
from aiplatform.server.datasets.service.uploads import Target, UploadParameters

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
    """Return the JSON schema of a list of objects with the string fields ``names``."""
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
"""Counts of all differences between two versions."""


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
    """A commit that renames columns to the column names of a data shape."""

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
    """The version to which a tag moves, given by its label or by another tag."""

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


class ImportRequest(Reading):
    """A source to import rows from, and the dataset that receives them.

    The other options are the same as for an upload.
    """

    source: DataSource
    name: str | None = Field(None, min_length=1, max_length=255, pattern=NAME_PATTERN)
    dataset: UUID | None = Field(None, description="which gets a version, in place of `name`")
    format: DataFormat | None = None
    message: str | None = Field(None, max_length=10_000)
    base_model: UUID | None = None
    max_length: int | None = Field(None, ge=8, le=1_048_576)
    allow_identical: bool = False
    mode: UploadMode = Field(
        "replace", description="what the rows do to those of `dataset`, as of an upload"
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="the column that `upsert` and `delete` match",
    )
    parent: str | None = Field(
        None, pattern=VERSION_OR_TAG, description="the version it is made from, else the current"
    )
    secrets: SecretsByVariable = Field(
        default_factory=dict,
        description="what opens the source: `HTTP_TOKEN`, `HF_TOKEN`, `AWS_ACCESS_KEY_ID`, …, and "
        "the names of the secrets",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "faq",
                    "source": {"kind": "hub", "repository": "someone/faq", "split": "train"},
                    "map": {"question": "prompt", "answer": "completion"},
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _one_place(self) -> "ImportRequest":
        if (self.name is None) == (self.dataset is None):
            raise ValueError("give name, for a new dataset, or dataset, for a version of one")
        self.spec()  # Building the spec checks which fields the mode needs.
        return self

    def spec(self) -> DatasetImportSpec:
        """Return the spec of the import task."""
        reading = set(Reading.model_fields)
        return DatasetImportSpec(
            reading=Reading(**self.model_dump(include=reading)),
            **{
                name: getattr(self, name) for name in type(self).model_fields if name not in reading
            },
        )


class QualityRequest(Strict):
    """The tokenizer, maximum row length and comparison data of a new quality report."""

    base_model: UUID | None = Field(None, description="whose tokenizer counts; none counts none")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are reported")
    against: ComparedDatasets | None = Field(
        None,
        description="evaluation data and benchmarks to compare with, beside those that the "
        "project's gate names; null: those of the dataset's last report",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base_model": "3f0c9b1e-8d1a-4a52-b7a5-0a9a4f6d2b11",
                    "max_length": 1024,
                    "against": [
                        {"dataset": EXAMPLE_DATASET, "version": "v1", "role": "evaluation"}
                    ],
                }
            ]
        }
    )


class Example(BaseModel):
    """A row with a finding, and the part of its text that shows the finding."""

    row: int
    text: str


class ReportFinding(BaseModel):
    """A finding of a quality check, in English and Chinese.

    ``groups`` are rows that belong together, such as near duplicates. ``checked_by`` names the
    Python distribution of a check that is not part of the platform.
    """

    code: str
    severity: Literal["error", "warning", "info"]
    column: str | None
    count: int
    share: float
    message: str
    message_zh: str
    effect: str
    effect_zh: str
    fixes: list[FixAction]
    examples: list[Example]
    groups: list[list[int]] | None = None
    checked_by: str | None = None


class LanguageMix(BaseModel):
    """The languages (ISO 639-1) of the rows whose language is clear, with their shares."""

    rows: int
    shares: dict[str, float]


class LabelCount(BaseModel):
    """A label and its number of rows."""

    label: str
    rows: int


class TokenHistogram(BaseModel):
    """Numbers of rows by length; each bin is ``width`` tokens wide, and the first begins at 0."""

    width: int
    counts: list[int]


class TokenSummary(BaseModel):
    """The lengths of the rows in tokens, for one model."""

    rows: int
    min: int
    mean: float
    p50: int
    p95: int
    max: int
    total: int
    max_length: int
    over_length: int
    template: Literal["model", "plain"]
    histogram: TokenHistogram


class ComparedData(BaseModel):
    """Data with which a version was compared, and how many of its rows occur in the version.

    For evaluation data, ``exact``, ``question`` and ``near`` are set. For a benchmark,
    ``contaminated``, ``too_short`` and ``run`` are set; ``run`` is the number of consecutive
    words from which text counts as a copied passage.
    """

    label: str
    dataset: str | None
    role: Literal["evaluation", "benchmark"]
    rows: int
    exact: int | None = None
    question: int | None = None
    near: int | None = None
    contaminated: int | None = None
    too_short: int | None = None
    run: int | None = None
    method: str
    method_zh: str


class QuarantinedRows(BaseModel):
    """Rows of the uploaded file that could not be read and were set aside, by reason."""

    rows: int
    reasons: dict[str, int]


class OutsideCheck(BaseModel):
    """A check from another installed package, and the error if it failed."""

    name: str
    distribution: str | None
    version: str | None
    error: str | None


class QualityReport(BaseModel):
    """The quality report of a version.

    This class only describes the response. Reports are stored and sent as they were made; a field
    with a default is left out where there is nothing to report.
    """

    version: int
    rows: int
    shape: str
    score: int
    score_formula: str
    score_formula_zh: str
    findings: list[ReportFinding]
    languages: LanguageMix | None
    labels: list[LabelCount] | None
    tokens: TokenSummary | None
    compared_with: list[ComparedData]
    outside_checks: list[OutsideCheck]
    quarantined: QuarantinedRows | None = None


class NumbersBeforeAfter(BaseModel):
    """A number from each of two compared reports; null where a report lacks it."""

    before: float | int | None
    after: float | int | None


class FindingFacts(BaseModel):
    """The rows of a finding: their number, and their share of all rows."""

    count: int | None
    share: float | None


class FindingChange(BaseModel):
    """The change of a finding between two reports; null where it does not occur."""

    code: str
    column: str | None
    severity: str | None
    message: str | None
    message_zh: str | None
    change: Literal["new", "worse", "not_checked", "same", "better", "gone"]
    before: FindingFacts | None
    after: FindingFacts | None


class ReportChanges(BaseModel):
    """The differences between two quality reports.

    A finding's `change` compares its share of the rows: `new`, `worse`, `same`, `better`, `gone`,
    or `not_checked` if only one of the reports counted tokens.
    """

    before: str
    after: str
    score: NumbersBeforeAfter
    rows: NumbersBeforeAfter
    findings: list[FindingChange]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "before": "v3",
                    "after": "v4",
                    "score": {"before": 71, "after": 96},
                    "rows": {"before": 420, "after": 400},
                    "findings": [
                        {
                            "code": "duplicates",
                            "column": None,
                            "severity": "warning",
                            "message": "exact copies of an earlier row",
                            "message_zh": "与前面的数据完全相同",
                            "change": "gone",
                            "before": {"count": 20, "share": 0.047619},
                            "after": None,
                        }
                    ],
                }
            ]
        }
    )


class TusMetadata(Reading):
    """The metadata of a resumable upload. Its keys are the parameters of a plain upload."""

    name: str | None = Field(None, min_length=1, max_length=255, pattern=NAME_PATTERN)
    dataset: UUID | None = None
    filename: str | None = Field(None, max_length=1000)
    filetype: str | None = Field(None, max_length=255, description="Uppy sends it; not looked at")
    type: str | None = Field(None, max_length=255, description="the same")
    relativePath: str | None = Field(None, max_length=1000, description="the same")  # noqa: N815
    format: DataFormat | None = None
    message: str | None = Field(None, max_length=10_000)
    base_model: UUID | None = None
    max_length: int | None = Field(None, ge=8, le=1_048_576)
    mode: UploadMode = "replace"
    key: str | None = Field(None, min_length=1, max_length=255)
    parent: str | None = Field(None, pattern=VERSION_OR_TAG)
    allow_identical: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> "TusMetadata":
        if (self.name is None) == (self.dataset is None):
            raise ValueError("give name, for a new dataset, or dataset, for a version of one")
        return self

    def target(self) -> Target:
        """Return the target of the upload.

        Raises:
            KeyColumnRequired: the mode matches rows by a key column, but none is given.
        """
        return Target(
            name=self.name,
            dataset=self.dataset,
            mode=self.mode,
            key=self.key,
            parent=self.parent,
            allow_identical=self.allow_identical,
        )

    def upload_parameters(self) -> UploadParameters:
        """Return the parameters as a plain upload would have them.

        There is no digest, because each piece is checked by its own checksum.
        """
        return UploadParameters(
            filename=self.filename,
            format=self.format,
            message=self.message,
            base_model=self.base_model,
            max_length=self.max_length,
            reading=Reading(**self.model_dump(include=set(Reading.model_fields))),
        )
