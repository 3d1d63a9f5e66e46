"""The shapes of training estimates."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Extensible, Shape


class RangeOut(Shape):
    """An expected value, and the range in which the actual value probably lies."""

    low: float
    expected: float
    high: float


class RowExample(Shape):
    """A row of the dataset. ``text`` is its beginning; rows are numbered from 1."""

    row: int
    text: str


class DroppedRows(Shape):
    """The number of rows that are dropped for the same reason, with examples."""

    reason: str
    rows: int
    examples: list[RowExample]


class RowEstimate(Shape):
    """The numbers of rows that a training run uses, truncates and drops, with examples."""

    total: int
    used: int
    truncated: int
    dropped: int
    held_out: int | None = Field(description="null without held-out rows")
    truncated_examples: list[RowExample]
    dropped_rows: list[DroppedRows]


class TokenEstimate(Shape):
    """The token counts of rows after truncation. ``padding_share`` is from 0 to 1."""

    min: int
    median: int
    p95: int
    max: int
    per_epoch: int
    learned_per_epoch: int | None = Field(
        description="null if the method learns labels or vectors instead of tokens"
    )
    padding_share: float = Field(description="share of padding among the computed tokens")


class StepEstimate(Shape):
    """The numbers of optimizer steps."""

    per_epoch: int
    total: int


class Segment(Shape):
    """A part of rendered text; ``learned`` is true if the model learns to write it."""

    text: str
    learned: bool


class RenderedRow(Shape):
    """One of the dataset's first rows, rendered as the text that the model reads."""

    number: int
    part: str | None = Field(description="such as chosen or rejected; null if a row has one text")
    segments: list[Segment]
    cut: bool = Field(description="whether its end is not shown because the text is very long")


class MemoryEstimate(RangeOut):
    """The peak memory of each device in MiB, and its parts."""

    device: Annotated[Literal["cpu", "gpu"], Extensible()]
    parts: dict[str, float]


class TimeEstimate(RangeOut):
    """The duration of the training run in seconds, and the source of the estimate.

    With the source ``history``, the estimate is based on ``trainings`` earlier training runs on
    this installation; with ``calibration``, on ``steps`` measured steps of this run.
    """

    source: Annotated[Literal["history", "calibration"], Extensible()]
    trainings: int | None
    steps: int | None


class EstimateWarning(Shape):
    """A remark about a setting, with advice."""

    code: str
    message: str
    message_zh: str


class TrainingEstimate(Shape):
    """The estimated rows, tokens, steps, memory and time of a training run before it starts."""

    rows: RowEstimate
    tokens: TokenEstimate
    steps: StepEstimate
    first_rows: list[RenderedRow]
    memory_mb: MemoryEstimate
    seconds: TimeEstimate
    warnings: list[EstimateWarning]


class RunEstimate(Shape):
    """The newest estimate that was made before the run, for comparison with the actual figures."""

    uuid: UUID
    memory_mb: MemoryEstimate
    seconds: TimeEstimate


EXAMPLE_UUID = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44"

EXAMPLE_ESTIMATE: dict[str, Any] = {
    "rows": {
        "total": 120,
        "used": 119,
        "truncated": 3,
        "dropped": 1,
        "held_out": 20,
        "truncated_examples": [{"row": 17, "text": "Tell me about your delivery times …"}],
        "dropped_rows": [
            {
                "reason": "it has no assistant's message to learn from",
                "rows": 1,
                "examples": [{"row": 4, "text": "Where is my parcel?"}],
            }
        ],
    },
    "tokens": {
        "min": 31,
        "median": 58,
        "p95": 140,
        "max": 512,
        "per_epoch": 8200,
        "learned_per_epoch": 3100,
        "padding_share": 0.31,
    },
    "steps": {"per_epoch": 15, "total": 15},
    "first_rows": [
        {
            "number": 1,
            "part": None,
            "segments": [
                {"text": "Where is my parcel?", "learned": False},
                {"text": "It is on its way.", "learned": True},
            ],
            "cut": False,
        }
    ],
    "memory_mb": {
        "low": 1800,
        "expected": 2100,
        "high": 2500,
        "device": "cpu",
        "parts": {"libraries": 750, "weights": 513, "trained_weights": 75, "activations": 762},
    },
    "seconds": {
        "low": 40,
        "expected": 52,
        "high": 75,
        "source": "calibration",
        "trainings": None,
        "steps": 3,
    },
    "warnings": [
        {
            "code": "rows_truncated",
            "message": "3 of 119 rows are cut at 512 tokens. Set max_length to 640.",
            "message_zh": "119 行中有 3 行在 512 个 token 处被截断。请将 max_length 设为 640。",
        }
    ],
}


class EstimateOut(Shape):
    """A training estimate. The task that makes it has the same uuid.

    `result` is null until the task is completed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "status": "completed",
                    "config": {"base_model": EXAMPLE_UUID, "method": "sft"},
                    "result": EXAMPLE_ESTIMATE,
                    "error_message": None,
                    "author": {"uuid": EXAMPLE_UUID, "username": "admin"},
                    "created_at": "2026-11-24T16:00:00Z",
                    "completed_at": "2026-11-24T16:00:09Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    status: TaskStatus
    config: dict[str, Any] = Field(description="the training's spec, with exact versions")
    result: TrainingEstimate | None
    error_message: str | None
    author: UserRef | None
    created_at: datetime
    completed_at: datetime | None
