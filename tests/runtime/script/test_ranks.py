"""Tests of scripts with several processes: their variables, reports, failures and stops."""

import json
import sys

import pytest

from aiplatform.protocol.messages import Ranks
from aiplatform.runtime.script.ranks import free_port
from tests.runtime.script.conftest import Start, outputs

GLOO = """
import pathlib, torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
report(type="metrics", step=1, values={"total": total.item(), "world": dist.get_world_size()})
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], f"rank-{dist.get_rank()}").write_text("done")
dist.destroy_process_group()
"""


def test_each_process_gets_its_rank_and_only_rank_0_reports(start: Start) -> None:
    code = """
import pathlib
names = ("GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "RANK", "WORLD_SIZE")
names += ("MASTER_PORT", "OMP_NUM_THREADS", "NCCL_DEBUG")
found = {name: os.environ[name] for name in names}
rank = found["RANK"]
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], rank).write_text(json.dumps(found))
report(type="metrics", step=1, values={"rank": float(rank)})
for _ in range(50):
    print("rank", rank, flush=True)
os.write(2, b"bar")
"""
    worker = {"NCCL_DEBUG": "WARN"}
    with start(code, ranks=Ranks(processes=2), resources={"cpus": 4}, environment=worker) as runner:
        assert runner.finish() == 0
        assert [m["values"] for m in runner.of_type("metrics")] == [{"rank": 0.0}]
        printed = sorted(runner.outputs["stdout"].splitlines())
        assert printed == [*[b"[rank 1] rank 1"] * 50, *[b"rank 0"] * 50]
        assert sorted(runner.outputs["stderr"].splitlines()) == [b"[rank 1] bar", b"bar"]
        left = [json.loads(outputs(runner)[rank]) for rank in "01"]
    assert left[0].pop("MASTER_PORT") == left[1].pop("MASTER_PORT")
    assert left == [
        {"GROUP_RANK": "0", "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2",
         "MASTER_ADDR": "127.0.0.1", "RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "2",
         "NCCL_DEBUG": "WARN"}
        for rank in "01"
    ]  # fmt: skip


def test_single_process_gets_no_variables_of_ranks(start: Start) -> None:
    code = """
assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "OMP_NUM_THREADS"} & os.environ.keys()
"""
    with start(code) as runner:
        assert runner.finish() == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise SystemExit(3)", "Rank 1: The command ended with exit code 3; its log says why."),
        ("os.kill(os.getpid(), 9)", "Rank 1: The command was ended by SIGKILL."),
    ],
)
def test_failed_process_ends_all_and_is_named(start: Start, how: str, said: str) -> None:
    code = f"""
import time
if os.environ["RANK"] == "1":
    {how}
time.sleep(120)
"""
    with start(code, ranks=Ranks(processes=2)) as runner:
        assert runner.finish(30) == 1
        assert runner.outcome == {"type": "failure", "error": said, "retryable": False}


def test_failure_with_other_nodes_is_retryable(start: Start) -> None:
    ranks = Ranks(nodes=2, node=1, processes=2, endpoint="127.0.0.1:1", address="127.0.0.1")
    with start("raise SystemExit(int(os.environ['RANK']) == 3)", ranks=ranks) as runner:
        assert runner.finish() == 1
        assert runner.outcome["error"].startswith("Rank 3: ")
        assert runner.outcome["retryable"] is True


def test_stop_waits_until_each_process_has_ended(start: Start) -> None:
    code = """
import pathlib, signal, time
rank = int(os.environ["RANK"])
def stop(*_):
    time.sleep(2 * rank)
    print("rank", rank, "ended", flush=True)
    raise SystemExit(1)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(120)
"""
    with start(code, ranks=Ranks(processes=2)) as runner:
        runner.wait_until(lambda: runner.outputs["stdout"].count(b"ready") == 2)
        runner.cancel(grace_seconds=30)
        runner.finish()
        assert runner.outcome == {"type": "stopped"}
        assert b"rank 1 ended" in runner.outputs["stdout"]


@pytest.mark.slow
def test_two_processes_reduce_by_gloo(start: Start) -> None:
    command = [sys.executable, "main.py"]
    with start(GLOO, command=command, ordinary=True, ranks=Ranks(processes=2),
               max_disk_mb=100) as runner:  # fmt: skip
        assert runner.finish(120) == 0, runner.log
        assert [m["values"] for m in runner.of_type("metrics")] == [{"total": 3.0, "world": 2.0}]
        assert set(outputs(runner)) == {"rank-0", "rank-1"}


@pytest.mark.slow
def test_two_nodes_reduce_by_gloo(start: Start) -> None:
    command = [sys.executable, "main.py"]
    endpoint = f"127.0.0.1:{free_port()}"
    first, second = (
        Ranks(nodes=2, node=node, endpoint=endpoint, address="127.0.0.1") for node in range(2)
    )
    with (
        start(GLOO, command=command, ordinary=True, ranks=first) as one,
        start(GLOO, command=command, ordinary=True, ranks=second) as other,
    ):
        assert one.finish(120) == 0, one.log
        assert other.finish(120) == 0, other.log
        assert [m["values"] for m in one.of_type("metrics")] == [{"total": 3.0, "world": 2.0}]
        assert not other.of_type("metrics")
        assert not other.of_type("event"), "node 0 speaks for the task"
        assert (set(outputs(one)), set(outputs(other))) == ({"rank-0"}, {"rank-1"})
