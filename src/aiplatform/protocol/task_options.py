"""The options that all task specs share: resources, queue, labels, retries and secrets."""

from typing import Annotated

from pydantic import Field, field_validator

from aiplatform.protocol.strict import Strict

QueueName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[a-z0-9][a-z0-9._-]*$")]

Label = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9._:/-]*$")]
"""A qualitative property of a worker, such as ``gpu:a100`` or ``team-x``."""


class Resources(Strict):
    """The resources that a task occupies on its worker."""

    cpus: float = Field(1.0, ge=0, le=1024, description="CPU cores")
    memory_mb: int = Field(0, ge=0, le=1 << 30, description="memory in MiB; 0 reserves none")
    gpus: int = Field(0, ge=0, le=64, description="GPUs, or the slots a worker made of them")
    gpu_memory_mb: int = Field(
        0, ge=0, le=1 << 24, description="memory that each GPU must have, in MiB"
    )


SecretVariable = Annotated[
    str,
    Field(
        max_length=64,
        # Only variables for credentials are allowed: setting PYTHONPATH or a proxy would
        # enable attacks.
        pattern=r"^([A-Z][A-Z0-9_]*_(TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS)"
        r"|AWS_ACCESS_KEY_ID)$",
    ),
]
SecretName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
SecretsByVariable = Annotated[dict[SecretVariable, SecretName], Field(max_length=16)]
"""Names of secrets, keyed by the environment variables that they fill in a task's process."""


class TaskOptions(Strict):
    """The options common to all specs."""

    secrets: SecretsByVariable = Field(
        default_factory=dict,
        description="environment variables and the secrets, by name, that fill them: yours, "
        'else the project\'s; such as `{"HF_TOKEN": "hub"}`',
    )

    resources: Resources = Field(default_factory=Resources)
    queue: QueueName = Field("default", description="selector: which workers may take the task")
    labels: list[Label] = Field(
        default_factory=list, max_length=20, description="what the worker must offer, all of it"
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="how often a task whose worker was lost is started"
    )
    retry_seconds: float = Field(
        10, ge=0, le=3600, description="wait before a retry; doubled each time, to an hour at most"
    )
    time_limit_seconds: int | None = Field(
        None, ge=1, le=31_536_000, description="an attempt that runs longer is stopped and fails"
    )
    preemptible: bool | None = Field(
        None,
        description="whether an urgent task may make it pause; by default what has checkpoints",
    )

    @field_validator("resources", mode="before")
    @classmethod
    def _keep_own_defaults(cls, value: object) -> object:
        """Drop unset amounts of a ``Resources`` object, so that the spec's own defaults apply."""
        return value.model_dump(exclude_unset=True) if isinstance(value, Resources) else value
