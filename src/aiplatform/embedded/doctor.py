"""Is this machine fit, and what is missing: each finding with its remedy."""

import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from aiplatform.embedded.binaries import find_postgres, find_valkey, missing_packages
from aiplatform.embedded.control import platform_status
from aiplatform.embedded.datadir import check_reachable, check_version, server_account
from aiplatform.embedded.errors import EmbeddedError
from aiplatform.embedded.home import Home
from aiplatform.embedded.ports import claim_port
from aiplatform.embedded.state import read_state

OLDEST_PYTHON = (3, 11)
HUB_SECONDS = 2.0
COMMAND_SECONDS = 5.0
COLLECTOR_SECONDS = 1.0
ISOLATION_SECONDS = 60.0
AUDIT_POWERS = """
SELECT current_user, EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('public.audit_logs')
    AND (pg_has_role(relowner, 'MEMBER') OR has_table_privilege(oid, 'UPDATE')
         OR has_table_privilege(oid, 'DELETE') OR has_table_privilege(oid, 'TRUNCATE')))
    -- A temporary table of that name would be found in its place.
    OR has_database_privilege(current_database(), 'TEMPORARY')
"""
GIB = 1024**3
DISK_WANTED = 5 * GIB
"""A small base model, a tuned copy of it and a few checkpoints."""

MEMORY_WANTED = 4 * GIB
"""API, worker, databases, and fine-tuning a model of 135M parameters."""


class Outcome(StrEnum):
    """``warn`` limits what can be done, ``fail`` stops ``up``."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    outcome: Outcome
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)


def examine(
    home: Home, host: str, port: int, environ: Mapping[str, str] = os.environ
) -> list[Check]:
    """Look at everything; nothing is changed."""
    looks: list[Callable[[], Check]] = [
        check_python,
        lambda: check_extra("server", Outcome.FAIL),
        lambda: check_extra("llm", Outcome.WARN),
        check_gpu,
        lambda: check_postgres(environ),
        lambda: check_valkey(environ),
        lambda: check_home(home),
        lambda: check_data(home, environ),
        lambda: check_disk(home),
        check_memory,
        lambda: check_platform(home),
        lambda: check_role(home, environ),
        lambda: check_port(home, host, port),
        lambda: check_traces(environ),
        lambda: check_scripts(environ),
    ]
    hub = _Later(lambda: check_hub(environ), HUB_SECONDS + 0.5)
    return [*(look() for look in looks), hub.result() or _no_hub("no answer", environ)]


class _Later:
    """Runs a check aside, for at most so many seconds: looking up a name knows no timeout."""

    def __init__(self, check: Callable[[], Check], seconds: float) -> None:
        self._found: list[Check] = []
        self._thread = threading.Thread(target=lambda: self._found.append(check()), daemon=True)
        self._thread.start()
        self._seconds = seconds

    def result(self) -> Check | None:
        self._thread.join(self._seconds)
        return self._found[0] if self._found else None


def check_python() -> Check:
    """The interpreter, and the system it runs on."""
    text = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", Outcome.FAIL, text, "Install Python 3.11 or newer.")
    if os.name != "posix":
        return Check(
            "python",
            Outcome.FAIL,
            text,
            "`aiplatform up` needs Linux or macOS; use WSL on Windows.",
        )
    return Check("python", Outcome.OK, f"{text}, {sys.prefix}")


def check_extra(extra: str, if_missing: Outcome) -> Check:
    """Whether the packages of an extra are there; none is imported."""
    missing = missing_packages(extra)
    if not missing:
        return Check(f"extra {extra}", Outcome.OK, "installed")
    what = {
        "server": "`aiplatform up`, `server` and `worker` need it",
        "llm": "a worker can't train, evaluate or serve without it",
    }[extra]
    return Check(
        f"extra {extra}",
        if_missing,
        f"missing: {', '.join(missing)} ({what})",
        f"pip install 'aiplatform[{extra}]'",
    )


def check_gpu() -> Check:
    """GPUs by what the driver's tool says, and whether the installed torch can use them."""
    torch = _version("torch")
    built = f"torch {torch}" if torch else "no torch"
    if (command := shutil.which("nvidia-smi")) is not None:
        query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            answer = subprocess.run(
                query, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return Check(
                "gpu",
                Outcome.WARN,
                "nvidia-smi is there but fails",
                "Run nvidia-smi and repair the driver; until then work runs on the CPU.",
            )
        names = "; ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
        if torch and "+cpu" in torch:
            return Check(
                "gpu",
                Outcome.WARN,
                f"{names}, but {built} is the build for CPUs",
                "Install torch from the index that https://pytorch.org/get-started names.",
            )
        return Check("gpu", Outcome.OK, f"{names}; {built}")
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Check("gpu", Outcome.OK, f"Apple GPU; {built}")
    return Check("gpu", Outcome.OK, f"none; work runs on {os.cpu_count()} CPU cores; {built}")


def check_postgres(environ: Mapping[str, str]) -> Check:
    """Which PostgreSQL ``up`` would start."""
    try:
        found = find_postgres(environ)
    except EmbeddedError as error:
        return _failed("postgresql", error)
    return Check("postgresql", Outcome.OK, f"{found.version} in {found.directory}")


def check_valkey(environ: Mapping[str, str]) -> Check:
    """Which Valkey ``up`` would start."""
    try:
        return Check("valkey", Outcome.OK, str(find_valkey(environ)))
    except EmbeddedError as error:
        return _failed("valkey", error)


def check_home(home: Home) -> Check:
    """Whether the home can be written, or made."""
    path = _nearest(home.root)
    if not path.is_dir():
        return Check("home", Outcome.FAIL, f"{path} is a file", "Choose another --home.")
    if not os.access(path, os.W_OK | os.X_OK):
        return Check(
            "home",
            Outcome.FAIL,
            f"{path} can't be written by this user",
            "Choose another home with --home or AIPLATFORM_HOME.",
        )
    return Check("home", Outcome.OK, str(home.root) + ("" if home.root.exists() else " (new)"))


def check_data(home: Home, environ: Mapping[str, str]) -> Check:
    """Whether the data directory fits the PostgreSQL that would be started on it."""
    data = home.postgres / "data"
    try:
        account = server_account(data)
        if account is not None:
            # `up` opens the home itself to that user; what lies above is not its to change.
            check_reachable(_nearest(home.root.parent), account)
        if not data.exists():
            return Check("database", Outcome.OK, "not made yet; `aiplatform up` makes it")
        check_version(data, find_postgres(environ))
    except EmbeddedError as error:
        return _failed("database", error)
    return Check("database", Outcome.OK, f"{data}, runs as {account.name if account else 'you'}")


def check_disk(home: Home) -> Check:
    """Room on the home's file system."""
    path = _nearest(home.root)
    free = shutil.disk_usage(path).free
    text = f"{free / GIB:.1f} GiB free for {home.root}"
    if free >= DISK_WANTED:
        return Check("disk", Outcome.OK, text)
    return Check(
        "disk",
        Outcome.WARN,
        text,
        f"Free some space: models and checkpoints want {DISK_WANTED / GIB:.0f} GiB and more.",
    )


def check_memory() -> Check:
    """Memory of the machine, or of the container, where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    found = f"{total / GIB:.1f} GiB"
    if total >= MEMORY_WANTED:
        return Check("memory", Outcome.OK, found)
    return Check(
        "memory", Outcome.WARN, found, f"Fine-tuning wants {MEMORY_WANTED / GIB:.0f} GiB and more."
    )


def check_platform(home: Home) -> Check:
    """Whether a platform runs on the home, and how it is."""
    status = platform_status(home)
    if not status.running or status.state is None:
        if status.leftovers:
            return Check(
                "platform",
                Outcome.WARN,
                f"killed; still there: {', '.join(status.leftovers)}",
                f"`{home.command('up')}` recovers, `{home.command('down')}` ends what is left.",
            )
        return Check("platform", Outcome.OK, "not running")
    text = f"running at {status.state.url}, process {status.state.pid}"
    if status.health is not None and status.health.is_ok:
        return Check("platform", Outcome.OK, f"{text}, healthy")
    wanting = ", ".join(status.health.wanting) if status.health else "the API does not answer"
    return Check(
        "platform", Outcome.WARN, f"{text}; not ok: {wanting}", f"See the logs in {home.logs}."
    )


def check_role(home: Home, environ: Mapping[str, str]) -> Check:
    """Whether the role that runs the platform could rewrite the audit trail."""
    try:
        import psycopg  # noqa: PLC0415  (not in a bare install)
    except ImportError:
        return Check("role", Outcome.OK, "the server's parts are not installed")
    state = read_state(home)
    url = environ.get("AIPLATFORM_DATABASE_URL")
    if not url:
        if state is None or not state.supervisor_alive:
            return Check("role", Outcome.OK, "nothing runs; `up` uses two database roles")
        url = state.database_url
    url = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(AUDIT_POWERS).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return Check("role", Outcome.WARN, f"the database can't be asked: {reason}")
    assert row is not None
    name, powerful = row
    if powerful:
        return Check(
            "role",
            Outcome.WARN,
            f"the running role {name} could rewrite the audit trail",
            "Run `aiplatform db upgrade`, and let another role own the tables: "
            "AIPLATFORM_MIGRATION_DATABASE_URL, see Operations.",
        )
    return Check("role", Outcome.OK, f"{name} can't rewrite the audit trail")


def check_port(home: Home, host: str, port: int) -> Check:
    """Whether the API could listen."""
    state = platform_status(home).state
    if state is not None and state.port == port:
        return Check("port", Outcome.OK, f"{port}, used by this home's platform")
    try:
        claim_port(host, port)
    except EmbeddedError as error:
        return _failed("port", error)
    return Check("port", Outcome.OK, f"{port} on {host} is free")


def check_traces(environ: Mapping[str, str]) -> Check:
    """Whether requests and tasks are traced, and whether whoever collects the spans is there."""
    if not is_on(environ, "AIPLATFORM_TRACES"):
        return Check("traces", Outcome.OK, "off")
    if missing := missing_packages("otel"):
        return Check(
            "traces",
            Outcome.FAIL,
            f"on, but {', '.join(missing)} is missing, so API and workers do not start",
            "pip install 'aiplatform[otel]', or unset AIPLATFORM_TRACES",
        )
    address = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"
    )
    parts = urlsplit(address)
    try:
        place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        with socket.create_connection(place, timeout=COLLECTOR_SECONDS):
            return Check("traces", Outcome.OK, f"on, to {address}")
    except (OSError, ValueError) as error:
        return Check(
            "traces",
            Outcome.WARN,
            f"on, but {address} can't be reached: {error}",
            "Start a collector there, or name another with OTEL_EXPORTER_OTLP_ENDPOINT.",
        )


def check_scripts(environ: Mapping[str, str]) -> Check:
    """Return how this user, on this machine, can isolate scripts from each other."""
    command = [sys.executable, "-m", "aiplatform.runtime.script.isolation"]
    allowed = is_on(environ, "AIPLATFORM_SCRIPTS")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ISOLATION_SECONDS, check=True, cwd="/"
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        limited = Outcome.WARN if allowed else Outcome.OK
        return Check("scripts", limited, f"isolation could not be tried: {error}")
    return judge_isolation(found, environ, allowed=allowed)


def judge_isolation(
    found: Mapping[str, Any], environ: Mapping[str, str], *, allowed: bool
) -> Check:
    """Return what a trial of isolation means for scripts; ``allowed``: they are switched on."""
    state = "on" if allowed else "off"
    limited = Outcome.WARN if allowed else Outcome.OK
    if not found["isolated"]:
        text = f"{state}; this machine can't isolate them: {found['reason']}"
        if is_on(environ, "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION"):
            return Check(
                "scripts",
                limited,
                f"{text}; they run all the same and read each other's files",
                "Unset AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION, and run the worker as root.",
            )
        return Check(
            "scripts",
            limited,
            f"{text}; a worker like this refuses them",
            "Run the worker as root on Linux with the right to make namespaces (in a container: "
            "CAP_SYS_ADMIN), or allow it by AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true.",
        )
    if found["closed"] is not None and "default=" not in environ.get(
        "AIPLATFORM_SCRIPT_ENVIRONMENTS", ""
    ):
        return Check(
            "scripts",
            limited,
            f"{state}; isolated, but they can't run {sys.executable}: {found['closed']} is closed "
            "to other users",
            "Install AI Platform where every user may read it, such as below /opt, or name another "
            "environment: AIPLATFORM_SCRIPT_ENVIRONMENTS=default=/opt/envs/scripts.",
        )
    groups = found["groups"]
    names = {"memory": "memory", "pids": "processes", "kill": "ending"}
    bounded = [f"{names[name]} by cgroup v{groups[name]}" for name in names if name in groups]
    by_hand = [names[name] for name in ("memory", "pids") if name not in groups]
    text = "own user, file system, processes and shared memory"
    text += f"; {', '.join(bounded)}" if bounded else ""
    if by_hand:
        return Check(
            "scripts",
            limited,
            f"{state}; isolated: {text}; without cgroups for {' and '.join(by_hand)}",
            "Let the worker make cgroups (systemd: Delegate=yes). Without them, memory is "
            "measured once a second.",
        )
    return Check("scripts", Outcome.OK, f"{state}; isolated: {text}")


def is_on(environ: Mapping[str, str], name: str) -> bool:
    """Return True if a setting is switched on."""
    return environ.get(name, "").lower() in {"1", "on", "t", "true", "y", "yes"}


def check_hub(environ: Mapping[str, str]) -> Check:
    """Whether the model hub answers; models also come from files and packages."""
    address = hub_address(environ)
    try:
        answer = httpx.head(address, timeout=HUB_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        return _no_hub(str(error) or type(error).__name__, environ)
    return Check("hub", Outcome.OK, f"{address} answers ({answer.status_code})")


def hub_address(environ: Mapping[str, str]) -> str:
    """The hub that imports would use."""
    for name in ("AIPLATFORM_HUB_ENDPOINT", "HF_ENDPOINT"):
        if address := environ.get(name):
            return address
    if environ.get("AIPLATFORM_HUB") == "modelscope":
        return "https://www.modelscope.cn"
    return "https://huggingface.co"


def _no_hub(reason: str, environ: Mapping[str, str]) -> Check:
    return Check(
        "hub",
        Outcome.WARN,
        f"{hub_address(environ)} can't be reached: {reason}",
        "Set AIPLATFORM_HUB_ENDPOINT to a mirror such as https://hf-mirror.com, or import models "
        "from a directory, a GGUF file or a package (`aiplatform models import`).",
    )


def _nearest(path: Path) -> Path:
    """``path``, or the closest thing above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _failed(name: str, error: EmbeddedError) -> Check:
    return Check(name, Outcome.FAIL, error.message, error.remedy)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
