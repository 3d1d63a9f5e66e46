"""Settings of API and worker, read from the environment (``AIPLATFORM_*``)."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_ADMIN_PASSWORD = "admin123"  # noqa: S105  (the contract's own; must be replaced at first login)


class Settings(BaseSettings):
    """One process's settings. Field names are the variables' names without the prefix."""

    model_config = SettingsConfigDict(env_prefix="AIPLATFORM_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: user_data_path("aiplatform"),
        description="Directory of embedded servers' data, blobs, working files and logs.",
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8400, ge=1, le=65535, description="Port that the API listens on.")
    api_workers: int = Field(1, ge=1, le=64, description="Number of API processes.")
    database_url: str = Field(
        "postgresql://aiplatform@127.0.0.1/ai_platform",
        description="PostgreSQL (15 or newer) of the running system.",
    )
    migration_database_url: str | None = Field(
        None, description="Role that owns the schema; by default that of `DATABASE_URL`."
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections per process.")
    broker_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis, Valkey or RabbitMQ, as a Celery URL."
    )
    storage_url: str | None = Field(
        None,
        description="Where blobs are kept: `file:///directory` or `s3://bucket/prefix`. "
        "By default `blobs` below `HOME`.",
    )
    admin_password: SecretStr = Field(
        SecretStr(DEFAULT_ADMIN_PASSWORD),
        description="First password of the user `admin`; must be replaced at the first login "
        "when it is the default.",
    )
    access_token_minutes: int = Field(30, ge=1, le=1440, description="Life of access tokens.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Life of refresh tokens.")
    max_upload_bytes: int = Field(
        1 << 40, ge=1, description="Largest upload accepted, in bytes; default 1 TiB."
    )
    max_request_bytes: int = Field(
        4 << 20, ge=1024, description="Largest JSON request accepted, in bytes; default 4 MiB."
    )
    worker_name: str | None = Field(
        None, max_length=100, description="Name of this worker; by default host name and home."
    )
    worker_queues: Annotated[list[str], NoDecode] = Field(
        default=["default"], description="Queues this worker takes tasks from, comma-separated."
    )
    worker_cpus: float | None = Field(
        None, gt=0, description="CPU cores this worker offers; by default all."
    )
    worker_memory_mb: int | None = Field(
        None, gt=0, description="Memory this worker offers, in MiB; by default all."
    )
    worker_gpus: int | None = Field(
        None, ge=0, description="GPUs this worker offers; by default those NVML reports."
    )
    worker_threads: int = Field(
        32, ge=2, le=1000, description="Tasks one worker supervises at the same time, at most."
    )
    advertise_host: str | None = Field(
        None,
        description="Address under which the API reaches this worker's model servers. Unset, they "
        "listen on unix sockets, which needs API and worker on one machine.",
    )
    lease_seconds: float = Field(60, gt=1, description="Time without a renewal that ends a lease.")
    renew_seconds: float = Field(10, gt=0.1, description="Time between renewals of a lease.")
    child_deadline_seconds: float = Field(
        45, gt=1, description="Time without a renewal after which a task's processes are killed."
    )
    cancel_grace_seconds: float = Field(
        30, ge=0, description="Time a cancelled task has to write its checkpoint."
    )
    sweep_seconds: float = Field(2, gt=0.1, description="Time between two sweeps.")
    hub: Literal["huggingface", "modelscope"] = Field(
        "huggingface", description="Which model hub imports use."
    )
    hub_endpoint: str | None = Field(
        None, description="Mirror of the hub, for example `https://hf-mirror.com`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_json: bool = Field(False, description="Write the log as JSON lines.")

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @property
    def blobs_url(self) -> str:
        """Where blobs are kept."""
        return self.storage_url or (self.home / "blobs").absolute().as_uri()

    @property
    def spool_dir(self) -> Path:
        """Uploads on their way in."""
        return self.home / "spool"

    @property
    def work_dir(self) -> Path:
        """Working directories of running tasks."""
        return self.home / "work"

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL with the driver named."""
        return sqlalchemy_url(self.database_url)

    @property
    def migration_url(self) -> str:
        """The database URL that migrations use, with the driver named."""
        return sqlalchemy_url(self.migration_database_url or self.database_url)


def sqlalchemy_url(url: str) -> str:
    """``url`` with psycopg named as the driver, whatever spelling it came in."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
