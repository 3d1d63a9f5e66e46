"""Settings of tasks over several nodes: where workers meet, and how long they wait."""

from pydantic import Field
from pydantic_settings import BaseSettings


class NodeSettings(BaseSettings):
    """What :class:`aiplatform.server.core.settings.Settings` has of them."""

    node_host: str | None = Field(
        None,
        description="Address under which other workers reach this one in trainings and "
        "scripts over several nodes. By default `ADVERTISE_HOST`, else this machine's address on "
        "the way out.",
    )
    gather_seconds: float = Field(
        300, gt=0, description="Time in which the nodes of such a task must come together."
    )
    gather_retry_seconds: float = Field(
        30, ge=0, description="About how long it waits to try again when they did not."
    )
