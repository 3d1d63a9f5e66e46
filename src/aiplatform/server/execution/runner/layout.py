"""Preparation of an attempt's child process: directory, inputs, checkpoint, secrets, addresses.

A child listens at an address if it serves requests or trains together with other nodes. This module
also masks secrets in the child's output.
"""

import secrets
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.messages import Event, Failure, Ranks, Result, ServingAddress
from aiplatform.server.core import storage
from aiplatform.server.core.files import fetch_tree
from aiplatform.server.core.settings import Settings
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution import queries
from aiplatform.server.execution.rules import Cores
from aiplatform.server.execution.runner.process import Item, Malformed
from aiplatform.server.execution.service import attempts
from aiplatform.server.execution.service.attempts import Chunk, Claim
from aiplatform.server.projects.models import Project
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Inputs, kind_of
from aiplatform.server.secrets import service as secrets_service
from aiplatform.server.telemetry.service import prometheus


@dataclass(frozen=True, slots=True)
class Plan:
    """The data that an attempt needs from the database, read in one transaction at its start.

    ``seq`` is the number of the last log chunk so far, and ``tail`` the end of the log's text.
    ``saved`` are the files of the newest checkpoint, and ``resumes`` is its step, or None if there
    is no checkpoint.
    """

    spec: dict[str, Any]
    serves: bool
    inputs: Inputs
    labels: dict[str, str]
    secrets: dict[str, str]
    memory_mb: int
    cores: Cores | None
    time_limit: int | None
    resumes: int | None
    saved: Sequence[StoredFile]
    seq: int
    tail: str


def plan(session: Session, claim: Claim) -> Plan:
    """Read what an attempt needs from the database.

    Raises:
        LostLease: the attempt has lost its lease.
        Problem: a secret that the task names no longer exists or can't be read.
    """
    task = attempts.hold(session, claim)
    kind = kind_of(task.type)
    inputs = kind.inputs(session, task)
    if claim.attempt == 1 and claim.node == 0 and task.started_at is not None:
        waited = (task.started_at - task.created_at).total_seconds()
        prometheus.WAITS.labels(task.type).observe(waited)
    checkpoint = attempts.newest_checkpoint(session, task.id)
    saved: Sequence[StoredFile] = ()
    if checkpoint is not None:
        saved = storage.files_of(session, checkpoint_id=checkpoint.id)
    seq, tail = attempts.log_position(session, claim)
    return Plan(
        spec=task.config,
        serves=kind.serves,
        inputs=inputs,
        labels={item.role: item.label for item in queue_queries.inputs_of(session, task.id)},
        secrets=reveal_secrets(session, task),
        memory_mb=task.scheduling.memory_mb,
        cores=queries.cores_of(session, claim.task_id, claim.fence),
        time_limit=task.scheduling.time_limit_seconds,
        resumes=None if checkpoint is None else checkpoint.step,
        saved=saved,
        seq=seq,
        tail=tail,
    )


def shared_by(spec: dict[str, Any], claim: Claim, settings: Settings) -> Ranks | None:
    """Return how the job is divided into ranks (processes); see :meth:`TaskKind.processes`.

    Return None if one process runs the whole job. A job that uses DeepSpeed always has ranks, even
    if there is only one.
    """
    processes = kind_of(claim.task_type).processes(spec, len(claim.devices))
    if processes is None:
        return None
    if processes == 1 and claim.nodes == 1 and not uses_deepspeed(spec):
        return None
    return Ranks(
        nodes=claim.nodes,
        node=claim.node,
        processes=processes,
        address=node_address(settings) if claim.nodes > 1 else None,
        grace_seconds=settings.cancel_grace_seconds,
    )


def uses_deepspeed(spec: dict[str, Any]) -> bool:
    """Return True if a training spec contains a DeepSpeed config."""
    return bool((spec.get("accelerator") or {}).get("deepspeed"))


def make_directory(directory: Path) -> None:
    """Create the attempt's directory, or empty it if it exists.

    Raises:
        OSError: the directory can't be created.
    """
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("inputs", "output", "checkpoints"):
        (directory / name).mkdir(parents=True)


def fetch_inputs(plan: Plan, directory: Path) -> dict[str, str]:
    """Copy the attempt's inputs into its directory and return their paths by role.

    Raises:
        OSError: the files can't be written or the store can't be read.
    """
    paths: dict[str, str] = {}
    for role, file in plan.inputs.single.items():
        target = directory / "inputs" / role / Path(file.path).name
        fetch_tree([replace(file, path=target.name)], target.parent)
        paths[role] = str(target)
    for role, files in plan.inputs.trees.items():
        target = directory / "inputs" / role
        target.mkdir(parents=True, exist_ok=True)
        fetch_tree(files, target)
        paths[role] = str(target)
    return paths


def fetch_checkpoint(plan: Plan, directory: Path) -> str | None:
    """Copy the newest checkpoint and return its directory, or None if there is no checkpoint.

    Raises:
        OSError: the files can't be written or the store can't be read.
    """
    if plan.resumes is None:
        return None
    target = directory / "resume" / f"checkpoint-{plan.resumes}"
    fetch_tree(plan.saved, target)
    return str(target)


SHORTEST_MASKED = 6
"""Length of the shortest value that is masked; shorter values match too much ordinary text."""

MASK = "[secret]"


def reveal_secrets(session: Session, task: Task) -> dict[str, str]:
    """Return the values of the secrets that the task names, keyed by environment variable.

    Raises:
        NoSuchSecret: a secret has been deleted.
        KeyFileUnusable: this machine's key file is missing or invalid.
        SecretUnreadable: none of the file's keys decrypts a secret.
    """
    wanted = (task.config or {}).get("secrets") or {}
    if not wanted:
        return {}
    project = None if task.project_id is None else session.get(Project, task.project_id)
    return secrets_service.reveal_for_task(
        session,
        wanted,
        author_id=task.scheduling.created_by if task.scheduling.personal_secrets else None,
        project_id=task.project_id,
        project=None if project is None else project.uuid,
        task=task.uuid,
    )


def mask_secrets(item: Item, secrets: dict[str, str]) -> Item:
    """Return a message or log chunk from the child with the values of secrets masked."""
    values = [value for value in secrets.values() if len(value) >= SHORTEST_MASKED]
    if not values:
        return item
    match item:
        case Chunk():
            item.text = _mask(item.text, values)
        case Failure() | Malformed():
            text = "error" if isinstance(item, Failure) else "reason"
            object.__setattr__(item, text, _mask(getattr(item, text), values))
        case Event() | Result():
            object.__setattr__(item, "data", _mask(item.data, values))
    return item


def _mask(content: Any, values: list[str]) -> Any:
    if isinstance(content, str):
        for value in values:
            content = content.replace(value, MASK)
        return content
    if isinstance(content, dict):
        return {_mask(key, values): _mask(inner, values) for key, inner in content.items()}
    if isinstance(content, list):
        return [_mask(inner, values) for inner in content]
    return content


def serving_address(claim: Claim, settings: Settings) -> ServingAddress:
    """Return the address at which the attempt's server will listen, with a new token.

    The address is a Unix socket, or ``advertise_host`` from the settings if the API runs on another
    machine.
    """
    token = secrets.token_urlsafe(32)
    host = settings.advertise_host
    if host is not None:
        return ServingAddress(host=host, token=token)
    # A socket path is limited to about 107 bytes, and the attempt's directory may be longer.
    directory = settings.home / "run"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{claim.task_id:x}-{claim.fence:x}.sock"
    return ServingAddress(socket=str(directory / name), token=token)


def node_address(settings: Settings) -> str:
    """Return the address at which other workers can reach this machine."""
    return settings.node_host or settings.advertise_host or outbound_address()


def outbound_address() -> str:
    """Return the address for outgoing connections, or the loopback address if there is none.

    Nothing is sent. The address is not derived from the host name, which often resolves to an
    address that only the host itself can reach.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation; no host has it
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def free_port(address: str) -> int:
    """Return a port of the address on which no process is listening right now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port: int = listener.getsockname()[1]
        return port


def host_port(address: str, port: int) -> str:
    """Return ``host:port`` as in URLs, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
