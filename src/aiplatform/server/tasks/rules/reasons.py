"""Why a task waits, in words: "2 ahead; needs 1 GPU, 0 of 4 free"."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiplatform.server.tasks.rules.placement import Demand, Offer, Shortfall, shortfalls


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a task that waits. ``quota`` is what its project's quota says, if full."""

    demand: Demand
    ahead: int | None
    offers: Sequence[Offer]
    not_before: datetime | None = None
    reserved_on: str | None = None
    quota: Shortfall | None = None


def explain(known: Circumstances, missing: Sequence[Shortfall] | None = None) -> Shortfall:
    """All that keeps the task from starting, first its place, then what it needs.

    ``missing`` is what :func:`missing_now` says, where that is known from another such task.
    """
    said: list[Shortfall] = []
    if known.ahead:
        said.append(Shortfall(f"{known.ahead} ahead", f"前面还有 {known.ahead} 个任务"))
    if known.not_before is not None:
        at = f"{known.not_before:%Y-%m-%d %H:%M:%S} UTC"
        said.append(Shortfall(f"not before {at}", f"不早于 {at}"))
    if known.quota is not None:
        said.append(known.quota)
    said.extend(missing_now(known.demand, known.offers) if missing is None else missing)
    if known.reserved_on is not None:
        on = known.reserved_on
        said.append(Shortfall(f"the next room on {on} is kept for it", f"已为其预留 {on} 的资源"))
    if not said:
        said.append(Shortfall("it starts in a moment", "即将开始"))
    return Shortfall("; ".join(s.en for s in said), "；".join(s.zh for s in said))


def missing_now(demand: Demand, offers: Sequence[Offer]) -> list[Shortfall]:
    """What no worker has free for it; empty when one could start it."""
    running = [offer for offer in offers if offer.open]
    if not running:
        return [Shortfall("no worker is running", "没有正在运行的工作节点")]
    missing = shortfalls(demand, running)
    if missing:
        return missing
    suited = [offer for offer in running if offer.suits(demand)]
    if any(offer.free.holds(demand) for offer in suited):
        return []
    found: list[Shortfall] = []
    if demand.gpus and not any(
        offer.free.holds(Demand(cpus=0, gpus=demand.gpus, gpu_memory_mb=demand.gpu_memory_mb))
        for offer in suited
    ):
        fit = demand.gpu_memory_mb
        free = sum(1 for offer in suited for memory in offer.free.devices if memory >= fit)
        total = sum(1 for offer in suited for memory in offer.total.devices if memory >= fit)
        noun = "GPU" if demand.gpus == 1 else "GPUs"
        found.append(
            Shortfall(
                f"needs {demand.gpus} {noun}, {free} of {total} free",
                f"需要 {demand.gpus} 个 GPU，{total} 个中有 {free} 个空闲",
            )
        )
    if all(offer.free.cpus < demand.cpus for offer in suited):
        most = max(max(0.0, offer.free.cpus) for offer in suited)
        of = max(offer.total.cpus for offer in suited)
        found.append(
            Shortfall(
                f"needs {demand.cpus:g} CPU cores, at most {most:g} of {of:g} free",
                f"需要 {demand.cpus:g} 个 CPU 核，单节点最多空闲 {most:g}（共 {of:g}）",
            )
        )
    if all(offer.free.memory_mb < demand.memory_mb for offer in suited):
        most_mb = max(max(0, offer.free.memory_mb) for offer in suited)
        found.append(
            Shortfall(
                f"needs {demand.memory_mb} MiB of memory, at most {most_mb} free",
                f"需要 {demand.memory_mb} MiB 内存，单节点最多空闲 {most_mb} MiB",
            )
        )
    if not found:
        found.append(
            Shortfall("no worker has all of it free at once", "没有工作节点同时空闲全部所需资源")
        )
    return found
