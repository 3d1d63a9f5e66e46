"""The gate of a project: what a dataset's quality report must say before training on it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import Strict

OverrideReason = Annotated[str, Field(min_length=10, max_length=1000)]
"""Why it is trained although the data fails the gate; the audit keeps it."""


class GateLimit(Strict):
    """The largest share of rows (0 to 1) that a finding may concern.

    ``finding`` is a code of the report, or the beginning of some with ``*``: ``personal_*``.
    """

    finding: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,98}\*?$")]
    max_share: float = Field(0.0, ge=0, le=1)


class Gate(Strict):
    """Rules that all must hold; without any, everything passes.

    Attributes:
        min_score: the least score, 0 to 100.
        forbid_errors: whether findings of severity ``error`` fail it.
        limits: of single findings.
        evaluation: data of the project that every report is compared with: nothing of it may be
            trained on. Without a version, the current one.
        benchmarks: the same, of which not even a passage may be.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "min_score": 80,
                    "forbid_errors": True,
                    "limits": [{"finding": "personal_*", "max_share": 0.0}],
                }
            ]
        }
    )

    min_score: int | None = Field(None, ge=0, le=100)
    forbid_errors: bool = False
    limits: list[GateLimit] = Field(default_factory=list, max_length=50)
    evaluation: list[DatasetRef] = Field(default_factory=list, max_length=8)
    benchmarks: list[DatasetRef] = Field(default_factory=list, max_length=8)
