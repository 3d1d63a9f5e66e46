"""Tests of the child process under the real launcher: how jobs end and what they report."""

import errno
import os
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aiplatform.data.canonical import iter_rows
from aiplatform.data.quality.report import make_report
from aiplatform.data.quality.token_process import LEAST_BYTES
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.child import explain, needs_hub, prepare_environment
from aiplatform.runtime.launcher import children_of
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    chat,
    make_job,
    training_spec,
)
from tests.runtime.harness import SOURCE, Runner, wait_until_dead


def test_invalid_job_file_is_reported_as_a_failure(tmp_path: Path) -> None:
    for content in ("", "{}", '{"task": "x"}'):
        (tmp_path / "job.json").write_text(content)
        arguments = ["-m", "aiplatform.runtime", "--job", str(tmp_path / "job.json")]
        with Runner(arguments) as runner:
            assert runner.finish() == 1
            assert runner.outcome["type"] == "failure"


def test_job_error_is_reported_and_its_traceback_logged(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    data = make_dataset([{"messages": [{"role": "user", "content": "nobody answers"}]}])
    job = make_job(tmp_path, training_spec(), {"base_model": tiny_model, "dataset": data})
    with Runner.of_job(job, tmp_path) as runner:
        assert runner.finish() == 1
        assert runner.outcome == {
            "type": "failure",
            "error": (
                "None of the dataset's 1 rows can be used; of 1 of them, "
                "it has no assistant's message to learn from."
            ),
            "retryable": False,
        }
    assert "Traceback (most recent call last)" in runner.outputs["stderr"].decode()


def test_quality_report_job_returns_the_report(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    spec = {
        "type": "data_quality",
        "dataset": {"dataset": BASE_MODEL, "version": "v1"},
        "base_model": BASE_MODEL,
        "max_length": 64,
    }
    data = make_dataset([chat("Hi", "Hello."), chat("Hi", "Hello."), chat("A", "b " * 90)])
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": data})
    with Runner.of_job(job, tmp_path) as runner:
        assert runner.finish() == 0
        report = runner.outcome["data"]["report"]
    assert report["rows"] == 3
    assert report["tokens"]["over_length"] == 1
    assert runner.of_type("progress")


NEVER_DONE = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("end", ["cancel", "kill its counter", "kill the launcher"])
def test_process_that_counts_tokens_ends_with_the_job(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset, end: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "weights" / "chat_template.jinja").write_text(NEVER_DONE)
    spec = {
        "type": "data_quality",
        "dataset": {"dataset": BASE_MODEL, "version": "v1"},
        "base_model": BASE_MODEL,
        "max_length": 64,
    }
    # Enough bytes that the tokens are counted in another process.
    data = make_dataset([chat("Hi", os.urandom(4000).hex()) for _ in range(1000)])
    assert data.stat().st_size > LEAST_BYTES
    job = make_job(tmp_path, spec, {"base_model": model, "dataset": data})
    with Runner.of_job(job, tmp_path) as runner:
        pid = runner.wait_for("hello")["pid"]
        runner.wait_until(lambda: bool(children_of(pid)))
        (counter,) = children_of(pid)
        time.sleep(1)
        match end:
            case "cancel":
                runner.cancel(30)
                assert runner.finish(timeout=20) == 0
                assert runner.outcome["type"] == "stopped"
            case "kill its counter":
                os.kill(counter, signal.SIGKILL)
                assert runner.finish(timeout=20) == 1
                assert runner.outcome["error"] == (
                    "The process that counts tokens was killed by SIGKILL "
                    "(perhaps the machine ran out of memory)."
                )
            case _:
                runner.process.kill()
                wait_until_dead(pid)
    wait_until_dead(counter)


@pytest.mark.skipif(find_spec("pandas") is None, reason="there is no pandas to import")
def test_quality_job_does_not_import_an_installed_pandas(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    spec = {"type": "data_quality", "dataset": {"dataset": BASE_MODEL, "version": "v1"}}
    # Labels are checked by scikit-learn, which would use pandas.
    topics = {"food": "the soup in this kitchen is warm", "sport": "the team won its last match"}
    rows = [
        {"text": f"{text}, number {number}", "label": label}
        for number in range(40)
        for label, text in topics.items()
    ]
    rows[0]["label"] = "sport"
    job = make_job(tmp_path, spec, {"dataset": make_dataset(rows)})
    with Runner.of_job(job, tmp_path, PYTHONPROFILEIMPORTTIME="1") as runner:
        assert runner.finish() == 0, runner.outcome
        assert runner.outcome["data"]["report"]["rows"] == len(rows)
        assert "sklearn.linear_model" in runner.log
        assert "pandas.core" not in runner.log


def test_fix_job_trims_over_long_rows_with_the_base_models_tokenizer(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    spec = {
        "type": "data_fix",
        "dataset": {"dataset": BASE_MODEL, "version": "v1"},
        "fixes": {"over_length": "trim"},
        "base_model": BASE_MODEL,
        "max_length": 64,
    }
    short, long = chat("Hi", "Hello."), chat("A", "It is so. " * 90)
    job = make_job(
        tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset([short, long])}
    )
    Path(job.output_dir).mkdir()
    with Runner.of_job(job, tmp_path) as runner:
        assert runner.finish() == 0, runner.outcome
        fixed = runner.outcome["data"]
    assert (fixed["changed"], fixed["deleted"]) == (1, 0)
    rows = list(iter_rows(Path(fixed["outputs"][0]["path"])))
    question, answer = rows[1]["messages"]
    assert rows[0] == short
    assert question == long["messages"][0]
    assert answer["content"] == ("It is so. " * answer["content"].count("It")).strip()
    counted = make_report(
        Path(fixed["outputs"][0]["path"]), tokenizer=tiny_model / "weights", max_length=64,
        progress=lambda _: None,
    )["tokens"]  # fmt: skip
    # The answer is as long as possible: another sentence would not fit.
    assert counted["over_length"] == 0
    assert counted["max"] > 64 - 8


def test_stop_during_imports_ends_the_job(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("Hi", "Hello.")] * 8)
    job = make_job(tmp_path, training_spec(), {"base_model": tiny_model, "dataset": data})
    with Runner.of_job(job, tmp_path) as runner:
        runner.wait_for("hello")
        time.sleep(0.3)
        asked = time.monotonic()
        runner.cancel(30)
        assert runner.finish(timeout=20) == 0
        assert time.monotonic() - asked < 10
        assert runner.outcome["type"] == "stopped"


def test_stop_during_the_import_of_messages_is_reported(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    """Send the signal just before the module with the message classes is imported."""
    (tmp_path / "sitecustomize.py").write_text(
        """
import os, signal, sys

class Striking:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "aiplatform.protocol.messages" and "aiplatform.runtime.child" in sys.modules:
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Striking)
""",
        encoding="utf-8",
    )
    inputs = {"base_model": tiny_model, "dataset": make_dataset([chat("Hi", "Hello.")] * 8)}
    job = make_job(tmp_path, training_spec(), inputs)
    path = f"{tmp_path}{os.pathsep}{SOURCE}"
    with Runner.of_job(job, tmp_path, PYTHONPATH=path) as runner:
        assert runner.finish(timeout=20) == 0, runner.log
        assert runner.outcome["type"] == "stopped"
        assert runner.log == ""


@pytest.mark.slow
def test_stopped_training_resumes_from_its_checkpoint(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset([chat(f"What is {i}?", f"{i}.") for i in range(40)]),
    }
    spec = training_spec(max_steps=100_000, checkpoint_steps=100_000)
    job = make_job(tmp_path, spec, inputs)
    with Runner.of_job(job, tmp_path) as runner:
        while runner.wait_for("metrics", timeout=120)["step"] < 5:
            pass
        asked = time.monotonic()
        runner.cancel(30)
        assert runner.finish(timeout=30) == 0
        assert time.monotonic() - asked < 20
        assert runner.outcome["type"] == "stopped"
        (checkpoint,) = runner.of_type("checkpoint")
        last = runner.of_type("metrics")[-1]["step"]
    assert checkpoint["step"] == last
    assert runner.received.index(checkpoint) < len(runner.received) - 1
    assert Path(checkpoint["path"]).parent == Path(job.checkpoint_dir)

    spec = training_spec(max_steps=last + 2, checkpoint_steps=100_000)
    again = make_job(tmp_path, spec, inputs, attempt=2, resume_from=checkpoint["path"])
    with Runner.of_job(again, tmp_path) as runner:
        assert runner.finish(timeout=120) == 0
        assert [m["step"] for m in runner.of_type("metrics")] == [last + 1, last + 2]
        assert runner.outcome["data"]["steps"] == last + 2


@pytest.mark.slow
def test_killed_training_resumes_from_its_newest_checkpoint(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    """Expect the same loss curve as without the kill, even with a half-written checkpoint."""
    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset([chat(f"What is {i} plus 1?", f"{i + 1}.") for i in range(40)]),
    }
    spec = training_spec(epochs=3, checkpoint_steps=4)
    with Runner.of_job(make_job(tmp_path / "whole", spec, inputs), tmp_path) as runner:
        assert runner.finish(timeout=120) == 0
        whole = {m["step"]: m["values"]["loss"] for m in runner.of_type("metrics")}
        expected = runner.outcome["data"]
    assert [*whole] == [*range(1, 31)]

    with Runner.of_job(make_job(tmp_path, spec, inputs), tmp_path) as runner:
        while runner.wait_for("metrics", timeout=120)["step"] < 14:
            pass
        pid = runner.of_type("hello")[0]["pid"]
        runner.process.kill()
        wait_until_dead(pid)
        runner.finish()
        newest = runner.of_type("checkpoint")[-1]
    # Simulate a process that was killed while it wrote the next checkpoint.
    partial = Path(newest["path"]).with_name(".partial-99")
    partial.mkdir()
    (partial / "adapter_model.safetensors").write_bytes(b"half")

    resumed = make_job(tmp_path, spec, inputs, attempt=2, resume_from=newest["path"])
    with Runner.of_job(resumed, tmp_path) as runner:
        assert runner.finish(timeout=120) == 0
        after = {m["step"]: m["values"]["loss"] for m in runner.of_type("metrics")}
        outcome = runner.outcome["data"]
    assert [*after] == [*range(newest["step"] + 1, 31)]
    assert after == pytest.approx({step: whole[step] for step in after}, rel=1e-3)
    for key in ("train_loss_first", "train_loss_last", "tokens", "steps"):
        assert outcome[key] == pytest.approx(expected[key], rel=1e-3), key


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_and_resumed_training_of_smollm2_has_the_same_losses(
    tmp_path: Path, smollm2: Path, make_dataset: MakeDataset
) -> None:
    inputs = {
        "base_model": smollm2,
        "dataset": make_dataset(
            [chat(f"What is {i} times 3?", f"It is {3 * i}.") for i in range(24)]
        ),
    }
    spec = training_spec(
        max_steps=4,
        checkpoint_steps=2,
        learning_rate=2e-4,
        precision="auto",
        max_length=64,
        batch_size=2,
    )
    curves = []
    environment = {"OMP_NUM_THREADS": "2"}
    with Runner.of_job(
        make_job(tmp_path / "whole", spec, inputs), tmp_path, **environment
    ) as runner:
        assert runner.finish(timeout=500) == 0
        curves.append({m["step"]: m["values"]["loss"] for m in runner.of_type("metrics")})
    with Runner.of_job(make_job(tmp_path, spec, inputs), tmp_path, **environment) as runner:
        while runner.wait_for("metrics", timeout=500)["step"] < 3:
            pass
        runner.process.kill()
        runner.finish()
        newest = runner.of_type("checkpoint")[-1]
    resumed = make_job(tmp_path, spec, inputs, attempt=2, resume_from=newest["path"])
    with Runner.of_job(resumed, tmp_path, **environment) as runner:
        assert runner.finish(timeout=500) == 0
        curves.append({m["step"]: m["values"]["loss"] for m in runner.of_type("metrics")})
    whole, after = curves
    assert [*after] == [*range(newest["step"] + 1, 5)]
    assert after == pytest.approx({step: whole[step] for step in after}, rel=1e-3)


class OutOfMemoryError(RuntimeError):
    """An error with the same name as torch's."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (JobError("Said in words."), "Said in words."),
        (MemoryError(), "The device ran out of memory. Use a smaller batch_size"),
        (OutOfMemoryError("CUDA out of memory. Tried …"), "The device ran out of memory."),
        (OSError(errno.ENOSPC, "No space", "/data/x"), "The worker's disk is full (/data/x)."),
        (ModuleNotFoundError("No module", name="trl"), "lacks the Python package 'trl'"),
        (ModuleNotFoundError("No module", name="trl.trainer"), "there with its extra 'llm'."),
        (ModuleNotFoundError("No module", name="deepspeed"), "there with its extra 'deepspeed'."),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("x" * 2000), "…"),
    ],
)
def test_explain_returns_one_sentence_with_the_cause(error: Exception, words: str) -> None:
    said = explain(error)
    assert words in said
    assert len(said) < 600
    assert "\n" not in said


def test_only_hub_imports_may_use_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: dict[str, Any] = {"kind": "hub", "repository": "a/b"}
    hub = make_job(tmp_path, {"type": "model_import", "source": source}, {})
    package = {"kind": "package", "package": "x"}
    other = make_job(tmp_path, {"type": "model_import", "source": package}, {})
    assert needs_hub(hub)
    assert not needs_hub(other)
    assert not needs_hub(make_job(tmp_path, training_spec(), {}))
    monkeypatch.setattr(os, "environ", {})
    prepare_environment(hub=True)
    assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    prepare_environment(hub=False)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_deepspeed_looks_for_no_device_if_the_job_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for devices, accelerator in ((None, None), ("0,1", None), ("", "cpu")):
        given = {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
        monkeypatch.setattr(os, "environ", given)
        prepare_environment(hub=False)
        assert os.environ.get("DS_ACCELERATOR") == accelerator
