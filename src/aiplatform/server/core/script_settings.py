"""Settings of scripts: whether users may run commands of their own, and in which environments."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

SCRIPT_LABEL = "script:"
"""Before the name of an environment: the label that workers offer and scripts ask for."""

DEFAULT_QUEUE = "default"
"""The queue of tasks that name none."""

SCRIPTS_REFUSED = "scripts-refused"
"""What a worker offers instead that is to run scripts and can't isolate them."""


class ScriptSettings(BaseSettings):
    """What :class:`aiplatform.server.core.settings.Settings` has of them."""

    scripts: bool = Field(
        False,
        description="Whether users may run commands of their own on workers. Set it for the API "
        "and for the workers that shall run them.",
    )
    scripts_without_isolation: bool = Field(
        False,
        description="Whether this worker runs scripts even where it can't isolate them from each "
        "other, such as an ordinary user's: they then read each other's inputs, code and secrets. "
        "Without it such a worker refuses scripts.",
    )
    script_queue: str = Field(
        DEFAULT_QUEUE,
        min_length=1,
        max_length=50,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Queue of scripts that name none. Another one than `default` is for scripts "
        "alone: a worker that runs as root for them (`WORKER_QUEUES`) then runs nothing "
        "else. Read by the API and by workers.",
    )
    script_environments: Annotated[dict[str, Path], NoDecode] = Field(
        default={},
        description="Environments that this worker runs scripts in, comma-separated, each "
        "`name=/directory` of a virtual environment or another prefix with a `bin`. `default` is "
        "the worker's own, unless named here.",
    )
    max_bundle_bytes: int = Field(
        100 << 20, ge=1024, description="Largest code bundle accepted, in bytes; default 100 MiB."
    )

    script_memory_mb: int = Field(
        4096,
        ge=64,
        le=1 << 30,
        description="Memory of a script that asks for none, in MiB: it is reserved for the script, "
        "which is ended when it uses more. Read by the API.",
    )
    script_disk_mb: int = Field(
        20_480,
        ge=1,
        le=1 << 24,
        description="What a script without a `max_disk_mb` of its own may write to its "
        "directories on the worker, in MiB; it is ended when it writes more. Read by the API.",
    )

    @field_validator("script_environments", mode="before")
    @classmethod
    def _environments(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): path.strip() for name, _, path in pairs}

    @field_validator("script_environments", mode="after")
    @classmethod
    def _directories(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name, path in value.items():
            if not name or not path.is_absolute():
                raise ValueError(f"{name}={path} names no directory; write name=/directory")
        return value

    @property
    def script_labels(self) -> set[str]:
        """What this worker offers to scripts."""
        names = {"default", *self.script_environments} if self.scripts else set()
        return {SCRIPT_LABEL + name for name in names}
