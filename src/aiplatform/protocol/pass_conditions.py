"""Conditions on an evaluation's metrics that must be met for it to pass."""

import operator
import re
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from aiplatform.protocol.strict import Strict

Metric = Literal["loss", "perplexity"]
"""A metric of the evaluated model, as in the evaluation's result."""

Comparison = Literal["<", "<=", ">", ">="]

MAX_VALUE = 1e12
"""Largest value in a condition; no useful loss or perplexity is larger."""

OPERATORS: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class PassCondition(Strict):
    """A bound on a metric. Users can write it as text, such as ``loss<=2.0``."""

    metric: Metric
    op: Comparison
    value: float = Field(ge=0, le=MAX_VALUE)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", value)
            if match is None:
                raise ValueError("write it as metric, comparison and number, such as loss<=2.0")
            return {"metric": match[1], "op": match[2], "value": match[3]}
        return value

    def holds(self, measured: float) -> bool:
        """Return True if the measured value meets the condition; NaN never does."""
        return OPERATORS[self.op](measured, self.value)

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.value}"
