"""Tests of training with two processes: reports, stop requests and failures."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from aiplatform.runtime.distributed.agent import Relay, explain
from aiplatform.runtime.distributed.rank import ERROR, LOST_CONTACT_MESSAGE, is_lost_contact
from tests.runtime.conftest import MakeDataset, RecordedReporter, make_job, training_spec
from tests.runtime.harness import Runner
from tests.runtime.training.conftest import ROWS

TRACED = f"00-{'a' * 32}-{'b' * 16}-01"
SPEC = {"batch_size": 2, "eval_steps": 4, "checkpoint_steps": 4}


def ranks_of(runner: Runner) -> list[psutil.Process]:
    """Return the processes of a job's ranks, ordered by rank."""
    found = [
        process
        for process in psutil.Process(runner.process.pid).children(recursive=True)
        if "aiplatform.runtime.distributed.rank" in process.cmdline()
    ]
    return sorted(found, key=lambda process: int(process.environ()["RANK"]))


@pytest.mark.slow
def test_training_with_two_processes_stops_and_resumes(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Check that both processes stop together, write one checkpoint, and resume from it."""
    data = make_dataset(ROWS)
    inputs = {"base_model": tiny_model, "dataset": data, "eval_dataset": data}
    job = make_job(tmp_path, training_spec(**SPEC, epochs=40), inputs, ranks={"processes": 2})
    with Runner.of_job(job, tmp_path) as first:
        first.wait_for("metrics", 120)
        # torchrun sends the signal to one rank after another.
        first.cancel()
        first.finish(60)
        assert first.outcome["type"] == "stopped", first.log
        (checkpoint,) = first.of_type("checkpoint")[-1:]
    again = make_job(
        tmp_path, training_spec(**SPEC, max_steps=checkpoint["step"] + 3), inputs,
        ranks={"processes": 2}, attempt=2, resume_from=checkpoint["path"], traceparent=TRACED,
    )  # fmt: skip
    with Runner.of_job(again, tmp_path) as second:
        assert second.finish(120) == 0, second.log
    result = second.outcome["data"]
    assert result["steps"] == checkpoint["step"] + 3
    phases = [message["name"] for message in second.of_type("phase")]
    assert phases == ["load", *("train", "evaluate") * (phases.count("evaluate")), "train", "save"]
    assert "evaluate" in phases
    steps = [m["step"] for m in second.of_type("metrics") if "loss" in m["values"]]
    assert steps == [checkpoint["step"] + n for n in (1, 2, 3)], "each is told once"
    assert result["tokens"] > 0
    assert (tmp_path / "output" / "weights" / "config.json").is_file()
    assert second.log.count("step ") == len(second.of_type("metrics")), "one of them prints"
    state = json.loads((Path(checkpoint["path"]) / "training_state.json").read_text())
    assert "random_of_others" in {key for key, _ in state["dict"]}


@pytest.mark.slow
def test_killed_rank_ends_all_ranks_and_is_named(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    job = make_job(tmp_path, training_spec(**SPEC, epochs=400), inputs, ranks={"processes": 2})
    with Runner.of_job(job, tmp_path) as runner:
        runner.wait_for("metrics", 120)
        ranks = ranks_of(runner)
        assert len(ranks) == 2
        ranks[1].kill()
        runner.finish(60)
        assert runner.outcome["error"].startswith("Rank 1 was killed by SIGKILL")
        psutil.wait_procs(ranks, timeout=10)
        assert not any(rank.is_running() for rank in ranks)


@pytest.mark.slow
def test_ranks_end_when_the_launcher_is_killed(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Kill only the launcher. The ranks must exit, although each has a session of its own."""
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    job = make_job(tmp_path, training_spec(**SPEC, epochs=400), inputs, ranks={"processes": 2})
    with Runner.of_job(job, tmp_path) as runner:
        runner.wait_for("metrics", 120)
        ranks = ranks_of(runner)
        os.kill(runner.process.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(ranks, timeout=10)
        assert (len(gone), alive) == (2, [])


def failed(**signals: int) -> Any:
    """Return an error like torchrun's, with an exit code for each failed rank, as in ``r0=-9``."""
    return SimpleNamespace(
        failures={
            int(name[1:]): SimpleNamespace(
                exitcode=code,
                timestamp=10 + place,
                signal_name=lambda code=code: signal.Signals(-code).name if code < 0 else "<N/A>",
            )
            for place, (name, code) in enumerate(signals.items())
        }
    )


def say(directory: Path, rank: int, error: str, *, lost: bool = False, time: float = 1) -> None:
    told = {"error": error, "retryable": lost, "lost": lost, "time": time}
    (directory / ERROR.format(rank)).write_text(json.dumps(told))


def test_explain_prefers_the_cause_to_its_consequences(tmp_path: Path) -> None:
    both = failed(r0=1, r1=1)
    say(tmp_path, 0, "gone", lost=True)
    say(tmp_path, 1, "It is too small.", time=2)
    assert explain(tmp_path, both) == ("Rank 1: It is too small.", False)
    say(tmp_path, 0, "The loss became nan.")
    assert explain(tmp_path, both) == ("The loss became nan.", False), "rank 0 speaks for all"
    say(tmp_path, 0, "gone", lost=True)
    say(tmp_path, 1, "gone", lost=True)
    assert explain(tmp_path, both) == (LOST_CONTACT_MESSAGE, True), (
        "nobody knows why: another try may do"
    )


def test_explain_prefers_a_killed_rank_to_lost_contact(tmp_path: Path) -> None:
    say(tmp_path, 0, "gone", lost=True)
    error, retryable = explain(tmp_path, failed(r0=1, r1=-signal.SIGKILL))
    assert error.startswith("Rank 1 was killed by SIGKILL (perhaps")
    assert not retryable


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("connection reset"), False),
    ],
)
def test_lost_others_recognizes_lost_contact(error: Exception, lost: bool) -> None:
    assert is_lost_contact(error) is lost


def test_relay_forwards_messages_but_keeps_the_outcome(
    tmp_path: Path, recorded: RecordedReporter
) -> None:
    pipe = tmp_path / "pipe"
    relay = Relay(pipe, recorded.report)
    with pipe.open("wb", buffering=0) as rank0:
        rank0.write(b'{"type":"metrics","step":1,"values":{"loss":1}}\n{"type":"stop')
        rank0.write(b'ped"}\n{"type":"event","name":"late","data":{}}\n')
    assert relay.finish() == b'{"type":"stopped"}\n'
    assert [message["type"] for message in recorded.messages] == ["metrics", "event"]
