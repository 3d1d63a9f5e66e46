"""Prepares the directory of an attempt: inputs, the newest checkpoint, and room for its output."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.messages import Ranks
from aiplatform.server.core import storage
from aiplatform.server.core.files import fetch_tree
from aiplatform.server.core.settings import Settings
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution import queries
from aiplatform.server.execution.rules.cpu_shares import Cores
from aiplatform.server.execution.runner.addresses import node_address
from aiplatform.server.execution.runner.secrets import reveal_secrets
from aiplatform.server.execution.service import attempts
from aiplatform.server.execution.service.attempts import Claim
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.service.kinds import Inputs, kind_of
from aiplatform.server.telemetry.service import prometheus


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the database says about an attempt, read in one transaction when it starts.

    ``seq`` and ``tail`` are the last number and the end of the log so far; ``saved`` are the files
    of the checkpoint at step ``resumes``.
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
        LostLease: when the attempt has lost its lease.
        Problem: when a secret that the task names no longer exists or can't be read.
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
    """Return the ranks of the job: the number of processes asked for, or one per GPU of a training.

    Returns None if one process runs the whole job. DeepSpeed needs ranks even then.
    """
    if claim.task_type not in {TaskType.TRAINING, TaskType.SCRIPT}:
        return None
    leased = len(claim.devices) if claim.task_type == TaskType.TRAINING else 1
    processes = spec.get("processes") or leased or 1
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
    """Return True if a training uses a DeepSpeed config."""
    return bool((spec.get("accelerator") or {}).get("deepspeed"))


def make_directory(directory: Path) -> None:
    """Create the attempt's directory, empty.

    Raises:
        OSError: when the disk refuses it.
    """
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("inputs", "output", "checkpoints"):
        (directory / name).mkdir(parents=True)


def fetch_inputs(plan: Plan, directory: Path) -> dict[str, str]:
    """Copy the inputs of the attempt into its directory; return their paths by role.

    Raises:
        OSError: when the disk refuses them or the store can't be read.
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
    """Copy the newest checkpoint; return its directory, or None if there is no checkpoint.

    Raises:
        OSError: when the disk refuses it or the store can't be read.
    """
    if plan.resumes is None:
        return None
    target = directory / "resume" / f"checkpoint-{plan.resumes}"
    fetch_tree(plan.saved, target)
    return str(target)
