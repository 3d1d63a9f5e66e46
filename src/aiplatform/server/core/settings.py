"""Settings of API and worker, read from the environment (``AIPLATFORM_*``)."""

import re
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from limits import RateLimitItem
from limits import parse as parse_limit
from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from aiplatform.server.core.ingest_settings import IngestSettings
from aiplatform.server.core.node_settings import NodeSettings
from aiplatform.server.core.oidc_settings import OidcSettings
from aiplatform.server.core.script_settings import ScriptSettings
from aiplatform.server.core.setting_files import FileSource, comma_separated
from aiplatform.server.core.telemetry_settings import TelemetrySettings
from aiplatform.server.core.warm_settings import WarmSettings

DEFAULT_ADMIN_PASSWORD = "admin123"  # noqa: S105  (the contract's own; must be replaced at first login)


class Settings(
    IngestSettings, NodeSettings, OidcSettings, ScriptSettings, TelemetrySettings, WarmSettings
):
    """One process's settings. Field names are the variables' names without the prefix."""

    model_config = SettingsConfigDict(env_prefix="AIPLATFORM_", extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (there is no such file)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, and files that it names."""
        return init_settings, env_settings, FileSource(settings_cls)

    home: Path = Field(
        default_factory=lambda: user_data_path("aiplatform"),
        description="Directory of embedded servers' data, blobs, working files and logs.",
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8400, ge=1, le=65535, description="Port that the API listens on.")
    api_workers: int = Field(1, ge=1, le=64, description="Number of API processes.")
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Proxies whose `X-Forwarded-For` is believed, comma-separated: addresses, "
        "networks such as `10.0.0.0/8`, or `unix` for whoever reaches the API by a unix socket. By "
        "default none: the address of a request is that of its connection.",
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Names by which the API may be called, comma-separated, such as "
        "`platform.example.com` or `*.example.com`; `*` allows all. By default addresses, "
        "`localhost` and this machine's own name.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Origins whose pages may call the API, comma-separated, such as "
        "`https://tools.example.com`. By default none but its own.",
    )
    rate_limit_login: str = Field(
        "60/minute",
        description="Requests to sign in, from one address; `off` for no limit. Counted in the "
        "broker's Redis or Valkey, with RabbitMQ in each API process.",
    )
    rate_limit_anonymous: str = Field(
        "600/minute", description="Other requests without a good token, from one address."
    )
    rate_limit_normal: str = Field("6000/minute", description="Requests of one account.")
    rate_limit_ingest: str = Field(
        "120000/minute",
        description="Uploads, metrics, logs and requests to deployments of one account.",
    )
    database_url: str = Field(
        "postgresql://aiplatform@127.0.0.1/ai_platform",
        description="PostgreSQL (15 or newer) of the running system.",
    )
    migration_database_url: str | None = Field(
        None,
        description="The database as the role that owns the schema; used by `db upgrade` and "
        "`audit prune` only. By default `DATABASE_URL`.",
    )
    runtime_role: str | None = Field(
        None,
        description="Role that runs the system, which `db upgrade` grants what it needs and no "
        "more. By default the user in `DATABASE_URL`, when `MIGRATION_DATABASE_URL` has another.",
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
    key_file: Path | None = Field(
        None,
        description="Keys under which secrets rest, the same file for API and workers. By default "
        "`keys/secrets.key` below `HOME`, made when it is first needed; a file named here must be "
        "there.",
    )
    access_token_minutes: int = Field(30, ge=1, le=1440, description="Life of access tokens.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Life of refresh tokens.")
    self_registration: bool = Field(False, description="Whether anybody may make an account.")
    password_min_score: int = Field(
        3,
        ge=0,
        le=4,
        description="Least strength of new passwords as zxcvbn estimates it, from 0 (only the "
        "length counts) to 4.",
    )
    deactivated_tasks: Literal["continue", "stop"] = Field(
        "continue",
        description="What becomes of the queued and running tasks, the sweeps and the schedules of "
        "somebody whose account is deactivated: `continue` lets them go on where they may, `stop` "
        "cancels the tasks and sweeps and switches the schedules off.",
    )
    administrators_add_members: bool = Field(
        True,
        description="Whether administrators, who hold `*`, make people members of projects without "
        "asking them. Everybody else invites, and the invited person accepts.",
    )
    invitation_days: int = Field(7, ge=1, le=90, description="Life of invitations.")
    password_reset_minutes: int = Field(
        60, ge=5, le=1440, description="Life of links that reset a password."
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s#?]+$",
        description="Address of the platform as people reach it, for links in messages; by default "
        "`HOST` and `PORT`.",
    )
    smtp_host: str | None = Field(
        None, description="Server that takes e-mails; by default none is sent."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of that server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="How the connection is encrypted; `none` allows no password, except on this "
        "machine.",
    )
    smtp_user: str | None = Field(None, description="User that signs in there; by default nobody.")
    smtp_password: SecretStr = Field(SecretStr(""), description="That user's password.")
    mail_from: str = Field(
        "AI Platform <ai-platform@localhost>",
        pattern=r"^[^\r\n]*@[^\r\n]+$",
        description="Sender of e-mails.",
    )
    max_upload_bytes: int = Field(
        1 << 40, ge=1, description="Largest upload accepted, in bytes; default 1 TiB."
    )
    min_free_disk_bytes: int = Field(
        200 << 20,
        ge=0,
        description="Least free space of the directories of uploads and blobs, in bytes; with less "
        "the health report says `degraded`. Default 200 MiB.",
    )
    quarantine_max_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of a file's rows that may be bad and set aside, where its uploader asks "
        "for that; a file with more is refused.",
    )
    max_request_bytes: int = Field(
        4 << 20, ge=1024, description="Largest JSON request accepted, in bytes; default 4 MiB."
    )
    bin_days: int = Field(
        30,
        ge=0,
        le=3650,
        description="Days that deleted projects, datasets and models can be restored; 0 deletes "
        "at once. A project's `config` may say otherwise under `bin_days`.",
    )
    quota_storage_bytes: int | None = Field(
        None, ge=0, description="Storage of a project without a quota of its own; by default any."
    )
    quota_tasks: int | None = Field(
        None, ge=0, description="Tasks of such a project that run at once; by default any."
    )
    quota_gpus: int | None = Field(
        None, ge=0, description="GPUs that such a project's tasks hold at once; by default any."
    )
    quota_priority: int = Field(
        10,
        ge=5,
        le=10,
        description="Highest priority that such a project's tasks may have, from 5, which they "
        "have by default. Tasks of 9 and 10 preempt those of all projects.",
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
    worker_gpu_slots: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Slots for GPU work, comma-separated, each `id:MiB`: `0:40960,0:40960` shares "
        "GPU 0 between two tasks, `MIG-…:10240` names a MIG instance. By default one for each GPU "
        "or MIG instance.",
    )
    worker_labels: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="What tasks may ask this worker for, comma-separated, such as `team-x`; the "
        "models of its GPUs (`gpu:a100`) are added.",
    )
    worker_threads: int = Field(
        32, ge=2, le=1000, description="Tasks one worker supervises at the same time, at most."
    )
    advertise_host: str | None = Field(
        None,
        description="Address under which the API reaches this worker's model servers. Unset, they "
        "listen on unix sockets, which needs API and worker on one machine.",
    )
    audit_seal_seconds: float = Field(
        60,
        ge=1,
        description="Time between two seals of the audit trail; each worker may make them.",
    )
    audit_signing_key_file: Path | None = Field(
        None,
        description="Private Ed25519 key (PEM, see `audit keygen`) that workers sign seals with.",
    )
    audit_archive_days: int | None = Field(
        None,
        ge=1,
        description="Age in days at which sealed audit rows are archived to the store. By default "
        "never.",
    )
    lease_seconds: float = Field(60, gt=1, description="Time without a renewal that ends a lease.")
    renew_seconds: float = Field(10, gt=0.1, description="Time between renewals of a lease.")
    child_deadline_seconds: float = Field(
        45, gt=1, description="Time without a renewal after which a task's processes are killed."
    )
    run_silence_seconds: float = Field(
        600,
        gt=1,
        description="Time without a word after which a run that executes elsewhere is failed.",
    )
    cancel_grace_seconds: float = Field(
        30, ge=0, description="Time a cancelled task has to write its checkpoint."
    )
    sweep_seconds: float = Field(2, gt=0.1, description="Time between two sweeps.")
    hub: Literal["huggingface", "modelscope"] = Field("huggingface", description="Hub of imports.")
    hub_endpoint: str | None = Field(
        None, description="Mirror of the hub, for example `https://hf-mirror.com`."
    )
    outgoing_networks: Annotated[list[IPv4Network | IPv6Network], NoDecode] = Field(
        default=[],
        description="Networks besides the public ones that webhooks, sign-on and imports may call, "
        "comma-separated, for example `10.1.0.0/16`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_json: bool = Field(False, description="Write the log as JSON lines.")

    @field_validator("rate_limit_login", "rate_limit_anonymous", "rate_limit_normal",
                     "rate_limit_ingest")  # fmt: skip
    @classmethod
    def _limit(cls, value: str) -> str:
        limit_of(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        name, address = parseaddr(value)
        try:
            Address(display_name=name, addr_spec=address)
        except (ValueError, IndexError, MessageError):
            raise ValueError(
                f'{value!r} is no sender; write it like "Example, Inc." <platform@example.com>,'
                " with quotes around a name that has a comma"
            ) from None
        return value

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", origin):
                raise ValueError(
                    f"{origin!r} is no origin; write it like https://tools.example.com"
                )
        return value

    @field_validator(
        "worker_queues", "worker_labels", "worker_gpu_slots", "outgoing_networks",
        "allowed_hosts", "cors_origins", "trusted_proxies", mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        return comma_separated(value)

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for part in value:
            if part != "unix":
                ip_network(part)
        return value

    @model_validator(mode="after")
    def _no_password_in_the_open(self) -> "Settings":
        if (
            self.smtp_security == "none"
            and self.smtp_user is not None
            and self.smtp_host not in {None, "localhost", "127.0.0.1", "::1"}
        ):
            raise ValueError(
                "AIPLATFORM_SMTP_USER needs AIPLATFORM_SMTP_SECURITY=starttls or tls: the password "
                "would cross the network for everybody to read"
            )
        return self

    @property
    def link_base(self) -> str:
        """What links to the platform begin with, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def blobs_url(self) -> str:
        """Where blobs are kept."""
        return self.storage_url or (self.home / "blobs").absolute().as_uri()

    @property
    def spool_dir(self) -> Path:
        """Uploads on their way in."""
        return self.home / "spool"

    @property
    def turns_dir(self) -> Path:
        """Lock files that bound how many uploads are read at once."""
        return self.home / "turns"

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


def limit_of(text: str) -> RateLimitItem | None:
    """The limit of a setting such as ``60/minute``; None for ``off``.

    Raises:
        ValueError: for what is neither.
    """
    if text.strip().lower() == "off":
        return None
    try:
        return parse_limit(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no limit; write it like 60/minute, 10/second, or off"
        ) from error


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
