"""Attack: scripts attack each other and their worker, and try to exceed their limits.

The tests run every script with the real runtime, which runs as root. Tests of a kernel feature are
skipped if the kernel lacks it; ``aiplatform doctor`` shows which isolation a machine offers.
"""

import json
import os
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.messages import SCRIPT_USER_FILE
from aiplatform.runtime.script.directories import FIRST_UID, PROCESS_IDS, free_uid
from aiplatform.runtime.script.isolation import try_isolation
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import Blob
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.workers import Capacity
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project, ProjectQuota
from aiplatform.server.queue.models import Task, TaskAttempt, TaskEvent, Worker
from aiplatform.server.queue.service import queue
from tests.conftest import Api, environment
from tests.factories import make_blob, make_dataset, make_user, make_version, number

ISOLATION = try_isolation()
pytestmark = pytest.mark.skipif(
    not ISOLATION["isolated"], reason=f"this machine can't isolate scripts: {ISOLATION['reason']}"
)
bounds_memory = pytest.mark.skipif(
    "memory" not in ISOLATION["groups"], reason="no cgroup of this machine bounds memory"
)
bounds_processes = pytest.mark.skipif(
    "pids" not in ISOLATION["groups"], reason="no cgroup of this machine bounds processes"
)
SCRIPTS_PARENT = Path("/var/tmp")

SECRET = "the-neighbours-secret"
ROWS = f"rows {SECRET}".encode()

VICTIM = f"""
import ctypes, mmap, os, pathlib, socket, time
SECRET = {SECRET!r}
home = pathlib.Path(os.environ["HOME"])
for path in ("/tmp/left", "/var/tmp/left", "/dev/shm/left", home / "left"):
    pathlib.Path(path).write_text(SECRET)
    os.chmod(path, 0o666)
os.chmod(home, 0o777)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0aiplatform-victim")
listener.listen()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget(0x5ec2e7, 4096, 0o1666) >= 0
if hasattr(libc, "mq_open"):
    libc.mq_open(b"/aiplatform-victim", os.O_CREAT | os.O_RDWR, 0o666, None)
os.umask(0)
(home / "ready").write_text("1")
while not (home / "stop").exists():
    time.sleep(0.05)
"""

ATTACKER = """
import array, ctypes, json, mmap, os, pathlib, resource, signal, socket, stat, subprocess, sys
PLACE, PID, SECRET = (os.environ[name] for name in ("PLACE", "PID", "MARK"))
PID = int(PID)
OWN = os.path.dirname(os.environ["HOME"])
libc = ctypes.CDLL(None, use_errno=True)
ATTACKS = []
def attack(function):
    ATTACKS.append(function)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def read(path):
    return open(path, "rb").read(4096).decode(errors="replace")
for name in ("inputs/datasets/faq.parquet", "code/main.py", "home/left", "output", "tmp/left",
             "var-tmp/left", ".lock", ""):
    def take(path=f"{PLACE}/{name}"):
        return os.listdir(path) if os.path.isdir(path) else read(path)
    take.__name__ = f"read {name or 'the directory'} of the neighbour"
    attack(take)
for path in ("/tmp/left", "/var/tmp/left", "/dev/shm/left"):
    def left(path=path):
        return read(path)
    left.__name__ = f"read {path}"
    attack(left)
for name in ("environ", "cmdline", "maps", "root/tmp/left", "cwd/main.py", "fd", "mem", "stack"):
    for pid in (PID, 1):
        def look(path=f"/proc/{pid}/{name}"):
            return os.listdir(path) if os.path.isdir(path) else read(path)
        look.__name__ = f"/proc/{'PID' if pid == PID else 1}/{name}"
        attack(look)
@attack
def places_in_var_tmp():
    others = [n for n in os.listdir("/var/tmp") if n != os.path.basename(OWN)]
    assert others, "none"
    return others
@attack
def processes_of_others():
    pids = [int(n) for n in os.listdir("/proc") if n.isdigit()]
    others = [p for p in pids if os.stat(f"/proc/{p}").st_uid != os.getuid()]
    assert others, "none"
    return others
@attack
def signal_the_neighbour():
    return os.kill(PID, signal.SIGKILL)
@attack
def signal_the_first_process():
    return os.kill(1, signal.SIGKILL)
@attack
def signal_the_group_of_the_worker():
    return os.killpg(os.getppid(), 0) if os.getppid() > 1 else os.kill(os.getppid(), 0)
@attack
def trace_the_neighbour():
    return check(libc.ptrace(16, PID, None, None))
@attack
def trace_the_first_process():
    return check(libc.ptrace(16, 1, None, None))
@attack
def read_memory_of_the_neighbour():
    buffer = ctypes.create_string_buffer(16)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 16)
    return check(libc.process_vm_readv(PID, vector, 1, vector, 1, 0))
@attack
def abstract_socket():
    socket.socket(socket.AF_UNIX).connect("\\0aiplatform-victim")
@attack
def system_v_shared_memory():
    return check(libc.shmget(0x5ec2e7, 0, 0))
@attack
def message_queue():
    return check(libc.mq_open(b"/aiplatform-victim", os.O_RDWR))
@attack
def inherited_descriptors():
    report = int(os.environ["AIPLATFORM_REPORT_FD"])
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # the descriptor of the listing, which is closed by now
    others = {fd: to for fd, to in found.items() if fd > 2 and fd != report}
    assert others, "none"
    return others
def cgroups():
    for line in open("/proc/self/cgroup"):
        _, names, path = line.strip().split(":", 2)
        for base in ("/sys/fs/cgroup", f"/sys/fs/cgroup/{names}", "/sys/fs/cgroup/unified"):
            yield f"{base}{path}"
            yield base
@attack
def leave_the_cgroup():
    done = []
    for path in cgroups():
        for name in ("cgroup.procs", "tasks"):
            try:
                os.write(os.open(f"{path}/{name}", os.O_WRONLY), b"0")
                done.append(path)
            except OSError:
                pass
    assert done, "none"
    return done
@attack
def widen_the_cgroup():
    done = []
    for path in cgroups():
        for name in ("memory.limit_in_bytes", "memory.max", "pids.max"):
            try:
                os.write(os.open(f"{path}/{name}", os.O_WRONLY), b"max")
                done.append(path)
            except OSError:
                pass
        try:
            os.mkdir(f"{path}/own")
            done.append(path)
        except OSError:
            pass
    assert done, "none"
    return done
@attack
def become_root():
    os.setuid(0)
@attack
def gain_privileges_by_a_setuid_program():
    status = open("/proc/self/status").read()
    assert "NoNewPrivs:\\t1" in status, status
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert f"{name}:\\t0000000000000000" in status, status
    raise PermissionError("none")
@attack
def make_a_device():
    os.mknod(OWN + "/output/device", stat.S_IFBLK | 0o666, os.makedev(8, 0))
@attack
def escape_the_oom_killer():
    os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")
@attack
def dump_core():
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
@attack
def more_processes():
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (hard + 1, hard + 1))
@attack
def change_the_kernel():
    os.write(os.open("/proc/sys/kernel/hostname", os.O_WRONLY), b"x")
@attack
def write_the_inputs():
    path = os.environ["AIPLATFORM_INPUTS"] + "/datasets/faq.parquet"
    os.write(os.open(path, os.O_WRONLY), b"x")
@attack
def replace_the_inputs():
    os.rename(os.environ["AIPLATFORM_INPUTS"] + "/datasets/faq.parquet", OWN + "/output/x")
@attack
def link_the_inputs_into_the_output():
    os.link(os.environ["AIPLATFORM_INPUTS"] + "/datasets/faq.parquet", OWN + "/output/x")
@attack
def write_elsewhere():
    done = []
    mine = (OWN, "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/proc", "/sys")
    for root, directories, _ in os.walk("/"):
        if root.count("/") > 4:
            directories.clear()
        directories[:] = [d for d in directories if not os.path.join(root, d).startswith(mine)]
        if os.access(root, os.W_OK):
            try:
                os.close(os.open(f"{root}/aiplatform-attack", os.O_CREAT | os.O_WRONLY))
                done.append(root)
            except OSError:
                pass
    assert done, "none"
    return done
def in_user_namespace(action, flags=0x10000000 | 0x00020000):
    pid = os.fork()
    if pid == 0:
        try:
            check(libc.unshare(flags))
            os._exit(0 if action() else 1)
        except BaseException:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        raise PermissionError("not even as root of a namespace")
for hidden in ("/tmp", "/var/tmp", "/proc", "/dev/shm"):
    def unmount(path=hidden):
        in_user_namespace(lambda: libc.umount2(path.encode(), 2) == 0)
    unmount.__name__ = f"unmount {hidden}"
    attack(unmount)
@attack
def make_the_root_writable():
    in_user_namespace(lambda: libc.mount(None, b"/", None, ctypes.c_ulong(4096 | 32), None) == 0)
@attack
def signal_as_root_of_a_namespace():
    in_user_namespace(lambda: os.kill(1, signal.SIGKILL) is None)
@attack
def open_by_handle():
    handle = ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]))
    return check(libc.open_by_handle_at(os.open("/", os.O_RDONLY), handle, os.O_RDONLY))
@attack
def signal_everything():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(-1, signal.SIGTERM)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    raise PermissionError("the test checks whether the neighbour still runs")
got = {}
for function in ATTACKS:
    name = function.__name__
    assert name not in got, name
    try:
        got[name] = repr(function())
    except (OSError, ValueError, AssertionError) as error:
        refused = not isinstance(error, AssertionError) or str(error) == "none"
        got[name] = None if refused else repr(error)
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], "got.json").write_text(json.dumps(got))
"""


@pytest.fixture
def begin(session: Session) -> Iterator[Callable[[], "RunningScript"]]:
    """Return a function that starts the next queued script in a thread, as a worker does."""
    running: list[RunningScript] = []

    def begin() -> RunningScript:
        offers = Capacity(4, 8192, (), ("script:plain",))
        with transaction() as own:
            worker = workers.register(own, f"attacks{number()}", ["default"], offers)
        with transaction() as own:
            claim = attempts.claim_next(own, worker, ["default"])
        assert claim is not None
        running.append(RunningScript(claim))
        return running[-1]

    yield begin
    for one in running:
        one.end()
        assert not one.thread.is_alive()


class RunningScript:
    """A script that runs in a thread; ``directory`` is set once the script has started."""

    def __init__(self, claim: Any) -> None:
        self.claim = claim
        self.directory: Path | None = None
        self.thread = threading.Thread(target=runner.run_attempt, args=(claim,), daemon=True)
        self.thread.start()
        self.directory = self._wait(self._found)
        self._wait(lambda: (self.home / "ready").exists() or None)

    @property
    def home(self) -> Path:
        assert self.directory is not None
        return self.directory / "home"

    def _found(self) -> Path | None:
        """Return the directory of the script's user, or None if it does not exist yet.

        A file in the attempt's directory contains the user id.
        """
        work = get_settings().work_dir / str(self.claim.task_uuid)
        for note in work.glob(f"*/{SCRIPT_USER_FILE}"):
            for home in SCRIPTS_PARENT.glob("aiplatform-script-*/home"):
                if str(home.stat().st_uid) == note.read_text():
                    return home.parent
        return None

    def _wait(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 300
        while (found := condition()) is None:
            assert self.thread.is_alive(), "the script has ended"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found

    @property
    def uid(self) -> int:
        return self.home.stat().st_uid

    def end(self) -> None:
        if self.thread.is_alive() and self.directory is not None and self.home.is_dir():
            (self.home / "stop").touch()
        self.thread.join(300)


def processes_of(uid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == uid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def rows_of(session: Session, project: Project, tmp_path: Path) -> dict[str, Any]:
    dataset = make_dataset(session, project)
    make_version(session, dataset, file=make_blob(session, ROWS, ROWS_PATH, tmp_path))
    return {"faq": {"dataset": str(dataset.uuid)}}


def artifacts(api: Api, task: str) -> list[str]:
    return [item["path"] for item in api.get(f"tasks/{task}/artifacts").json()["items"]]


def test_script_cannot_access_another_script(
    session: Session, mine: Api, project: Project, bundle: Any, submit: Any,
    run: Callable[[], Task], begin: Callable[[], RunningScript], tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    rows = rows_of(session, project, tmp_path)
    submit(bundle(main_py=VICTIM).json()["uuid"], datasets=rows, variables={"KEY": SECRET})
    victim = begin()
    (process,) = processes_of(victim.uid)
    code = bundle(main_py=ATTACKER).json()["uuid"]
    variables = {"PLACE": str(victim.directory), "PID": str(process.pid), "MARK": SECRET}
    task = submit(code, datasets=rows, variables=variables).json()["uuid"]
    done = run()
    assert (done.status, done.error_message) == ("completed", None), done.logs
    assert process.is_running()
    got = json.loads(mine.get(f"tasks/{task}/artifacts/got.json").content)
    victim.end()
    assert session.get_one(Task, victim.claim.task_id).status == "completed"
    record_property("attacks", len(got))
    assert len(got) >= 60
    assert {name: found for name, found in got.items() if found is not None} == {}


SURVIVORS = """
import os, pathlib, time
def survive():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.setsid()
    while True:
        time.sleep(0.01)
        # The parent exits at once, so the process id changes all the time.
        if os.fork():
            os._exit(0)
for _ in range(24):
    survive()
time.sleep(0.5)
place = os.path.basename(os.path.dirname(os.environ["HOME"]))
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], "who").write_text(f"{os.getuid()} {place}")
"""


def test_processes_of_script_end_with_its_task(
    mine: Api, bundle: Any, submit: Any, run: Callable[[], Task]
) -> None:
    task = submit(bundle(main_py=SURVIVORS).json()["uuid"]).json()["uuid"]
    done = run()
    assert (done.status, done.error_message) == ("completed", None)
    uid, place = mine.get(f"tasks/{task}/artifacts/who").text.split()
    assert processes_of(int(uid)) == []
    assert list(Path("/sys/fs/cgroup").glob(f"**/{place}")) == []
    assert not (SCRIPTS_PARENT / place).exists()


MEMORY = {
    "a memfd": """
        file = os.memfd_create("x")
        for _ in range(700):
            os.write(file, bytes(1 << 20))
    """,
    "a file in shared memory": """
        with open("/dev/shm/x", "wb") as file:
            for _ in range(700):
                file.write(bytes(1 << 20))
    """,
    "shared memory of System V": """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(0, 700 << 20, 0o1666)
        ctypes.memset(libc.shmat(segment, None, 0), 1, 700 << 20)
    """,
    "an anonymous shared mapping": """
        import mmap
        shared = mmap.mmap(-1, 700 << 20)
        for _ in range(700):
            shared.write(bytes(1 << 20))
    """,
    "memory of child processes": """
        for _ in range(7):
            if os.fork() == 0:
                held = bytearray(b"x") * (100 << 20)
                time.sleep(20)
                os._exit(0)
        time.sleep(20)
    """,
    "a tmpfs in a namespace of its own": """
        import ctypes
        libc = ctypes.CDLL(None)
        assert libc.unshare(0x10000000 | 0x00020000) == 0
        os.mkdir("/tmp/own")
        assert libc.mount(b"x", b"/tmp/own", b"tmpfs", 0, b"size=700m") == 0
        with open("/tmp/own/x", "wb") as file:
            for _ in range(700):
                file.write(bytes(1 << 20))
    """,
}


@bounds_memory
@pytest.mark.parametrize("how", MEMORY)
def test_script_that_exceeds_its_memory_fails(
    bundle: Any, submit: Any, run: Callable[[], Task], how: str
) -> None:
    code = "import os, time\n" + textwrap.dedent(MEMORY[how]) + "\ntime.sleep(2)\n"
    submit(bundle(main_py=code).json()["uuid"], resources={"memory_mb": 256, "cpus": 1})
    done = run()
    assert done.status == "failed", done.logs
    # Writing a file in shared memory may fail before the memory limit is reached, and a sandbox may
    # not allow mounting.
    expected = ["had asked for 256"]
    if "file" in how or "tmpfs" in how:
        expected.append("exit code 1")
    assert any(text in str(done.error_message) for text in expected), done.error_message


@bounds_processes
def test_fork_bomb_is_limited_to_max_processes(
    mine: Api, bundle: Any, submit: Any, run: Callable[[], Task]
) -> None:
    code = """
import os, pathlib, time
made = 0
while made < 500:
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
    except BlockingIOError:
        break
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], "made").write_text(f"{made} {os.getuid()}")
"""
    task = submit(bundle(main_py=code).json()["uuid"], max_processes=50).json()["uuid"]
    done = run()
    assert (done.status, done.error_message) == ("completed", None)
    made, uid = map(int, mine.get(f"tasks/{task}/artifacts/made").content.split())
    assert 1 < made < 50
    assert processes_of(uid) == []


OUTPUTS = {
    "a file with holes": (
        "open(out / 'sparse', 'wb').truncate(1500 << 20)",
        "may write",
    ),
    "many small files": (
        "for n in range(10_001): (out / str(n)).touch()",
        "10000 files",
    ),
    "a link": ("(out / 'shadow').symlink_to('/etc/shadow')", "can't be kept"),
    "a link to a directory in place of one": (
        "(out / 'd').symlink_to('/root'); os.rename(out / 'd', out / 'e')",
        None,
    ),
    "a pipe": ("os.mkfifo(out / 'pipe')", "it is not a regular file"),
    "a socket": (
        "import socket; socket.socket(socket.AF_UNIX).bind(str(out / 's'))",
        "can't be kept",
    ),
    "a name of two lines": ("(out / 'a\\nb').touch()", "a control character"),
    "a name that is not text": ("open(os.fsencode(out) + b'/\\xff', 'w')", "a control character"),
    "a name that is too long": (
        "d = out / ('x' * 250) / ('y' * 250); d.mkdir(parents=True); (d / 'z').touch()",
        "500",
    ),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_malformed_output_of_script_is_refused(
    session: Session, mine: Api, bundle: Any, submit: Any, run: Callable[[], Task], what: str
) -> None:
    code, said = OUTPUTS[what]
    code = f"import os, pathlib\nout = pathlib.Path(os.environ['AIPLATFORM_OUTPUT'])\n{code}\n"
    task = submit(bundle(main_py=code).json()["uuid"], max_disk_mb=60).json()["uuid"]
    before = session.scalar(select(func.sum(Blob.size)))
    done = run()
    if said is None:
        assert artifacts(mine, task) == []
        return
    assert done.status == "failed", done.logs
    assert said.lower() in str(done.error_message).lower()
    assert artifacts(mine, task) == []
    assert session.scalar(select(func.sum(Blob.size))) == before


UNLINKED = {
    "open files without a name": """
        held = []
        for number in range(12):
            held.append(open(home / str(number), "wb"))
            os.unlink(home / str(number))
            held[-1].write(bytes(1 << 20))
            held[-1].flush()
    """,
    "files that never had a name": """
        held = [os.open(home, os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(12)]
        for file in held:
            os.write(file, bytes(1 << 20))
    """,
    "mapped files without a name": """
        held = []
        for number in range(12):
            with open(home / str(number), "w+b") as file:
                file.write(bytes(1 << 20))
                file.flush()
                held.append(mmap.mmap(file.fileno(), 1 << 20))
            os.unlink(home / str(number))
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and name != os.environ["AIPLATFORM_REPORT_FD"]:
                libc.close(int(name))
    """,
    "descriptors that only one thread has": """
        def fill():
            assert libc.unshare(0x400) == 0
            held = [os.open(home, os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(12)]
            for file in held:
                os.write(file, bytes(1 << 20))
            time.sleep(120)
        threading.Thread(target=fill).start()
    """,
    "files that a child holds": """
        if os.fork() == 0:
            held = [os.open(home, os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(12)]
            for file in held:
                os.write(file, bytes(1 << 20))
            time.sleep(120)
    """,
}


@pytest.mark.parametrize("what", UNLINKED)
def test_unlinked_files_count_against_the_disk_limit(
    bundle: Any, submit: Any, run: Callable[[], Task], what: str
) -> None:
    code = (
        "import ctypes, mmap, os, pathlib, threading, time\n"
        "home = pathlib.Path(os.environ['HOME'])\nlibc = ctypes.CDLL(None)\n"
        f"{textwrap.dedent(UNLINKED[what])}\ntime.sleep(60)\n"
    )
    submit(bundle(main_py=code).json()["uuid"], max_disk_mb=4, max_file_mb=2)
    done = run()
    assert done.status == "failed", done.logs
    assert "may write 4; max_disk_mb" in str(done.error_message), done.logs


def test_unlinked_file_with_many_descriptors_counts_once(
    bundle: Any, submit: Any, run: Callable[[], Task]
) -> None:
    code = """
import mmap, os, time
file = os.open(os.environ["HOME"], os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(file, bytes(3 << 20))
held = [os.dup(file) for _ in range(8)], mmap.mmap(file, 3 << 20)
memory = os.memfd_create("not on the disk")
os.write(memory, bytes(8 << 20))
if os.fork() == 0:
    time.sleep(60)
time.sleep(4)
"""
    submit(bundle(main_py=code).json()["uuid"], max_disk_mb=4)
    done = run()
    assert (done.status, done.error_message) == ("completed", None), done.logs


def test_sparse_checkpoint_over_disk_limit_is_not_copied(
    bundle: Any, submit: Any, run: Callable[[], Task]
) -> None:
    code = """
import json, os, pathlib, time
there = pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "c")
there.mkdir()
open(there / "sparse", "wb").truncate(1500 << 20)
os.write(int(os.environ["AIPLATFORM_REPORT_FD"]),
         json.dumps({"type": "checkpoint", "step": 1, "path": "c"}).encode() + b"\\n")
time.sleep(3)
"""
    submit(bundle(main_py=code).json()["uuid"], max_disk_mb=10)
    done = run()
    assert done.status == "failed"
    assert "may write" in str(done.error_message)
    assert "passed over" in done.logs


def test_artifacts_over_the_quota_are_not_stored(
    session: Session, mine: Api, project: Project, bundle: Any, submit: Any,
    run: Callable[[], Task],
) -> None:  # fmt: skip
    code = """
import os, pathlib
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], "big").write_bytes(os.urandom(3 << 20))
"""
    task = submit(bundle(main_py=code).json()["uuid"]).json()["uuid"]
    session.add(ProjectQuota(project_id=project.id, storage_bytes=2 << 20))
    session.commit()
    before = session.scalar(select(func.count()).select_from(Blob))
    done = run()
    assert done.status == "failed"
    assert "storage" in str(done.error_message)
    assert artifacts(mine, task) == []
    assert session.scalar(select(func.count()).select_from(Blob)) == before


REPORTS = [
    {"type": "event", "name": "x", "data": {"event": "mine", "name": "n", "self": 1, "kind": "k"}},
    {"type": "event", "name": "script", "data": {"own_user": False}},
    {"type": "event", "name": "x" * 51, "data": {}},
    {"type": "event", "name": "deep", "data": {"nul": "a\0b", "half": "\ud800", "big": 10**400}},
    {"type": "metrics", "step": 10**30, "values": {"loss": 1.0}},
    {"type": "metrics", "step": -(10**30), "values": {"loss": 1.0}},
    {"type": "metrics", "step": 1, "values": {"": 1.0, "a\0b": 1.0, "x" * 5000: 1.0}},
    {"type": "metrics", "step": 1, "values": {f"m{n}": 1.0 for n in range(5000)}},
    {"type": "metrics", "step": 1, "values": {"loss": 1.0}, "time": 1e300},
    {"type": "metrics", "step": 1, "values": {"loss": 1.0}, "time": -1e300},
    {"type": "progress", "value": 0.5, "step": 10**30, "total_steps": 10**30},
    {"type": "progress", "value": 0.5, "seconds_left": 1e308},
    {"type": "progress", "value": 7},
    {"type": "checkpoint", "step": 10**30, "path": "c"},
    {"type": "checkpoint", "step": 1, "path": "a\0b"},
    {"type": "checkpoint", "step": 1, "path": "x" * 5000},
    {"type": "checkpoint", "step": 1, "path": "/proc/1/root"},
    {"type": "result", "data": {}},
    {"type": "failure", "error": "forged"},
    {"type": "ready", "endpoint": "http://127.0.0.1:1"},
    {"type": "hello", "pid": 1},
    {"type": "stopped"},
]


def test_forged_report_does_not_end_the_task(
    session: Session, bundle: Any, submit: Any, run: Callable[[], Task]
) -> None:
    code = f"""
import json, os, pathlib
pathlib.Path(os.environ["AIPLATFORM_CHECKPOINTS"], "c").mkdir()
fd = int(os.environ["AIPLATFORM_REPORT_FD"])
for line in {json.dumps([json.dumps(report) for report in REPORTS])!s}:
    os.write(fd, line.encode() + b"\\n")
nested = b"[" * 5000 + b"]" * 5000
os.write(fd, b'{{"type": "event", "name": "deep", "data": {{"a": ' + nested + b"}}}}\\n")
os.write(fd, b"\\xff\\xfe\\n\\0\\n[]\\n1\\n\\n")
"""
    submit(bundle(main_py=code).json()["uuid"])
    done = run()
    assert (done.status, done.error_message) == ("completed", None), done.logs
    events = session.scalars(select(TaskEvent).filter_by(task_id=done.id)).all()
    own = [event.data for event in events if event.kind == "script_event"]
    assert {"event": "x", "event_": "mine", "name": "n", "self": 1, "kind": "k"} in own


def test_worker_with_process_that_cannot_be_killed_is_cordoned(
    session: Session, bundle: Any, submit: Any, begin: Callable[[], RunningScript]
) -> None:
    freezer = Path("/sys/fs/cgroup/freezer")
    if not (freezer / "cgroup.procs").exists():
        pytest.skip("only the freezer of cgroup version 1 keeps a process from being ended")
    admin = make_user(session, role="admin")
    submit(bundle(main_py=VICTIM.replace("KEY", "K")).json()["uuid"])
    group = freezer / f"aiplatform-test-{os.getpid()}"
    group.mkdir()
    with environment(AIPLATFORM_CANCEL_GRACE_SECONDS="2"):
        running = begin()
    (process,) = processes_of(running.uid)
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        (group / "freezer.state").write_text("FROZEN")
        task = session.get_one(Task, running.claim.task_id)
        with transaction() as own:
            queue.request_cancel(own, SYSTEM, own.get_one(Task, task.id))
        running.thread.join(300)
        assert not running.thread.is_alive()
        assert process.is_running()
    finally:
        (group / "freezer.state").write_text("THAWED")
        psutil.wait_procs([process], timeout=10)
        wait_until_gone(group)
    session.expire_all()
    task = session.get_one(Task, task.id)
    assert task.status == "failed"
    assert f"can't be ended: {process.pid}" in str(task.error_message)
    attempt = session.scalars(select(TaskAttempt).filter_by(task_id=task.id)).one()
    worker = session.scalars(select(Worker).filter_by(name=attempt.worker)).one()
    assert worker.state == "cordoned"
    events = session.scalars(select(TaskEvent).filter_by(task_id=task.id)).all()
    assert [e.data["processes"] for e in events if e.kind == "processes_left"] == [[process.pid]]
    told = session.scalars(select(Notification).filter_by(user_id=admin.id)).all()
    assert "worker:cordoned" in [notification.type for notification in told]


def wait_until_gone(group: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_user_id_in_use_is_not_assigned_again() -> None:
    taken = FIRST_UID + os.getpid()
    with subprocess.Popen(["sleep", "60"], user=taken) as holder:
        try:
            assert free_uid() == taken + PROCESS_IDS
        finally:
            holder.kill()
    assert free_uid() == taken
