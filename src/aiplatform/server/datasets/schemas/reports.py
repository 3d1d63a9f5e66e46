"""Request and response bodies of quality reports."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.shapes.datasets import EXAMPLE_DATASET
from aiplatform.protocol.specs import ComparedDatasets, Strict


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


class ReportChanges(BaseModel):
    """The differences between two quality reports.

    The `change` of a finding compares its share of the rows: `new`, `worse`, `same`, `better`,
    `gone`, or `not_checked` when only one of the reports counted tokens.
    """

    before: str
    after: str
    score: dict[str, Any]
    rows: dict[str, Any]
    findings: list[dict[str, Any]]

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
