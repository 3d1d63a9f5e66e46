"""Request and response bodies of quality reports."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.shapes.datasets import EXAMPLE_DATASET
from aiplatform.protocol.specs import ComparedDatasets, FixAction, Strict


class QualityRequest(Strict):
    """The tokenizer, row length and comparison data of a new quality report."""

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
    """A row that has a finding, and the part of its text that shows it."""

    row: int
    text: str


class ReportFinding(BaseModel):
    """A finding of a quality check, in English and Chinese.

    ``groups`` are rows that belong together, such as near duplicates. ``checked_by`` names the
    distribution of a check that is not the platform's own.
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
    """Other data that the rows were compared with, and how many of its rows were found in them.

    Evaluation data has ``exact``, ``question`` and ``near``, a benchmark ``contaminated``.
    """

    label: str
    role: Literal["evaluation", "benchmark"]
    rows: int
    exact: int | None = None
    question: int | None = None
    near: int | None = None
    contaminated: int | None = None
    too_short: int | None = None
    method: str
    method_zh: str


class QualityReport(BaseModel):
    """The quality report of a version. Reports from older versions of the platform may lack fields.

    This class only describes the response. Reports are stored and sent as they were made.
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


class NumbersBeforeAfter(BaseModel):
    """A number in both reports; null where a report lacks it."""

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


class FixedRow(BaseModel):
    """A row before and after a fix; ``after`` is null if the fix removes the row."""

    row: int
    before: dict[str, Any]
    after: dict[str, Any] | None


class FixPreview(BaseModel):
    """Some rows of a finding as a fix would change them, and the number of all its rows."""

    count: int
    items: list[FixedRow]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "count": 14,
                    "items": [
                        {
                            "row": 7,
                            "before": {"text": "write to ann@example.com"},
                            "after": {"text": "write to [EMAIL]"},
                        }
                    ],
                }
            ]
        }
    )
