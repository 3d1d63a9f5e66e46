"""Settings of the spare runtime that a worker starts ahead."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class WarmSettings(BaseSettings):
    """What :class:`aiplatform.server.core.settings.Settings` has of it."""

    warm_runtime: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether this worker keeps a process that has imported torch and trl ahead, so "
        "that the next training, evaluation or deployment begins seconds sooner; it takes about "
        "600 MiB. `auto`: while memory allows it and such tasks come, given up after 10 minutes "
        "without one.",
    )
