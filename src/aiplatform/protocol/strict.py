"""What every spec and request body is made of."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown fields are refused: a misspelt hyper-parameter must not be ignored."""

    model_config = ConfigDict(extra="forbid")
