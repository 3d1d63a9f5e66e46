"""Settings of the API and the worker, read from the environment (``AIPLATFORM_*``).

Each class holds one section of the settings page; :class:`Settings` has all of them.
"""

import json
import os
import re
from collections.abc import Callable
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from limits import RateLimitItem
from limits import parse as parse_limit
from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

DEFAULT_ADMIN_PASSWORD = "admin123"  # noqa: S105  (set by the contract; must be replaced at first login)

DEFAULT_QUEUE = "default"
"""Queue for tasks that don't name one."""

SCRIPT_LABEL = "script:"
"""Prefix of the labels with which workers offer script environments and scripts request them."""

SCRIPTS_REFUSED = "scripts-refused"
"""Label of a worker that is configured to run scripts but can't isolate them."""


def _comma_separated(value: object) -> object:
    """Split a variable into the items of a list; return other values unchanged."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _comma_separated_pairs(
    value: object, split: Callable[[str, str], tuple[str, str, str]]
) -> object:
    """Split a variable into pairs such as ``name=value``; return other values unchanged.

    Args:
        value: the variable.
        split: ``str.partition`` if values may contain an equals sign, ``str.rpartition`` if names
            may.
    """
    if not isinstance(value, str):
        return value
    pairs = [split(part, "=") for part in value.split(",") if part.strip()]
    return {name.strip(): text.strip() for name, _, text in pairs}


class ServerSettings(BaseSettings):
    """API server."""

    home: Path = Field(
        default_factory=lambda: user_data_path("aiplatform"),
        description="Directory for the data of embedded servers, blobs, working files and logs.",
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8400, ge=1, le=65535, description="Port that the API listens on.")
    api_workers: int = Field(1, ge=1, le=64, description="Number of API processes.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s#?]+$",
        description="URL at which people reach the platform, used for links in messages. By "
        "default `HOST` and `PORT`.",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Proxies whose `X-Forwarded-For` header is trusted, comma-separated: "
        "addresses, networks such as `10.0.0.0/8`, or `unix` for every client of the API's unix "
        "socket. By default none: the client's address is that of the connection.",
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Host names under which the API may be called, comma-separated, such as "
        "`platform.example.com` or `*.example.com`; `*` allows all. By default IP addresses, "
        "`localhost` and this machine's name.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Other origins whose pages may call the API, comma-separated, such as "
        "`https://tools.example.com`. By default none.",
    )
    max_request_bytes: int = Field(
        4 << 20, ge=1024, description="Maximum size of a JSON request, in bytes; default 4 MiB."
    )
    rate_limit_login: str = Field(
        "60/minute",
        description="Sign-in requests per address; `off` for no limit. Limits are counted in the "
        "broker's Redis or Valkey; with RabbitMQ, in each API process.",
    )
    rate_limit_anonymous: str = Field(
        "600/minute", description="Other requests without a valid token, per address."
    )
    rate_limit_normal: str = Field("6000/minute", description="Requests per account.")
    rate_limit_ingest: str = Field(
        "120000/minute",
        description="Uploads, metrics, logs and requests to deployments, per account.",
    )
    outgoing_networks: Annotated[list[IPv4Network | IPv6Network], NoDecode] = Field(
        default=[],
        description="Private networks that webhooks, single sign-on and imports may call, "
        "comma-separated, for example `10.1.0.0/16`. Public addresses are always allowed.",
    )

    @field_validator("allowed_hosts", "cors_origins", "trusted_proxies", "outgoing_networks",
                     mode="before")  # fmt: skip
    @classmethod
    def _split_lists(cls, value: object) -> object:
        return _comma_separated(value)

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _check_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", origin):
                raise ValueError(
                    f"{origin!r} is not an origin; write it like https://tools.example.com"
                )
        return value

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _check_networks(cls, value: list[str]) -> list[str]:
        for part in value:
            if part != "unix":
                ip_network(part)
        return value

    @field_validator("rate_limit_login", "rate_limit_anonymous", "rate_limit_normal",
                     "rate_limit_ingest")  # fmt: skip
    @classmethod
    def _check_limit(cls, value: str) -> str:
        limit_of(value)
        return value

    @property
    def link_base(self) -> str:
        """Base URL of links to the platform, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def spool_dir(self) -> Path:
        """The directory for uploads that are not complete."""
        return self.home / "spool"

    @property
    def ingest_locks_dir(self) -> Path:
        """The directory of lock files that limit how many uploads are parsed at the same time."""
        return self.home / "turns"

    @property
    def cache_dir(self) -> Path:
        """The directory for files that later tasks of this worker may use again."""
        return self.home / "cache"

    @property
    def work_dir(self) -> Path:
        """The parent of the working directories of running tasks."""
        return self.home / "work"


class BackendSettings(BaseSettings):
    """Database, broker and storage."""

    database_url: str = Field(
        "postgresql://aiplatform@127.0.0.1/ai_platform",
        description="PostgreSQL 15 or newer, as the role that runs the platform.",
    )
    migration_database_url: str | None = Field(
        None,
        description="The same database as the role that owns the schema; only `db upgrade` and "
        "`audit prune` use it. By default `DATABASE_URL`.",
    )
    runtime_role: str | None = Field(
        None,
        description="Role to which `db upgrade` grants the rights that the running platform needs. "
        "By default the user in `DATABASE_URL`, if `MIGRATION_DATABASE_URL` has another one.",
    )
    database_pool_size: int = Field(
        10, ge=1, le=200, description="Database connections per process."
    )
    broker_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis, Valkey or RabbitMQ, as a Celery URL."
    )
    storage_url: str | None = Field(
        None,
        description="Storage of blobs: `file:///directory` or `s3://bucket/prefix`. By default "
        "`blobs` in `HOME`.",
    )
    min_free_disk_bytes: int = Field(
        200 << 20,
        ge=0,
        description="Free space below which the health report says `degraded`, in bytes, for the "
        "directories of uploads and blobs; default 200 MiB.",
    )
    key_file: Path | None = Field(
        None,
        description="File with the keys that encrypt stored secrets; the API and all workers need "
        "the same one. By default `keys/secrets.key` in `HOME`, created when it is first needed. "
        "A file named here must exist.",
    )

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL, including the driver."""
        return sqlalchemy_url(self.database_url)

    @property
    def migration_url(self) -> str:
        """The database URL that migrations use, including the driver."""
        return sqlalchemy_url(self.migration_database_url or self.database_url)


class AccountSettings(BaseSettings):
    """Accounts."""

    admin_password: SecretStr = Field(
        SecretStr(DEFAULT_ADMIN_PASSWORD),
        description="First password of the user `admin`. The default must be replaced at the "
        "first login.",
    )
    access_token_minutes: int = Field(30, ge=1, le=1440, description="Lifetime of access tokens.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Lifetime of refresh tokens.")
    password_reset_minutes: int = Field(
        60, ge=5, le=1440, description="Lifetime of links that reset a password."
    )
    invitation_days: int = Field(7, ge=1, le=90, description="Lifetime of invitations.")
    self_registration: bool = Field(
        False, description="If true, people can create accounts for themselves."
    )
    password_min_score: int = Field(
        3,
        ge=0,
        le=4,
        description="Minimum strength of new passwords, as zxcvbn estimates it: from 0 (only the "
        "length counts) to 4.",
    )
    administrators_add_members: bool = Field(
        True,
        description="If true, administrators (permission `*`) add people to projects without "
        "asking them. All others send invitations, which people accept.",
    )
    deactivated_tasks: Literal["continue", "stop"] = Field(
        "continue",
        description="What happens to the tasks, sweeps and schedules of a deactivated account: "
        "`continue` lets them go on, `stop` cancels tasks and sweeps and disables schedules.",
    )


class OidcSettings(BaseSettings):
    """Single sign-on."""

    oidc_issuer: str | None = Field(
        None,
        description="OpenID Connect provider that signs people in, for example "
        "`https://id.example.com/realms/main`. Unset, there is no single sign-on.",
    )
    oidc_client_id: str | None = Field(None, description="Client ID of the platform.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Client secret of the platform; unset for a public client."
    )
    oidc_scopes: Annotated[list[str], NoDecode] = Field(
        default=["openid", "profile", "email"],
        description="Scopes that are requested, comma-separated.",
    )
    oidc_username_claim: str = Field(
        "preferred_username", description="Claim that becomes the user name of a new account."
    )
    oidc_groups_claim: str = Field("groups", description="Claim that lists the groups of a user.")
    oidc_roles: Annotated[dict[str, str], NoDecode] = Field(
        default={},
        description="Global role for each group, as `group=role` pairs separated by commas, or as "
        "JSON. The first match is applied at every sign-in. Unset, the provider does not decide "
        "roles.",
    )
    oidc_create_users: bool = Field(
        True, description="If true, the first sign-in of a user creates an account."
    )
    oidc_link_by_email: bool = Field(
        False,
        description="If true, a user whose verified e-mail address belongs to an account signs in "
        "to that account. Set it only if you trust all users of the provider with that.",
    )

    @field_validator("oidc_scopes", mode="before")
    @classmethod
    def _split_scopes(cls, value: object) -> object:
        return _comma_separated(value)

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _split_roles(cls, value: object) -> object:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            return json.loads(value)
        return _comma_separated_pairs(value, str.rpartition)


class MailSettings(BaseSettings):
    """E-mail."""

    smtp_host: str | None = Field(
        None, description="SMTP server for outgoing e-mail. Unset, no e-mail is sent."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="Encryption of the connection. With `none`, a user name and password are "
        "accepted only for a server on this machine.",
    )
    smtp_user: str | None = Field(
        None, description="User name at the SMTP server. Unset, the platform does not sign in."
    )
    smtp_password: SecretStr = Field(
        SecretStr(""), description="Password of the user at the SMTP server."
    )
    mail_from: str = Field(
        "AI Platform <ai-platform@localhost>",
        pattern=r"^[^\r\n]*@[^\r\n]+$",
        description="Sender of e-mails.",
    )

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        name, address = parseaddr(value)
        try:
            Address(display_name=name, addr_spec=address)
        except (ValueError, IndexError, MessageError):
            raise ValueError(
                f'{value!r} is not a sender; write it like "Example, Inc." <platform@example.com>,'
                " with quotes around a name that has a comma"
            ) from None
        return value

    @model_validator(mode="after")
    def _refuse_a_password_in_plain_text(self) -> "MailSettings":
        if (
            self.smtp_security == "none"
            and self.smtp_user is not None
            and self.smtp_host not in {None, "localhost", "127.0.0.1", "::1"}
        ):
            raise ValueError(
                "AIPLATFORM_SMTP_USER needs AIPLATFORM_SMTP_SECURITY=starttls or tls: the password "
                "would be sent over the network unencrypted"
            )
        return self


class UploadSettings(BaseSettings):
    """Uploads."""

    max_upload_bytes: int = Field(
        1 << 40, ge=1, description="Maximum size of an upload, in bytes; default 1 TiB."
    )
    quarantine_max_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of a file's rows that may be invalid and set aside, if the upload asks "
        "for it. A file with more invalid rows is refused.",
    )
    ingest_at_once: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Uploads that one machine reads at the same time, over all API processes; "
        "others wait on disk. By default half the number of CPU cores.",
    )
    ingest_at_once_per_project: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Uploads of one project that a machine reads at the same time. By default half "
        "of `INGEST_AT_ONCE`.",
    )
    ingest_memory_mb: int = Field(
        4096,
        ge=1024,
        description="Memory (address space) of the process that reads an upload, in MiB.",
    )
    ingest_cpu_seconds: int = Field(
        600,
        ge=1,
        description="CPU time for reading an upload, in seconds for each 256 MiB of its size.",
    )
    ingest_ratio: int | None = Field(
        None,
        ge=1,
        description="Ratio of decoded to uploaded size above which an upload is refused as a "
        "decompression bomb; 256 MiB are always allowed. By default 250 for compressed text, 1000 "
        "for Parquet and Arrow.",
    )
    ingest_max_unpacked_bytes: int = Field(
        1 << 40, ge=1, description="Maximum decoded size of an upload, in bytes; default 1 TiB."
    )


class ProjectSettings(BaseSettings):
    """Projects."""

    bin_days: int = Field(
        30,
        ge=0,
        le=3650,
        description="Days for which deleted projects, datasets and models can be restored; with 0 "
        "they are deleted immediately. `bin_days` in a project's `config` overrides it.",
    )
    quota_storage_bytes: int | None = Field(
        None,
        ge=0,
        description="Storage of a project without its own quota, in bytes. By default "
        "unlimited, as are the next two.",
    )
    quota_tasks: int | None = Field(
        None, ge=0, description="Tasks of such a project that may run at the same time."
    )
    quota_gpus: int | None = Field(
        None, ge=0, description="GPUs that the tasks of such a project may use at the same time."
    )
    quota_priority: int = Field(
        10,
        ge=5,
        le=10,
        description="Maximum priority of the tasks of such a project; tasks have 5 by default. "
        "Tasks of priority 9 and 10 preempt tasks of all projects.",
    )


class WorkerSettings(BaseSettings):
    """Workers."""

    worker_name: str | None = Field(
        None,
        max_length=100,
        description="Name of this worker. By default host name and a hash of the home directory.",
    )
    worker_queues: Annotated[list[str], NoDecode] = Field(
        default=[DEFAULT_QUEUE],
        description="Queues from which this worker takes tasks, comma-separated.",
    )
    worker_cpus: float | None = Field(
        None, gt=0, description="CPU cores that this worker offers. By default all."
    )
    worker_memory_mb: int | None = Field(
        None, gt=0, description="Memory that this worker offers, in MiB. By default all."
    )
    worker_gpus: int | None = Field(
        None, ge=0, description="GPUs that this worker offers. By default those that NVML reports."
    )
    worker_gpu_slots: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Slots for GPU work, comma-separated, each `id:MiB`: `0:40960,0:40960` shares "
        "GPU 0 between two tasks, `MIG-…:10240` names a MIG instance. By default one slot for each "
        "GPU or MIG instance.",
    )
    worker_labels: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Labels that tasks may require, comma-separated, such as `team-x`. The models "
        "of the worker's GPUs (`gpu:a100`) are added.",
    )
    worker_threads: int = Field(
        32, ge=2, le=1000, description="Maximum number of tasks that run at the same time."
    )
    advertise_host: str | None = Field(
        None,
        description="Address at which the API reaches the model servers of this worker. Unset, "
        "they listen on unix sockets, and the API must run on the same machine.",
    )
    node_host: str | None = Field(
        None,
        description="Address at which other workers reach this one in trainings and scripts over "
        "several nodes. By default `ADVERTISE_HOST`, or else the address that this machine uses "
        "for outgoing connections.",
    )
    warm_runtime: Literal["auto", "on", "off"] = Field(
        "auto",
        description="If `on`, this worker keeps a process ready that has imported torch and trl, "
        "so that the next training, evaluation or deployment starts seconds sooner; it needs about "
        "600 MiB. `auto` does so while memory allows and such tasks arrive, and stops after 10 "
        "minutes without one.",
    )
    llama_server: Path | None = Field(
        None,
        description="The program `llama-server` of llama.cpp with which this worker serves models "
        "by the engine `llama_cpp`. Without it, one on the search path is used, or else "
        "the package `xllamacpp`. A program that was built for the machine is up to twice as fast.",
    )

    @field_validator("worker_queues", "worker_labels", "worker_gpu_slots", mode="before")
    @classmethod
    def _split_worker_lists(cls, value: object) -> object:
        return _comma_separated(value)


class TaskSettings(BaseSettings):
    """Tasks and their leases."""

    lease_seconds: float = Field(
        60, gt=1, description="Time without a renewal after which a lease ends."
    )
    renew_seconds: float = Field(10, gt=0.1, description="Time between two renewals of a lease.")
    child_deadline_seconds: float = Field(
        45,
        gt=1,
        description="Time without a renewal after which the processes of a task are killed.",
    )
    run_silence_seconds: float = Field(
        600,
        gt=1,
        description="Time without a report after which a run outside of the platform fails.",
    )
    cancel_grace_seconds: float = Field(
        30, ge=0, description="Time in which a cancelled task may write a checkpoint."
    )
    reaper_seconds: float = Field(
        2, gt=0.1, description="Time between two passes of the reaper, which ends expired leases."
    )
    gather_seconds: float = Field(
        300, gt=0, description="Time in which the nodes of one task must meet."
    )
    gather_retry_seconds: float = Field(
        30, ge=0, description="Approximate delay before such a task tries again."
    )


class ScriptSettings(BaseSettings):
    """Scripts."""

    scripts: bool = Field(
        False,
        description="If true, users may run their own commands on workers. Set it for the API "
        "and for the workers that run scripts.",
    )
    scripts_without_isolation: bool = Field(
        False,
        description="If true, this worker runs scripts even if it can't isolate them, for example "
        "because it runs as an ordinary user. They can then read each other's inputs, code and "
        "secrets. If false, such a worker refuses scripts.",
    )
    script_queue: str = Field(
        DEFAULT_QUEUE,
        min_length=1,
        max_length=50,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Queue of scripts that name none. A queue other than `default` takes scripts "
        "only, so that a worker that runs as root for them (`WORKER_QUEUES`) runs nothing else. "
        "Set it for the API and for workers.",
    )
    script_environments: Annotated[dict[str, Path], NoDecode] = Field(
        default={},
        description="Environments in which this worker runs scripts, comma-separated, each "
        "`name=/directory` of a virtual environment or another directory with a `bin`. `default` "
        "is the environment of the worker, unless it is named here.",
    )
    max_bundle_bytes: int = Field(
        100 << 20,
        ge=1024,
        description="Maximum size of a code bundle, in bytes; default 100 MiB.",
    )
    script_memory_mb: int = Field(
        4096,
        ge=64,
        le=1 << 30,
        description="Memory of a script that requests none, in MiB. It is reserved for the script, "
        "which is ended if it uses more. Set it for the API.",
    )
    script_disk_mb: int = Field(
        20_480,
        ge=1,
        le=1 << 24,
        description="Disk space of a script that has no `max_disk_mb`, in MiB. The script is ended "
        "if it writes more. Set it for the API.",
    )

    @field_validator("script_environments", mode="before")
    @classmethod
    def _split_environments(cls, value: object) -> object:
        return _comma_separated_pairs(value, str.partition)

    @field_validator("script_environments", mode="after")
    @classmethod
    def _check_directories(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name, path in value.items():
            if not name or not path.is_absolute():
                raise ValueError(f"{name}={path} does not name a directory; write name=/directory")
        return value

    @property
    def script_labels(self) -> set[str]:
        """The labels that this worker offers to scripts."""
        names = {"default", *self.script_environments} if self.scripts else set()
        return {SCRIPT_LABEL + name for name in names}


class HubSettings(BaseSettings):
    """Model hub."""

    hub: Literal["huggingface", "modelscope"] = Field(
        "huggingface", description="Hub from which models and datasets are imported."
    )
    hub_endpoint: str | None = Field(
        None, description="Mirror of the hub, for example `https://hf-mirror.com`."
    )


class AuditSettings(BaseSettings):
    """Audit trail."""

    audit_seal_seconds: float = Field(
        60, ge=1, description="Time between two seals of the audit trail."
    )
    audit_signing_key_file: Path | None = Field(
        None,
        description="Private Ed25519 key (PEM, see `audit keygen`) with which workers sign seals.",
    )
    audit_archive_days: int | None = Field(
        None,
        ge=1,
        description="Age in days at which sealed audit entries are archived to the storage. By "
        "default never.",
    )


class ObservabilitySettings(BaseSettings):
    """Logs, telemetry, cost and retention."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of the messages that the platform logs."
    )
    log_json: bool = Field(False, description="If true, the platform logs JSON lines.")
    traces: bool = Field(
        False,
        description="If true, requests and tasks are traced by OpenTelemetry (extra `otel`). The "
        "standard variables of OpenTelemetry say where spans go and how many are kept; see "
        "Operations.",
    )
    log_bytes_per_second: int = Field(
        256_000,
        ge=1_000,
        description="Rate up to which the log of a task is stored in the database, in bytes per "
        "second. Output beyond it goes to compressed files in the storage, which downloads and "
        "searches read, too.",
    )
    log_burst_bytes: int = Field(
        4_000_000,
        ge=10_000,
        description="Bytes that a task may print in a short time beyond that rate.",
    )
    log_overflow_bytes: int = Field(
        4_000_000_000,
        ge=0,
        description="Bytes that one attempt may write to those files. Further output is dropped "
        "and counted.",
    )
    gpu_prices: Annotated[dict[str, float], NoDecode] = Field(
        default={},
        description="Price of a GPU-hour by label, comma-separated, such as "
        "`gpu:a100=2.5,gpu:h100=4`. `gpu=1` is the price of all other GPUs, `cpu=0.05` that of one "
        "core for an hour. By default nothing has a price.",
    )
    price_currency: str = Field(
        "USD", max_length=10, description="Currency that is shown with prices."
    )
    retention_log_days: int | None = Field(
        None,
        ge=0,
        le=3650,
        description="Days for which logs are kept after the end of a task. By default they are "
        "never deleted. `retention` in a project's `config` overrides this and the next two.",
    )
    retention_telemetry_days: int | None = Field(
        90,
        ge=0,
        le=3650,
        description="Days for which telemetry is kept after the end of a task.",
    )
    retention_checkpoint_days: int | None = Field(
        30,
        ge=0,
        le=3650,
        description="Days for which checkpoints are kept: all of a task that failed or was "
        "cancelled, the best of one that completed.",
    )

    @field_validator("gpu_prices", mode="before")
    @classmethod
    def _split_prices(cls, value: object) -> object:
        return _comma_separated_pairs(value, str.rpartition)

    @field_validator("gpu_prices", mode="after")
    @classmethod
    def _check_prices(cls, value: dict[str, float]) -> dict[str, float]:
        for label, price in value.items():
            if not label or price < 0:
                raise ValueError(f"{label!r}={price} is not a price; write it like gpu:a100=2.5")
        return value


class Settings(
    ServerSettings,
    BackendSettings,
    AccountSettings,
    OidcSettings,
    MailSettings,
    UploadSettings,
    ProjectSettings,
    WorkerSettings,
    TaskSettings,
    ScriptSettings,
    HubSettings,
    AuditSettings,
    ObservabilitySettings,
):
    """All settings of a process. Each field is set by the variable ``AIPLATFORM_<FIELD>``.

    The bases are the sections of the settings page, in its order.
    """

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
        """Read the environment and the files that it names."""
        return init_settings, env_settings, FileSource(settings_cls)

    @property
    def blobs_url(self) -> str:
        """The URL of the blob store."""
        return self.storage_url or (self.home / "blobs").absolute().as_uri()


class FileSource(PydanticBaseSettingsSource):
    """Settings in files: ``AIPLATFORM_X_FILE`` names a file that holds ``AIPLATFORM_X``.

    This is how orchestrators pass secrets to programs.
    """

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  (the base class's)
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Return the content of a field's file without a trailing line break."""
        variable = f"AIPLATFORM_{field_name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if path is None:
            return None, field_name, False
        if variable in os.environ:
            raise SettingsError(f"{variable} and {variable}_FILE are both set; keep one of them")
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}_FILE: {path} can't be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Return the values of all fields that have a file."""
        found = {name: self.get_field_value(field, name)[0]
                 for name, field in self.settings_cls.model_fields.items()}  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}


def limit_of(text: str) -> RateLimitItem | None:
    """Return the limit in a setting such as ``60/minute``; None for ``off``.

    Raises:
        ValueError: the text has another form.
    """
    if text.strip().lower() == "off":
        return None
    try:
        return parse_limit(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not a limit; write it like 60/minute, 10/second, or off"
        ) from error


def sqlalchemy_url(url: str) -> str:
    """Return a PostgreSQL URL with psycopg named as the driver."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


@cache
def get_settings() -> Settings:
    """Return this process's settings, which are read only once."""
    return Settings()
