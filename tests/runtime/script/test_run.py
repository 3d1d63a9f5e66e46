"""Tests of scripts under the real launcher: environment, reports, output, limits and isolation."""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform.protocol.messages import Job
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.script import directories
from aiplatform.runtime.script import run as running
from aiplatform.runtime.script.reports import Reports
from aiplatform.runtime.script.usage import Usage
from tests.runtime.conftest import RecordedReporter
from tests.runtime.harness import Runner
from tests.runtime.script.conftest import AS_ROOT, Start, outputs, wait_until_none_is_left


def test_script_gets_its_environment_and_its_reports_and_output_are_kept(
    start: Start, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"PAR1")
    model = tmp_path / "model/weights"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    code = """
import pathlib, sys
here = pathlib.Path(os.environ["AIPLATFORM_INPUTS"])
print("args", sys.argv[1:], flush=True)
for step in range(3):
    report(type="metrics", step=step, values={"loss": 1.0 / (step + 1)})
report(type="progress", value=0.5)
report(type="event", name="halfway", data={"at": 2})
out = pathlib.Path(os.environ["AIPLATFORM_OUTPUT"])
(out / "plots").mkdir()
(out / "plots/a.txt").write_text((here / "datasets/faq.parquet").read_text())
(out / "env.json").write_text(json.dumps(dict(os.environ)))
(out / "model").write_text((here / "models/base/weights/config.json").read_text())
"""
    with start(
        code,
        "--epochs",
        "3",
        inputs={"datasets/faq": str(rows), "models/base": str(tmp_path / "model")},
        variables={"MODE": "fast"},
        secrets={"HF_TOKEN": "hub"},
        environment={"HF_TOKEN": "s3cret", "OTHER_TOKEN": "not named"},
    ) as runner:
        assert runner.finish() == 0
        result = runner.outcome["data"]
        losses = [m["values"]["loss"] for m in runner.of_type("metrics")]
        events = {e["name"]: e["data"] for e in runner.of_type("event")}
        assert b"args ['--epochs', '3']" in runner.outputs["stdout"]
        left = outputs(runner)
    assert (result["exit_code"], result["metrics"]) == (0, {"loss": pytest.approx(1 / 3)})
    assert losses == pytest.approx([1, 1 / 2, 1 / 3])
    assert events["script_event"] == {"event": "halfway", "at": 2}
    assert events["script"]["own_user"] is AS_ROOT
    assert (left["plots/a.txt"], left["model"]) == ("PAR1", "{}")
    found = json.loads(left["env.json"])
    assert (found["MODE"], found["HF_TOKEN"]) == ("fast", "s3cret")
    assert not {"OTHER_TOKEN", "PYTHONPATH", "AIPLATFORM_HOME"} & found.keys()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("open('big', 'wb').write(bytes(3 << 20))", "exit code 1"),
    ],
)
def test_failed_script_reports_the_reason(start: Start, code: str, said: str) -> None:
    with start(code, max_file_mb=1) as runner:
        assert runner.finish() == 1
        assert said in runner.outcome["error"]
        assert not outputs(runner)


def test_missing_command_is_reported(start: Start) -> None:
    with start("", command=["no-such-program"]) as runner:
        assert runner.finish() == 1
        assert "'no-such-program' could not be started" in runner.outcome["error"]


def test_script_with_too_much_memory_is_ended(start: Start) -> None:
    code = "import time; data = bytearray(300 << 20); time.sleep(120)"
    with start(code, resources={"memory_mb": 100}) as runner:
        assert runner.finish() == 1
        assert "had asked for 100" in runner.outcome["error"]


DAEMON = """
import sys, time
def daemon():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    print("pid", os.getpid(), os.getuid(), flush=True)
    data = bytearray(b"x") * (300 << 20)
    time.sleep(120)
"""


@pytest.mark.parametrize("ordinary", [False, True])
def test_memory_of_daemons_counts(start: Start, ordinary: bool) -> None:
    code = DAEMON + "daemon(); time.sleep(120)"
    with start(code, ordinary=ordinary, resources={"memory_mb": 100}) as runner:
        assert runner.finish() == 1
        assert "had asked for 100" in runner.outcome["error"]
        pid, uid = map(int, runner.outputs["stdout"].split()[1:3])
    if AS_ROOT and not ordinary:  # the process id belongs to the sandbox's namespace
        wait_until_none_is_left(uid)
    else:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_shared_memory_of_processes_counts_once(start: Start) -> None:
    code = """
import time
data = bytearray(b"x") * (100 << 20)
children = [os.fork() for _ in range(4)]
if 0 in children:
    time.sleep(120)
time.sleep(4)
for pid in children:
    os.kill(pid, 9)
"""
    with start(code, resources={"memory_mb": 300}) as runner:
        assert runner.finish() == 0, runner.outcome


@pytest.mark.parametrize("name", ["HOME", "AIPLATFORM_OUTPUT", "AIPLATFORM_CHECKPOINTS", "PWD"])
def test_script_that_writes_too_much_is_ended(start: Start, name: str) -> None:
    code = f"""
import pathlib, time
there = pathlib.Path(os.getcwd() if "{name}" == "PWD" else os.environ["{name}"], "below")
there.mkdir()
for number in range(8):
    (there / str(number)).write_bytes(bytes(1 << 20))
time.sleep(120)
"""
    with start(code, max_disk_mb=4, max_file_mb=2) as runner:
        assert runner.finish() == 1
        # The usage may be measured while the script is still writing.
        assert re.fullmatch(
            r"The script has written [5-8] MiB to its directories and may write 4; max_disk_mb "
            r"allows more\.",
            runner.outcome["error"],
        )
        assert not outputs(runner) or not AS_ROOT


def test_files_written_just_before_the_end_count(start: Start) -> None:
    code = """
for number in range(8):
    open(os.environ["AIPLATFORM_OUTPUT"] + f"/{number}", "wb").write(bytes(1 << 20))
"""
    with start(code, max_disk_mb=4) as runner:
        assert runner.finish() == 1
        assert "may write 4" in runner.outcome["error"]


def test_copies_of_checkpoints_count_and_hard_links_do_not(start: Start) -> None:
    code = """
import pathlib, time
there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "c")
there.mkdir()
(there / "w").write_bytes(bytes(3 << 20))
os.link(there / "w", os.environ["HOME"] + "/w")
time.sleep(3)
for step in range(40):
    report(type="checkpoint", step=step, path="c")
    time.sleep(0.1)
"""
    with start(code, max_disk_mb=30) as runner:
        code_ = runner.finish()
        seen = len(runner.of_type("checkpoint"))
        if AS_ROOT:  # announced checkpoints are copied
            assert (code_, "may write 30" in runner.outcome["error"]) == (1, True)
            assert 9 <= seen < 40
        else:
            assert (code_, seen) == (0, 40)


def test_too_deeply_nested_directories_end_the_script(start: Start) -> None:
    code = """
import time
print(os.getcwd(), flush=True)
for _ in range(2000):
    os.mkdir("d")
    os.chdir("d")
time.sleep(120)
"""
    with start(code, max_disk_mb=100) as runner:
        assert runner.finish() == 1
        assert "below each other" in runner.outcome["error"]
        there = Path(runner.outputs["stdout"].split()[0].decode())
    assert not there.exists() or not AS_ROOT, "what was written is gone all the same"


def test_reports_before_a_kill_for_memory_count(
    make_job: Callable[..., Job],
    make_recorded_reporter: Callable[[], RecordedReporter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = """
import pathlib, time
there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "last")
there.mkdir()
(there / "step").write_text("1")
report(type="checkpoint", step=1, path="last")
print("announced", file=open(there / "announced", "w"), flush=True)
time.sleep(120)
"""

    def ended_unheard(script: running.Script, _: Usage, reports: Reports) -> None:
        announced = reports.directories.checkpoints / "last/announced"
        deadline = time.monotonic() + 30
        while not announced.exists() and script.commands[0].poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise JobError("it used too much")

    monkeypatch.setattr(running, "watch", ended_unheard)
    recorded = make_recorded_reporter()
    with pytest.raises(JobError, match="too much"):
        running.run_script(make_job(code), recorded.report)
    (checkpoint,) = recorded.of_type("checkpoint")
    assert (Path(checkpoint["path"]) / "step").read_text() == "1"


def test_processes_of_a_script_end_with_it(start: Start) -> None:
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print("pid", child.pid, os.getuid(), flush=True)
"""
    with start(code) as runner:
        assert runner.finish() == 0
        pid, uid = map(int, runner.outputs["stdout"].split()[1:])
    if AS_ROOT:  # the process id belongs to the sandbox's namespace
        wait_until_none_is_left(uid)
    else:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_script_resumes_from_its_checkpoint(start: Start, tmp_path: Path) -> None:
    code = """
import pathlib, sys, time
before = os.environ.get("AIPLATFORM_RESUME_FROM")
first = 0 if before is None else int(pathlib.Path(before, "step").read_text()) + 1
for step in range(first, 4):
    there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "last")
    there.mkdir(exist_ok=True)
    (there / "step").write_text(str(step))
    report(type="metrics", step=step, values={"step": step})
    if step == 1:
        report(type="checkpoint", step=1, path="last")
        report(type="checkpoint", step=1, path="/etc")
        report(type="checkpoint", step=1, path="../output")
        report(type="result", data={"forged": True})
        print("said", flush=True)
        if before is None:
            time.sleep(120)
"""
    with start(code) as runner:
        message = runner.wait_for("checkpoint")
        kept = Path(message["path"])
        assert kept.is_relative_to(runner.directory / "checkpoints")  # type: ignore[attr-defined]
        assert (kept / "step").read_text() == "1"
        runner.wait_until(lambda: b"said" in runner.outputs["stdout"])
        runner.cancel(grace_seconds=20)
        runner.finish()
        assert runner.outcome == {"type": "stopped"}
        assert len(runner.of_type("checkpoint")) == 1
        assert runner.log.count("was passed over") == 3
        with start(code, resume=kept) as again:
            assert again.finish() == 0
            steps = [m["step"] for m in again.of_type("metrics")]
            assert again.outcome["data"]["metrics"] == {"step": 3}
    assert steps == [2, 3]


def test_checkpoint_announced_twice_at_one_step_is_replaced(start: Start) -> None:
    code = """
import pathlib
there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "c")
there.mkdir()
for text in ("first", "second"):
    (there / "text").write_text(text)
    report(type="checkpoint", step=1, path="c")
"""
    with start(code) as runner:
        assert runner.finish() == 0, runner.outcome
        paths = [message["path"] for message in runner.of_type("checkpoint")]
        assert len(paths) == 2
        assert len(set(paths)) == 1
        assert (Path(paths[0]) / "text").read_text() == "second"
        assert list(Path(paths[0]).parent.iterdir()) == [Path(paths[0])]


def test_failed_replacement_leaves_the_earlier_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "kept/c.1"
    (source / "below").mkdir(parents=True)
    (source / "below/text").write_text("first")
    here = directories.ScriptDirectories(
        *(tmp_path for _ in range(6)), resume=None, uid=os.geteuid()
    )
    here.replace_output(source, target)
    (source / "below").rename(source / "renamed")
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(JobError, match="can't be kept"):
        here.replace_output(source, target)
    assert (target / "below/text").read_text() == "first"
    assert list(target.parent.iterdir()) == [target]
    (source / "link").unlink()
    here.replace_output(source, target)
    assert list(target.rglob("*")) == [target / "renamed", target / "renamed/text"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(not AS_ROOT, reason="only a script with a user of its own has copies made")
@pytest.mark.parametrize("length", [254, 200])
def test_checkpoint_with_a_too_long_name_does_not_end_the_task(start: Start, length: int) -> None:
    code = f"""
import pathlib
there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "c" * {length})
there.mkdir()
(there / "text").write_text("whole")
report(type="checkpoint", step=10, path=there.name)
report(type="checkpoint", step=10, path=there.name)
"""
    with start(code) as runner:
        assert runner.finish() == 0, runner.outcome
        kept = len(runner.of_type("checkpoint"))
        passed_over = runner.log.count("can't be kept: File name too long")
        checkpoints = runner.directory / "checkpoints"  # type: ignore[attr-defined]
        assert (kept, passed_over) == ((0, 2) if length == 254 else (2, 0))
        assert len(list(checkpoints.iterdir())) == min(kept, 1)


def test_invalid_reports_are_ignored(start: Start) -> None:
    code = """
fd = int(os.environ["AIPLATFORM_REPORT_FD"])
for _ in range(200):
    os.write(fd, b"nonsense\\n")
os.write(fd, b"x" * 3_000_000 + b"\\n")
report(type="metrics", step=1, values={"loss": 1.0})
"""
    with start(code) as runner:
        assert runner.finish() == 0
        assert [m["step"] for m in runner.of_type("metrics")] == [1]
        assert runner.log.count("was passed over") == 20


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a script a user of its own")
class TestAsRoot:
    def test_script_runs_as_its_own_user(self, start: Start, tmp_path: Path) -> None:
        secret = tmp_path / "platform"
        secret.mkdir(mode=0o700)
        (secret / "key").write_text("the platform's")
        code = f"""
import pathlib
out = pathlib.Path(os.environ["AIPLATFORM_OUTPUT"])
tried = []
for path in ("{secret}/key", "/etc/shadow"):
    try:
        tried.append(open(path).read())
    except OSError as error:
        tried.append(type(error).__name__)
try:
    os.kill({os.getpid()}, 0)
except OSError as error:
    tried.append(type(error).__name__)
(out / "tried.json").write_text(json.dumps([os.getuid(), os.getgroups(), *tried]))
"""
        with start(code) as runner:
            assert runner.finish() == 0
            uid, groups, *tried = json.loads(outputs(runner)["tried.json"])
        assert uid >= directories.FIRST_UID
        # In a sandbox, the machine's /tmp and other processes are not even visible.
        assert groups == []
        assert tried == ["FileNotFoundError", "PermissionError", "ProcessLookupError"]

    @pytest.mark.parametrize("where", ["OUTPUT", "CHECKPOINTS"])
    def test_links_in_output_and_checkpoints_are_refused(self, start: Start, where: str) -> None:
        code = f"""
import pathlib
there = pathlib.Path(os.environ["AIPLATFORM_{where}"])
(there / "c").mkdir()
(there / "c/shadow").symlink_to("/etc/shadow")
(there / "etc").symlink_to("/etc")
report(type="checkpoint", step=1, path="c")
report(type="checkpoint", step=1, path="etc")
"""
        with start(code) as runner:
            code = runner.finish()
            assert not outputs(runner)
            assert not runner.of_type("checkpoint")
            if where == "OUTPUT":
                assert (code, "can't be kept" in runner.outcome["error"]) == (1, True)
            else:
                assert runner.log.count("was passed over") == 2

    def test_directories_of_ended_and_killed_scripts_are_removed(self, start: Start) -> None:
        with start("print(os.getcwd(), flush=True); import time; time.sleep(120)") as runner:
            runner.wait_for("event")
            runner.wait_until(lambda: b"\n" in runner.outputs["stdout"])
            left = Path(runner.outputs["stdout"].split()[0].decode()).parent
            assert left.is_dir()
            runner.close_control()
            runner.finish(renew=False)
        assert left.is_dir()
        with start("print(os.getcwd())") as runner:
            assert runner.finish() == 0
            own = Path(runner.outputs["stdout"].split()[0].decode())
        assert not left.exists()
        assert not own.exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root gives scripts a user of their own")
def test_checkpoint_of_another_task_cannot_be_read(start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "weights").write_text("secret")
    owner = """
import pathlib, sys, time
print(os.getuid(), os.getpid(), os.environ["AIPLATFORM_RESUME_FROM"], flush=True)
assert pathlib.Path(os.environ["AIPLATFORM_RESUME_FROM"], "weights").read_text() == "secret"
while True:
    time.sleep(0.1)
"""
    attack = """
import sys
path = sys.argv[1]
for name in (path, path + "/weights", os.path.dirname(path), "/proc/1/root" + path):
    try:
        print("got", os.listdir(name) if os.path.isdir(name) else open(name).read())
    except OSError as error:
        print("refused", type(error).__name__)
print("done", flush=True)
"""
    with start(owner, resume=kept) as victim:
        victim.wait_until(lambda: b"\n" in victim.outputs["stdout"])
        uid, _, path = victim.outputs["stdout"].decode().split()
        assert (Path(path) / "weights").read_text() == "secret"
        with start(attack, path) as attacker:
            assert attacker.finish() == 0
            printed = attacker.outputs["stdout"].decode()
        # The file modes alone keep other users out, even without a sandbox.
        for name in (path, f"{path}/weights"):
            other = subprocess.run(
                ["cat", name], user=int(uid) + 1, group=int(uid) + 1, extra_groups=[],
                capture_output=True, check=False,
            )  # fmt: skip
            assert (other.returncode, other.stdout) == (1, b"")
            assert b"Permission denied" in other.stderr
        victim.cancel(grace_seconds=1)
        victim.finish()
    assert "got" not in printed
    assert printed.count("refused") == 4


@pytest.mark.skipif(not AS_ROOT, reason="only root gives scripts a user of their own")
def test_environment_closed_to_other_users_is_named_with_its_remedy(
    make_job: Callable[..., Job],
) -> None:
    with tempfile.TemporaryDirectory(prefix="aiplatform-test-", dir="/var/tmp") as name:
        closed = Path(name)
        (closed / "bin").mkdir()
        (closed / "bin/tool").write_text("#!/bin/sh\necho the tool of the environment\n")
        (closed / "bin/tool").chmod(0o755)
        outcomes = []
        for mode in (0o700, 0o711):
            closed.chmod(mode)
            job = make_job("", command=["tool"])
            job.prefix = str(closed)
            job.isolation_required = True
            with Runner.of_job(job, Path(job.output_dir).parent) as runner:
                runner.finish()
                outcomes.append((runner.outcome, runner.outputs["stdout"].decode()))
    (refused, _), (done, printed) = outcomes
    assert refused["type"] == "failure"
    assert f"{closed} is closed to other users" in str(refused)
    assert f"chmod o+x {closed}" in str(refused)
    assert "AIPLATFORM_SCRIPT_ENVIRONMENTS" in str(refused)
    assert done["type"] == "result"
    assert "the tool of the environment" in printed
