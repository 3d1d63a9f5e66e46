"""Tests of placement: where tasks can run, and the reasons shown for those that can't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.protocol.enums import TaskType
from aiplatform.server.queue.rules import Demand, Offer, Room, shortfalls
from aiplatform.server.queue.rules.placement import Reservation, gpu_label, lacking, pick_devices
from aiplatform.server.queue.rules.reasons import (
    KINDS,
    Holder,
    Holders,
    WaitingFacts,
    explain,
    missing_now,
    with_holders,
)


def offer(name="w", *, cpus=8.0, memory=32_000, gpus=(), free=None, queues=("default",),
          labels=(), is_open=True):  # fmt: skip
    total = Room(cpus, memory, tuple(gpus))
    return Offer(
        name, frozenset(queues), frozenset(labels), total, total if free is None else free, is_open
    )


def english(demand, *offers):
    return [shortfall.en for shortfall in shortfalls(demand, offers)]


def test_room_holds_a_demand_only_if_each_gpu_has_the_memory():
    room = Room(8, 0, (80_000, 16_000, 80_000))
    assert room.holds(Demand(gpus=2, gpu_memory_mb=40_000))
    assert not room.holds(Demand(gpus=3, gpu_memory_mb=40_000))
    assert room.holds(Demand(gpus=3))


def test_smallest_suitable_devices_are_picked():
    assert pick_devices((80_000, 16_000, 24_000), 1, 0) == [1]
    assert pick_devices((80_000, 16_000, 24_000), 2, 20_000) == [0, 2]


def test_shortfalls_name_what_is_missing():
    idle = offer(gpus=(16_000,) * 2, labels=("team-x",))
    assert english(Demand(), idle) == []
    assert english(Demand(), offer(is_open=False)) == [], "it may come back"
    assert english(Demand(gpus=9)) == [], "nothing is known before the first worker"
    assert "4 GPUs, the largest worker has 2" in english(Demand(gpus=4), idle)[0]
    assert "queue nightly (served: default)" in english(Demand(queue="nightly"), idle)[0]
    assert english(Demand(labels=frozenset({"gpu:a100", "team-x"})), idle) == [
        "no worker offers gpu:a100"
    ]
    assert "2 GPUs with 40000 MiB each" in english(Demand(gpus=2, gpu_memory_mb=40_000), idle)[0]
    many_cores, many_gpus = offer(cpus=64), offer(cpus=4, gpus=(1,) * 8)
    assert english(Demand(cpus=32, gpus=4), many_cores, many_gpus) == [
        "no single worker has all the required resources"
    ]
    both = english(Demand(cpus=100, memory_mb=1 << 20), idle)
    assert len(both) == 2


def test_shortfalls_name_labels_that_no_worker_has_together():
    a, b = offer(labels=("x",)), offer(labels=("y",))
    assert "no single worker offers all of x, y" in english(Demand(labels=frozenset("xy")), a, b)[0]


def reason(demand, *offers, **known):
    return explain(WaitingFacts(demand, known.pop("ahead", 0), offers, **known)).en


def test_reason_explains_why_a_task_waits():
    busy = offer(gpus=(1,) * 4, free=Room(8, 32_000))
    assert reason(Demand(gpus=1), busy, ahead=2) == "2 ahead; needs 1 GPU, 0 of 4 free"
    assert reason(Demand()) == "no worker is running"
    assert reason(Demand(), offer(is_open=False)) == "no worker is running"
    assert reason(Demand(), offer()) == "it starts in a moment"
    assert reason(Demand(cpus=2), offer(free=Room(1, 0))) == "needs 2 CPU cores, 1 of 8 free"
    two = (offer("a", free=Room(1, 0)), offer("b", cpus=4, free=Room(0.5, 0)))
    assert reason(Demand(), *two) == "it starts in a moment"
    assert reason(Demand(cpus=2), *two) == "needs 2 CPU cores, at most 1 of 8 free"
    assert reason(Demand(gpus=9), busy, reserved_on="w1").endswith(
        "free resources of w1 are reserved for it"
    )
    divided = (offer(cpus=2, free=Room(0, 9)), offer(cpus=2, memory=9, free=Room(2, 0)))
    assert reason(Demand(cpus=1, memory_mb=5), *divided) == (
        "no single worker has all the required resources free at the same time"
    )


def named(demand, *offers, own=(), foreign=()):
    """Return the reasons, in English and Chinese, why a task waits on workers with ``offers``.

    The reasons name the tasks that hold the missing resources.
    """
    held = Holders([Holder(*holder) for holder in own], dict(foreign))
    missing = with_holders(missing_now(demand, offers), demand, offers, held)
    return "; ".join(m.en for m in missing), "；".join(m.zh for m in missing)


def test_reason_of_full_worker_names_tasks_of_the_project_that_hold_it():
    full = offer(cpus=2, free=Room(0, 0))
    own = [
        ("w", "inference", "a", 0.5, 0, 0),
        ("w", "inference", "b", 0.5, 0, 0),
        ("w", "training", "faq", 1, 0, 0),
        ("elsewhere", "training", "far", 1, 0, 0),
        ("w", "script", "idle", 0, 0, 0),
    ]
    en, zh = named(Demand(), full, own=own)
    assert en == "needs 1 CPU core, 0 of 2 free: training faq, deployments a, b"
    assert zh == "需要 1 个 CPU 核，2 个中有 0 个空闲：训练 faq、部署 a、b"


def test_reason_of_full_worker_says_other_projects_without_naming_their_tasks():
    full = offer(cpus=2, free=Room(0, 0))
    foreign = {"w": {"cpus": 1.5, "memory_mb": 0, "gpus": 0}}
    own = [("w", "evaluation", "e", 0.5, 0, 0)]
    en, _ = named(Demand(), full, own=own, foreign=foreign)
    assert en == "needs 1 CPU core, 0 of 2 free: evaluation e, other projects"
    assert named(Demand(), full, foreign=foreign)[0].endswith("free: other projects")
    assert named(Demand(), full, foreign={"x": foreign["w"]})[0].endswith("0 of 2 free")


def test_reason_with_many_holders_names_the_largest_and_counts_the_others():
    full = offer(gpus=(1,) * 9, free=Room(8, 32_000))
    own = [("w", "script", f"s{n}", 0, 0, n) for n in range(1, 8)]
    en, _ = named(Demand(gpus=1), full, own=own)
    assert en == "needs 1 GPU, 0 of 9 free: scripts s3, s4, s5, s6, s7, 2 more"


def test_every_type_of_task_that_holds_resources_has_a_name_in_reasons():
    assert set(KINDS) == set(TaskType) - {TaskType.EXTERNAL}


amounts = st.builds(
    Room,
    cpus=st.integers(0, 16).map(float),
    memory_mb=st.integers(0, 64),
    devices=st.lists(st.sampled_from([0, 16, 80]), max_size=6).map(tuple),
)
demands = st.builds(
    Demand,
    cpus=st.integers(0, 8).map(float),
    memory_mb=st.integers(0, 32),
    gpus=st.integers(0, 4),
    gpu_memory_mb=st.sampled_from([0, 16, 80]),
)


@given(total=amounts, promised=demands, later=st.lists(demands, max_size=6))
def test_tasks_started_after_a_reservation_leave_its_room(total, promised, later):
    """Check that the reserved task fits alongside all tasks started after the reservation.

    The reserved task starts once all tasks from before the reservation have ended.
    """
    if not total.holds(promised):
        return
    let_in = []
    for demand in later:
        free = total
        for other in let_in:
            free = free.without(other)
        if Reservation(promised, let_in).leaves(total, free).holds(demand):
            let_in.append(demand)
    rest = total.without(promised)
    for demand in let_in:
        assert rest.holds(demand)
        rest = rest.without(demand)


def test_full_worker_lacks_more_than_a_half_full_one():
    total = Room(4, 0, (1,) * 4)
    demand = Demand(cpus=1, gpus=4)
    assert lacking(total, Room(4, 0, (1, 1)), demand) < lacking(total, Room(4, 0), demand)
    assert lacking(total, total, demand) == 0


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("NVIDIA A100-SXM4-80GB", "gpu:a100"),
        ("NVIDIA GeForce RTX 4090", "gpu:rtx-4090"),
        ("Tesla T4", "gpu:t4"),
        ("NVIDIA H100 80GB HBM3", "gpu:h100"),
        ("", "gpu:unknown"),
    ],
)
def test_gpu_label_is_derived_from_the_device_name(name, label):
    assert gpu_label(name) == label
