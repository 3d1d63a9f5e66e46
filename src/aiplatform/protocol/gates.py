"""A project's quality gate: rules that a version's report must meet before training."""

from typing import Annotated

from pydantic import ConfigDict, Field

from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import Strict

OverrideReason = Annotated[str, Field(min_length=10, max_length=1000)]
"""The reason for training although the data fails the gate; recorded in the audit trail."""


class GateLimit(Strict):
    """The largest share of rows (0 to 1) that may have a finding.

    ``finding`` is a code in the report, or a prefix of several codes followed by ``*``, such as
    ``personal_*``.
    """

    finding: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,98}\*?$")]
    max_share: float = Field(0.0, ge=0, le=1)


class Gate(Strict):
    """The rules of a quality gate, all of which must be met; without rules, every version passes.

    Attributes:
        min_score: the lowest score, 0 to 100.
        forbid_errors: True if findings of severity ``error`` are not allowed.
        limits: limits for single findings.
        evaluation: evaluation datasets of the project, whose rows must not occur in the version
            that is checked. Of a dataset without a version, the current version is used.
        benchmarks: benchmark datasets of the project, of which not even a passage may occur in the
            version that is checked.
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
