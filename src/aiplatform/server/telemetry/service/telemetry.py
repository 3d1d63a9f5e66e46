"""Resource usage of attempts and machines: storage, summaries, alerts, curves and cost."""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core.settings import get_settings
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules.placement import gpu_label
from aiplatform.server.queue.service.claims import Claim
from aiplatform.server.queue.service.queue import add_event
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.rules import TEXTS, Alert

BLOCK_SAMPLES = 60
GAP_STEPS = 2.5
"""Number of steps by which a sample must be early or late to start a new block.

Within a block, samples are expected one step apart.
"""
SUMMARISED = ("cpu_percent", "memory_mb", "read_mb_s", "write_mb_s")
SUMMARISED_GPU = ("memory_mb", "percent", "power_w", "temperature_c")


class Block:
    """A series of samples with the same keys, taken ``step_seconds`` apart.

    ``began`` is the time of the first sample in seconds since the epoch.
    """

    def __init__(self, began: float, step_seconds: float, keys: tuple[str, ...]) -> None:
        self.began = began
        self.step_seconds = step_seconds
        self.keys = keys
        self.samples = array("f")

    def __len__(self) -> int:
        return len(self.samples) // len(self.keys)

    def takes(self, moment: float, values: Mapping[str, float]) -> bool:
        """Return True if a sample belongs to this block."""
        due = self.began + len(self) * self.step_seconds
        return (
            len(self) < BLOCK_SAMPLES
            and values.keys() == set(self.keys)
            and abs(moment - due) < GAP_STEPS * self.step_seconds
        )

    def add(self, values: Mapping[str, float]) -> None:
        """Add a sample for which :meth:`takes` returns True."""
        self.samples.extend(values.get(key, math.nan) for key in self.keys)


STORE = text("""
INSERT INTO task_telemetry (task_id, attempt, began, step_seconds, keys, samples)
SELECT :task_id, :attempt, :began, :step, :keys, CAST(:samples AS real[])
FROM task_leases WHERE task_id = :task_id AND fence = :fence
ON CONFLICT (task_id, attempt, began) DO UPDATE SET samples = excluded.samples
RETURNING task_id
""")
STORE_MACHINE = text("""
INSERT INTO worker_telemetry (worker_id, began, step_seconds, keys, samples)
VALUES (:worker_id, :began, :step, :keys, CAST(:samples AS real[]))
ON CONFLICT (worker_id, began) DO UPDATE SET samples = excluded.samples
""")


def _row(block: Block) -> dict[str, Any]:
    return {
        "began": datetime.fromtimestamp(block.began, UTC),
        "step": block.step_seconds,
        "keys": list(block.keys),
        "samples": list(block.samples),
    }


def store(session: Session, claim: Claim, blocks: Sequence[Block]) -> None:
    """Store blocks of an attempt; a block that has grown replaces its earlier version.

    Raises:
        LostLease: the attempt no longer holds the task; nothing is written.
    """
    facts = {"task_id": claim.task_id, "attempt": claim.attempt, "fence": claim.fence}
    for block in blocks:
        if session.execute(STORE, {**facts, **_row(block)}).one_or_none() is None:
            raise LostLease


def store_machine(session: Session, worker_id: int, blocks: Sequence[Block]) -> None:
    """Store blocks of samples of a worker's machine."""
    for block in blocks:
        session.execute(STORE_MACHINE, {"worker_id": worker_id, **_row(block)})


def raise_alert(session: Session, claim: Claim, alert: Alert) -> None:
    """Add an alert to the task's timeline and notify its author.

    Raises:
        LostLease: the attempt no longer holds the task.
    """
    held = session.execute(
        text("SELECT 1 FROM task_leases WHERE task_id = :task AND fence = :fence"),
        {"task": claim.task_id, "fence": claim.fence},
    ).one_or_none()
    if held is None:
        raise LostLease
    task = session.get_one(Task, claim.task_id)
    words = TEXTS[alert.kind]
    add_event(session, task, "alert", alert=alert.kind.value, value=alert.value, text=words["en"])
    announce(
        session,
        NotificationType.TASK_ALERT,
        to=[task.scheduling.created_by],
        project=projects_queries.uuid_of(session, task.project_id),
        name=task.name,
        task=task.uuid,
        alert=alert.kind.value,
        value=alert.value,
        what=words["en"],
        what_zh=words["zh"],
    )


def gpus_of(devices: Sequence[Mapping[str, Any]], places: Sequence[int]) -> list[dict[str, Any]]:
    """Return the GPUs of a lease; ``places`` are its indexes into the worker's ``devices``.

    Each GPU has a ``label``, such as ``gpu:a100``, or None if its model is not known. ``share`` is
    the fraction of the GPU that the slot represents, from 0 to 1.
    """
    ids = [device["id"] for device in devices]
    return [
        {
            "label": gpu_label(devices[place]["name"]) if devices[place].get("name") else None,
            "share": 1 / ids.count(ids[place]),
        }
        for place in places
        if place < len(devices)
    ]


OTHER_GPUS_PRICE = "gpu"
CPU_PRICE = "cpu"


def cost_of(
    prices: Mapping[str, float],
    gpus: Sequence[Mapping[str, object]],
    cpus: float,
    seconds: float,
) -> float | None:
    """Return the cost of holding ``gpus`` and ``cpus`` for ``seconds``; None without prices.

    ``prices`` are per hour and keyed by label. ``gpus`` are as returned by :func:`gpus_of`. If a
    GPU's label has no price, the price of ``gpu`` is used; without that price, the GPU costs
    nothing.
    """
    if not prices:
        return None
    hourly = cpus * prices.get(CPU_PRICE, 0.0)
    for gpu in gpus:
        price = prices.get(str(gpu["label"]), prices.get(OTHER_GPUS_PRICE, 0.0))
        hourly += price * float(str(gpu["share"]))
    return hourly * seconds / 3600


def close_attempt(session: Session, claim: Claim, held: Any) -> None:
    """Store the resource usage of an attempt when its lease ends, and update the task's totals.

    Args:
        session: the transaction that ends the lease.
        claim: the attempt.
        held: ``seconds``, ``cpus``, ``gpu_indices`` and ``devices`` of the lease and its worker,
            and the number of ``nodes``, each of which holds the same amounts.
    """
    gpus = gpus_of(held.devices, held.gpu_indices) * held.nodes
    cpus = held.cpus * held.nodes
    prices = get_settings().gpu_prices
    session.execute(
        text(
            "INSERT INTO attempt_usage (task_id, attempt, seconds, cpus, gpus, cost) "
            "VALUES (:task, :attempt, :seconds, :cpus, CAST(:gpus AS jsonb), :cost) "
            "ON CONFLICT (task_id, attempt) DO NOTHING"
        ),
        {
            "task": claim.task_id,
            "attempt": claim.attempt,
            "seconds": held.seconds,
            "cpus": cpus,
            "gpus": dumps(gpus),
            "cost": cost_of(prices, gpus, cpus, held.seconds),
        },
    )
    task = session.get_one(Task, claim.task_id)
    task.gpu_usage = summary(session, claim.task_id, list(held.gpu_indices))
    session.flush()


def summary(session: Session, task_id: int, places: list[int]) -> dict[str, Any]:
    """Return the value for ``tasks.gpu_usage``: the combined usage of all attempts."""
    found = queries.usage_of(session, task_id)
    values: dict[str, list[Any]] = {}
    samples = 0
    for keys, flat in queries.samples_of(session, task_id):
        table = np.asarray(flat, dtype=np.float32).reshape(-1, len(keys))
        samples += len(table)
        for place, key in enumerate(keys):
            device, _, measure = key.rpartition(".")
            if device or measure in SUMMARISED:
                values.setdefault(f"gpu.{measure}" if device else key, []).append(table[:, place])
    out: dict[str, Any] = {
        "gpus": places,
        "note": None if places else "no GPU",
        "samples": samples,
        "seconds": round(sum(row.seconds for row in found), 1),
        "gpu_hours": round(sum(gpu_hours(row.gpus, row.seconds) for row in found), 4),
        "cpu_hours": round(sum(row.cpus * row.seconds / 3600 for row in found), 4),
        "cost": total_cost([row.cost for row in found]),
        "currency": get_settings().price_currency,
    }
    for key in SUMMARISED:
        if key in values:
            out[key] = _series(values[key])
    of_gpus = {m: _series(values[f"gpu.{m}"]) for m in SUMMARISED_GPU if f"gpu.{m}" in values}
    if of_gpus:
        out["gpu"] = of_gpus
    return out


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """The resources that an attempt held, and the number of seconds for which it held them."""

    attempt: int
    running: bool
    seconds: float
    cpus: float
    gpus: list[dict[str, Any]]
    cost: float | None


def usage(session: Session, task_id: int) -> list[AttemptUsage]:
    """Return the usage of each attempt of a task; for a running attempt, the usage until now."""
    found = [
        AttemptUsage(row.attempt, False, row.seconds, row.cpus, row.gpus, row.cost)
        for row in queries.usage_of(session, task_id)
    ]
    held = queries.held_by(session, task_id)
    if held is not None:
        gpus = gpus_of(held.devices, held.gpu_indices) * held.nodes
        cpus = held.cpus * held.nodes
        cost = cost_of(get_settings().gpu_prices, gpus, cpus, held.seconds)
        found.append(AttemptUsage(held.attempt, True, held.seconds, cpus, gpus, cost))
    return found


def gpu_hours(gpus: Sequence[Mapping[str, Any]], seconds: float) -> float:
    """Return the GPU-hours of holding these GPUs for ``seconds``; half a GPU counts as half."""
    return sum(float(gpu["share"]) for gpu in gpus) * seconds / 3600


def total_cost(costs: Sequence[float | None]) -> float | None:
    """Return the sum of the known costs, or None if none is known."""
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 4) if known else None


def _series(parts: list[Any]) -> dict[str, float]:
    whole = np.concatenate(parts)
    whole = whole[~np.isnan(whole)]
    if not len(whole):
        return {"mean": 0.0, "p95": 0.0, "peak": 0.0}
    return {
        "mean": round(float(whole.mean()), 1),
        "p95": round(float(np.percentile(whole, 95)), 1),
        "peak": round(float(whole.max()), 1),
    }


def series(
    blocks: Sequence[Any], keys: Sequence[str] | None, points: int
) -> dict[str, list[list[float]]]:
    """Return each key's curve, a list of ``[seconds since the epoch, mean, least, most]``.

    Curves with more than ``points`` samples are divided into ``points`` buckets of equal duration.
    The smallest and largest values preserve the peaks.
    """
    times: dict[str, list[Any]] = {}
    values: dict[str, list[Any]] = {}
    for block in blocks:
        table = np.asarray(block.samples, dtype=np.float32).reshape(-1, len(block.keys))
        moments = block.began.timestamp() + np.arange(len(table)) * block.step_seconds
        for place, key in enumerate(block.keys):
            if keys is None or key in keys:
                times.setdefault(key, []).append(moments)
                values.setdefault(key, []).append(table[:, place])
    return {
        key: _bucketed(np.concatenate(times[key]), np.concatenate(values[key]), points)
        for key in sorted(values)
    }


def _bucketed(moments: Any, values: Any, points: int) -> list[list[float]]:
    known = ~np.isnan(values)
    moments, values = moments[known], values[known].astype(np.float64)
    if not len(values):
        return []
    order = np.argsort(moments, kind="stable")
    moments, values = moments[order], values[order]
    if len(values) <= points:
        pairs = zip(moments, values, strict=True)
        return [[float(t), float(v), float(v), float(v)] for t, v in pairs]
    width = (moments[-1] - moments[0]) / points or 1.0
    bucket = np.minimum(((moments - moments[0]) / width).astype(np.int64), points - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    counts = np.diff(np.append(starts, len(values)))
    sums = np.add.reduceat(values, starts)
    lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return [
        [float(moments[start]), float(total / count), float(low), float(high)]
        for start, total, count, low, high in zip(starts, sums, counts, lows, highs, strict=True)
    ]
