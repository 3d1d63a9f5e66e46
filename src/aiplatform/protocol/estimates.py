"""The speed of earlier training runs, on which training estimates are based."""

from pydantic import Field

from aiplatform.protocol.strict import Strict


class Pace(Strict):
    """The speed of completed training runs with the same base model, method and kind of device.

    ``low``, ``expected`` and ``high`` are the seconds per computed token, padding included.
    """

    trainings: int = Field(ge=1, le=1_000_000, description="number of trainings")
    low: float = Field(ge=0, le=1e6)
    expected: float = Field(ge=0, le=1e6)
    high: float = Field(ge=0, le=1e6)
    overhead_seconds: float = Field(ge=0, le=1e9, description="seconds for loading and evaluating")
