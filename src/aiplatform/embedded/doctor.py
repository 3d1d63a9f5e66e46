"""Checks for ``aiplatform doctor``: they find problems of this machine and suggest remedies."""

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
from aiplatform.embedded.data_directory import check_reachable, check_version, server_account
from aiplatform.embedded.errors import EmbeddedError
from aiplatform.embedded.home import Home
from aiplatform.embedded.ports import claim_port
from aiplatform.embedded.state import read_state
from aiplatform.language import tr

OLDEST_PYTHON = (3, 11)
HUB_SECONDS = 2.0
COMMAND_SECONDS = 5.0
COLLECTOR_SECONDS = 1.0
ISOLATION_SECONDS = 60.0
AUDIT_RIGHTS = """
SELECT current_user, EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('public.audit_logs')
    AND (pg_has_role(relowner, 'MEMBER') OR has_table_privilege(oid, 'UPDATE')
         OR has_table_privilege(oid, 'DELETE') OR has_table_privilege(oid, 'TRUNCATE')))
    -- A role that may create temporary tables could hide audit_logs behind one of them.
    OR has_database_privilege(current_database(), 'TEMPORARY')
"""
GIB = 1024**3
RECOMMENDED_DISK_BYTES = 5 * GIB
"""Free disk space, in bytes, for a small base model, a tuned copy of it and a few checkpoints."""

RECOMMENDED_MEMORY_BYTES = 4 * GIB
"""Memory, in bytes, for API, worker, databases and tuning a model with 135M parameters."""


class Outcome(StrEnum):
    """The result of a check: ``warn`` limits the available features, ``fail`` prevents ``up``."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """The result of one check of the machine, with a remedy if something is wrong."""

    name: str
    outcome: Outcome
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return this check as plain data, for ``--json``."""
        return asdict(self)


def examine(
    home: Home, host: str, port: int, environ: Mapping[str, str] = os.environ
) -> list[Check]:
    """Run all checks and return their results, without changing anything on the machine."""
    checks: list[Callable[[], Check]] = [
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
    hub = _CheckInThread(lambda: check_hub(environ), HUB_SECONDS + 0.5)
    return [
        *(check() for check in checks),
        hub.result() or _hub_unreachable(tr("no answer"), environ),
    ]


class _CheckInThread:
    """A check that runs in a thread and has a time limit, because a DNS lookup has no timeout."""

    def __init__(self, check: Callable[[], Check], seconds: float) -> None:
        self._found: list[Check] = []
        self._thread = threading.Thread(target=lambda: self._found.append(check()), daemon=True)
        self._thread.start()
        self._seconds = seconds

    def result(self) -> Check | None:
        self._thread.join(self._seconds)
        return self._found[0] if self._found else None


def check_python() -> Check:
    """Check the Python version and the operating system."""
    text = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", Outcome.FAIL, text, tr("Install Python 3.11 or newer."))
    if os.name != "posix":
        return Check(
            "python",
            Outcome.FAIL,
            text,
            tr("`aiplatform up` needs Linux or macOS; use WSL on Windows."),
        )
    return Check("python", Outcome.OK, f"{text}, {sys.prefix}")


def check_extra(extra: str, if_missing: Outcome) -> Check:
    """Check that the packages of an extra are installed, without importing them."""
    missing = missing_packages(extra)
    if not missing:
        return Check(f"extra {extra}", Outcome.OK, tr("installed"))
    what = {
        "server": tr("`aiplatform up`, `server` and `worker` need it"),
        "llm": tr("a worker can't train, evaluate or serve without it"),
    }[extra]
    return Check(
        f"extra {extra}",
        if_missing,
        tr("missing: {packages} ({what})", packages=", ".join(missing), what=what),
        f"pip install 'aiplatform[{extra}]'",
    )


def check_gpu() -> Check:
    """Check which GPUs nvidia-smi lists, and whether the installed torch can use them."""
    torch = _version("torch")
    built = f"torch {torch}" if torch else tr("no torch")
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
                tr("nvidia-smi is there but fails"),
                tr("Run nvidia-smi and repair the driver; until then work runs on the CPU."),
            )
        names = "; ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
        if torch and "+cpu" in torch:
            return Check(
                "gpu",
                Outcome.WARN,
                tr("{names}, but {built} is the build for CPUs", names=names, built=built),
                tr("Install torch from the index that https://pytorch.org/get-started names."),
            )
        return Check("gpu", Outcome.OK, f"{names}; {built}")
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Check("gpu", Outcome.OK, tr("Apple GPU; {built}", built=built))
    return Check(
        "gpu",
        Outcome.OK,
        tr("none; work runs on {cores} CPU cores; {built}", cores=os.cpu_count(), built=built),
    )


def check_postgres(environ: Mapping[str, str]) -> Check:
    """Check that ``up`` would find a PostgreSQL server, and report which one."""
    try:
        found = find_postgres(environ)
    except EmbeddedError as error:
        return _failed("postgresql", error)
    return Check(
        "postgresql",
        Outcome.OK,
        tr("{version} in {directory}", version=found.version, directory=found.directory),
    )


def check_valkey(environ: Mapping[str, str]) -> Check:
    """Check that ``up`` would find a Valkey server, and report which one."""
    try:
        return Check("valkey", Outcome.OK, str(find_valkey(environ)))
    except EmbeddedError as error:
        return _failed("valkey", error)


def check_home(home: Home) -> Check:
    """Check that the home can be written to, or created."""
    path = _nearest_existing(home.root)
    if not path.is_dir():
        return Check(
            "home", Outcome.FAIL, tr("{path} is a file", path=path), tr("Choose another --home.")
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return Check(
            "home",
            Outcome.FAIL,
            tr("{path} can't be written by this user", path=path),
            tr("Choose another home with --home or AIPLATFORM_HOME."),
        )
    return Check(
        "home",
        Outcome.OK,
        str(home.root) if home.root.exists() else tr("{home} (new)", home=home.root),
    )


def check_data(home: Home, environ: Mapping[str, str]) -> Check:
    """Check that the PostgreSQL that would be started can use the data directory."""
    data = home.postgres / "data"
    try:
        account = server_account(data)
        if account is not None:
            # `up` itself opens the home to that user, but never changes the directories above it.
            check_reachable(_nearest_existing(home.root.parent), account)
        if not data.exists():
            return Check("database", Outcome.OK, tr("not created yet; `aiplatform up` creates it"))
        check_version(data, find_postgres(environ))
    except EmbeddedError as error:
        return _failed("database", error)
    return Check(
        "database",
        Outcome.OK,
        tr("{data}, runs as {user}", data=data, user=account.name if account else tr("you")),
    )


def check_disk(home: Home) -> Check:
    """Check the free space on the home's file system."""
    path = _nearest_existing(home.root)
    free = shutil.disk_usage(path).free
    text = tr("{free:.1f} GiB free for {home}", free=free / GIB, home=home.root)
    if free >= RECOMMENDED_DISK_BYTES:
        return Check("disk", Outcome.OK, text)
    return Check(
        "disk",
        Outcome.WARN,
        text,
        tr(
            "Free some space: models and checkpoints need at least {size:.0f} GiB.",
            size=RECOMMENDED_DISK_BYTES / GIB,
        ),
    )


def check_memory() -> Check:
    """Check the memory of the machine, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    found = f"{total / GIB:.1f} GiB"
    if total >= RECOMMENDED_MEMORY_BYTES:
        return Check("memory", Outcome.OK, found)
    return Check(
        "memory",
        Outcome.WARN,
        found,
        tr("Fine-tuning needs at least {size:.0f} GiB.", size=RECOMMENDED_MEMORY_BYTES / GIB),
    )


def check_platform(home: Home) -> Check:
    """Check whether a platform is running in the home, and its health."""
    status = platform_status(home)
    if not status.running or status.state is None:
        if status.leftovers:
            return Check(
                "platform",
                Outcome.WARN,
                tr("killed; still there: {leftovers}", leftovers=", ".join(status.leftovers)),
                tr(
                    "`{up}` starts the platform again, `{down}` ends the remaining processes.",
                    up=home.command("up"),
                    down=home.command("down"),
                ),
            )
        return Check("platform", Outcome.OK, tr("not running"))
    text = tr("running at {url}, process {pid}", url=status.state.url, pid=status.state.pid)
    if status.health is not None and status.health.is_ok:
        return Check("platform", Outcome.OK, tr("{text}, healthy", text=text))
    failed = (
        ", ".join(status.health.failed_parts) if status.health else tr("the API does not answer")
    )
    return Check(
        "platform",
        Outcome.WARN,
        tr("{text}; not ok: {parts}", text=text, parts=failed),
        tr("See the logs in {logs}.", logs=home.logs),
    )


def check_role(home: Home, environ: Mapping[str, str]) -> Check:
    """Check that the database role of the running platform can't rewrite the audit trail."""
    try:
        import psycopg  # noqa: PLC0415  (not in a bare install)
    except ImportError:
        return Check("role", Outcome.OK, tr("the server components are not installed"))
    state = read_state(home)
    url = environ.get("AIPLATFORM_DATABASE_URL")
    if not url:
        if state is None or not state.supervisor_alive:
            return Check(
                "role", Outcome.OK, tr("the platform is not running; `up` uses two database roles")
            )
        url = state.database_url
    url = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(AUDIT_RIGHTS).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return Check(
            "role", Outcome.WARN, tr("the database can't be queried: {reason}", reason=reason)
        )
    assert row is not None
    name, powerful = row
    if powerful:
        return Check(
            "role",
            Outcome.WARN,
            tr("the running role {name} could rewrite the audit trail", name=name),
            tr(
                "Run `aiplatform db upgrade`, and let another role own the tables: "
                "AIPLATFORM_MIGRATION_DATABASE_URL, see Operations."
            ),
        )
    return Check("role", Outcome.OK, tr("{name} can't rewrite the audit trail", name=name))


def check_port(home: Home, host: str, port: int) -> Check:
    """Check that the API could listen on ``host`` and ``port``."""
    state = platform_status(home).state
    if state is not None and state.port == port:
        return Check("port", Outcome.OK, tr("{port}, used by this home's platform", port=port))
    try:
        claim_port(host, port)
    except EmbeddedError as error:
        return _failed("port", error)
    return Check("port", Outcome.OK, tr("{port} on {host} is free", port=port, host=host))


def check_traces(environ: Mapping[str, str]) -> Check:
    """Check whether requests and tasks are traced, and whether the collector can be reached."""
    if not is_on(environ, "AIPLATFORM_TRACES"):
        return Check("traces", Outcome.OK, tr("off"))
    if missing := missing_packages("otel"):
        return Check(
            "traces",
            Outcome.FAIL,
            tr(
                "on, but {missing} is missing, so API and workers do not start",
                missing=", ".join(missing),
            ),
            tr("pip install 'aiplatform[otel]', or unset AIPLATFORM_TRACES"),
        )
    address = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"
    )
    parts = urlsplit(address)
    try:
        place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        with socket.create_connection(place, timeout=COLLECTOR_SECONDS):
            return Check("traces", Outcome.OK, tr("on, to {address}", address=address))
    except (OSError, ValueError) as error:
        return Check(
            "traces",
            Outcome.WARN,
            tr("on, but {address} can't be reached: {error}", address=address, error=error),
            tr("Start a collector there, or name another with OTEL_EXPORTER_OTLP_ENDPOINT."),
        )


def check_scripts(environ: Mapping[str, str]) -> Check:
    """Check to what extent this user can isolate scripts from each other on this machine."""
    command = [sys.executable, "-m", "aiplatform.runtime.script.isolation"]
    allowed = is_on(environ, "AIPLATFORM_SCRIPTS")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ISOLATION_SECONDS, check=True, cwd="/"
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        limited = Outcome.WARN if allowed else Outcome.OK
        return Check("scripts", limited, tr("isolation could not be tested: {error}", error=error))
    return check_isolation(found, environ, allowed=allowed)


def check_isolation(
    found: Mapping[str, Any], environ: Mapping[str, str], *, allowed: bool
) -> Check:
    """Return the check result that follows from a trial of script isolation.

    Args:
        found: Result of :mod:`aiplatform.runtime.script.isolation`.
        environ: Environment variables of the worker.
        allowed: True if scripts are switched on.
    """
    state = tr("on") if allowed else tr("off")
    limited = Outcome.WARN if allowed else Outcome.OK
    if not found["isolated"]:
        text = tr(
            "{state}; this machine can't isolate them: {reason}",
            state=state,
            reason=found["reason"],
        )
        if is_on(environ, "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION"):
            return Check(
                "scripts",
                limited,
                tr("{text}; they run anyway, and can read each other's files", text=text),
                tr("Unset AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION, and run the worker as root."),
            )
        return Check(
            "scripts",
            limited,
            tr("{text}; a worker like this refuses them", text=text),
            tr(
                "Run the worker as root on Linux with the right to make namespaces (in a "
                "container: "
                "CAP_SYS_ADMIN), or allow it by AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true."
            ),
        )
    if found["closed"] is not None and "default=" not in environ.get(
        "AIPLATFORM_SCRIPT_ENVIRONMENTS", ""
    ):
        return Check(
            "scripts",
            limited,
            tr(
                "{state}; isolated, but they can't run {executable}: {closed} is closed to other "
                "users",
                state=state,
                executable=sys.executable,
                closed=found["closed"],
            ),
            tr(
                "Install AI Platform where every user may read it, such as below /opt, or name "
                "another "
                "environment: AIPLATFORM_SCRIPT_ENVIRONMENTS=default=/opt/envs/scripts."
            ),
        )
    groups = found["groups"]
    names = {"memory": tr("memory"), "pids": tr("processes"), "kill": tr("ending")}
    bounded = [
        tr("{what} by cgroup v{version}", what=names[name], version=groups[name])
        for name in names
        if name in groups
    ]
    by_hand = [names[name] for name in ("memory", "pids") if name not in groups]
    text = tr("own user, file system, processes and shared memory")
    text += f"; {', '.join(bounded)}" if bounded else ""
    if by_hand:
        return Check(
            "scripts",
            limited,
            tr(
                "{state}; isolated: {text}; without cgroups for {by_hand}",
                state=state,
                text=text,
                by_hand=tr(" and ").join(by_hand),
            ),
            tr(
                "Let the worker make cgroups (systemd: Delegate=yes). Without them, memory is "
                "measured once a second."
            ),
        )
    return Check("scripts", Outcome.OK, tr("{state}; isolated: {text}", state=state, text=text))


def is_on(environ: Mapping[str, str], name: str) -> bool:
    """Return True if a setting is switched on."""
    return environ.get(name, "").lower() in {"1", "on", "t", "true", "y", "yes"}


def check_hub(environ: Mapping[str, str]) -> Check:
    """Check that the model hub responds; without it, models come from files and packages."""
    address = hub_address(environ)
    try:
        answer = httpx.head(address, timeout=HUB_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        return _hub_unreachable(str(error) or type(error).__name__, environ)
    return Check(
        "hub",
        Outcome.OK,
        tr("{address} answers ({status_code})", address=address, status_code=answer.status_code),
    )


def hub_address(environ: Mapping[str, str]) -> str:
    """Return the URL of the hub that imports would use."""
    for name in ("AIPLATFORM_HUB_ENDPOINT", "HF_ENDPOINT"):
        if address := environ.get(name):
            return address
    if environ.get("AIPLATFORM_HUB") == "modelscope":
        return "https://www.modelscope.cn"
    return "https://huggingface.co"


def _hub_unreachable(reason: str, environ: Mapping[str, str]) -> Check:
    return Check(
        "hub",
        Outcome.WARN,
        tr("{address} can't be reached: {reason}", address=hub_address(environ), reason=reason),
        tr(
            "Set AIPLATFORM_HUB_ENDPOINT to a mirror such as https://hf-mirror.com, or import "
            "models "
            "from a directory, a GGUF file or a package (`aiplatform models import`)."
        ),
    )


def _nearest_existing(path: Path) -> Path:
    """Return ``path`` or, if it doesn't exist, the nearest directory above it that does."""
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
