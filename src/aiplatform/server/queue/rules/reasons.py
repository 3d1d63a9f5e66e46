"""The wording of the reason why a task waits, such as "2 ahead; needs 1 GPU, 0 of 4 free"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aiplatform.protocol.enums import TaskType
from aiplatform.server.queue.rules.placement import Amount, Demand, Offer, Shortfall, shortfalls

STARTS_SOON = Shortfall("it starts in a moment", "即将开始")
"""The reason given for a task that can start now."""

MOST_NAMED = 5
"""Number of tasks that a reason names; any others are only counted."""

KINDS: dict[str, tuple[str, str, str]] = {
    TaskType.INFERENCE: ("deployment", "deployments", "部署"),
    TaskType.TRAINING: ("training", "trainings", "训练"),
    TaskType.ESTIMATE: ("estimate", "estimates", "预估"),
    TaskType.EVALUATION: ("evaluation", "evaluations", "评估"),
    TaskType.DATA_QUALITY: ("quality report", "quality reports", "质量报告"),
    TaskType.DATA_FIX: ("fix", "fixes", "数据修复"),
    TaskType.MODEL_IMPORT: ("model import", "model imports", "模型导入"),
    TaskType.DATASET_IMPORT: ("dataset import", "dataset imports", "数据集导入"),
    TaskType.SCRIPT: ("script", "scripts", "脚本"),
}
"""The words for the tasks of a type: singular, plural, and Chinese."""


@dataclass(frozen=True, slots=True)
class WaitingFacts:
    """The details that explain why a task waits. ``quota`` is set if the quota is used up."""

    demand: Demand
    ahead: int | None
    offers: Sequence[Offer]
    not_before: datetime | None = None
    reserved_on: str | None = None
    quota: Shortfall | None = None


def explain(known: WaitingFacts, missing: Sequence[Shortfall] | None = None) -> Shortfall:
    """Return one text with all reasons why a task does not start, its queue position first.

    ``missing`` is the result of :func:`missing_now`, if it is known from another task with the same
    needs.
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
        said.append(
            Shortfall(
                f"the next free resources of {on} are reserved for it",
                f"{on} 接下来空出的资源已为其预留",
            )
        )
    if not said:
        return STARTS_SOON
    return Shortfall("; ".join(s.en for s in said), "；".join(s.zh for s in said))


def missing_now(demand: Demand, offers: Sequence[Offer]) -> list[Shortfall]:
    """Return the resources that no worker has free for a task; empty if a worker could start it."""
    running = [offer for offer in offers if offer.open]
    if not running:
        return [Shortfall("no worker is running", "没有正在运行的 worker")]
    missing = shortfalls(demand, running)
    if missing:
        return missing
    suited = suited_offers(demand, offers)
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
                lacks="gpus",
            )
        )
    # A task can't combine resources of several workers, so the text names the best worker.
    most_en, most_zh = ("", "") if len(suited) == 1 else ("at most ", "单节点最多 ")
    if all(offer.free.cpus < demand.cpus for offer in suited):
        best = max(suited, key=lambda offer: offer.free.cpus)
        free_cpus = max(0.0, round(best.free.cpus, 2))
        noun = "core" if demand.cpus == 1 else "cores"
        found.append(
            Shortfall(
                f"needs {demand.cpus:g} CPU {noun}, "
                f"{most_en}{free_cpus:g} of {best.total.cpus:g} free",
                f"需要 {demand.cpus:g} 个 CPU 核，{most_zh}{best.total.cpus:g} 个中有 "
                f"{free_cpus:g} 个空闲",
                lacks="cpus",
            )
        )
    if all(offer.free.memory_mb < demand.memory_mb for offer in suited):
        best = max(suited, key=lambda offer: offer.free.memory_mb)
        free_mb = max(0, best.free.memory_mb)
        found.append(
            Shortfall(
                f"needs {demand.memory_mb} MiB of memory, "
                f"{most_en}{free_mb} of {best.total.memory_mb} free",
                f"需要 {demand.memory_mb} MiB 内存，{most_zh}{best.total.memory_mb} MiB 中有 "
                f"{free_mb} MiB 空闲",
                lacks="memory_mb",
            )
        )
    if not found:
        found.append(
            Shortfall(
                "no single worker has all the required resources free at the same time",
                "没有任何一个 worker 同时空闲全部所需资源",
            )
        )
    return found


def suited_offers(demand: Demand, offers: Sequence[Offer]) -> list[Offer]:
    """Return the workers that accept tasks now and could run the task if they were empty."""
    return [offer for offer in offers if offer.open and offer.suits(demand)]


@dataclass(frozen=True, slots=True)
class Holder:
    """A running task of the waiting task's project, and the resources it holds on one worker."""

    worker: str
    type: str
    name: str
    cpus: float
    memory_mb: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Holders:
    """The tasks that hold the workers' resources.

    ``own`` are tasks of the waiting task's project. ``foreign`` are the total amounts held by tasks
    of other projects, by worker; the tasks themselves must not be named.
    """

    own: Sequence[Holder]
    foreign: Mapping[str, Mapping[Amount, float]]


def with_holders(
    missing: Sequence[Shortfall], demand: Demand, offers: Sequence[Offer], holders: Holders
) -> list[Shortfall]:
    """Return the shortfalls, each with the tasks that hold the missing resource."""
    workers = {offer.name for offer in suited_offers(demand, offers)}
    return [
        shortfall
        if shortfall.lacks is None
        else _with_holders(shortfall, shortfall.lacks, workers, holders)
        for shortfall in missing
    ]


def _with_holders(
    shortfall: Shortfall, lacks: Amount, workers: set[str], holders: Holders
) -> Shortfall:
    held: dict[tuple[str, str], float] = {}
    for holder in holders.own:
        amount = float(getattr(holder, lacks))
        if holder.worker in workers and amount > 0:
            key = (holder.type, holder.name)
            held[key] = held.get(key, 0.0) + amount
    largest = sorted(held, key=lambda key: (-held[key], key))
    named = largest[:MOST_NAMED]
    en: list[str] = []
    zh: list[str] = []
    for kind in dict.fromkeys(type_ for type_, _ in named):
        names = sorted(name for type_, name in named if type_ == kind)
        one, several, chinese = KINDS.get(kind, ("task", "tasks", "任务"))
        en.append(f"{one if len(names) == 1 else several} {', '.join(names)}")
        zh.append(f"{chinese} {'、'.join(names)}")
    if len(largest) > len(named):
        more = len(largest) - len(named)
        en.append(f"{more} more")
        zh.append(f"另外 {more} 个任务")
    if any(holders.foreign.get(worker, {}).get(lacks, 0) > 0 for worker in workers):
        en.append("other projects")
        zh.append("其他项目")
    if not en:
        return shortfall
    return replace(
        shortfall,
        en=f"{shortfall.en}: {', '.join(en)}",
        zh=f"{shortfall.zh}：{'、'.join(zh)}",
    )
