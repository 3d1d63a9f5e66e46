"""A platform whose workers run as if on several machines. Each part can be made to fail."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import psycopg

from aiplatform.embedded.binaries import find_postgres, find_valkey, runnable_by
from aiplatform.embedded.data_directory import server_account
from aiplatform.embedded.process import Account, signal_group, spawn
from tests.faults.network import Network
from tests.servers import EXTENSIONS, OWNER, RUNTIME

PASSWORD = "a long enough passphrase"
LEASE, DEADLINE, RENEW, REAPER_SECONDS = 6.0, 4.0, 1.0, 0.5
"""Intervals in seconds: the defaults, scaled down for tasks that take a few seconds."""

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Debian's libfaketime, from the package `faketime`, which can set a process's clock."""

ROOT = Path(__file__).parents[2]


class Program:
    """A process that :meth:`keep_running` restarts after it has exited."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        directory: Path,
        *,
        account: Account | None = None,
        death_signal: int = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.command = command
        self.env = env
        self.directory = directory
        self.account = account
        self.death_signal = death_signal
        self.process: subprocess.Popen[bytes] | None = None
        self.down_until = 0.0
        self.ended_by_itself = 0

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        if self.process is None or self.process.poll() is not None:
            return None
        return self.process.pid

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = spawn(
                self.command,
                env=self.env,
                log=output,
                cwd=self.directory,
                account=self.account,
                death_signal=self.death_signal,
            )

    def kill(self, down_for: float = 0.0) -> None:
        """Kill only this process, not its children; keep it down for ``down_for`` seconds."""
        self.down_until = time.monotonic() + down_for
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def keep_running(self) -> None:
        """Restart the process if it has exited, as a service manager does."""
        if self.process is not None and self.process.poll() is not None:
            self.ended_by_itself += 1
            self.process = None
            self.down_until = time.monotonic() + 0.5
        if self.process is None and time.monotonic() >= self.down_until:
            self.start()

    def end(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        signal_group(self.process.pid, signal.SIGKILL)


class Site:
    """PostgreSQL, Valkey, one API and several workers, each worker with its own network."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.directory = directory
        self.journal = directory / "journal"
        self.journal.mkdir()
        self.clock = directory / "clock"
        self.set_clock(0)
        self.fakes_time = FAKETIME.exists()
        self.postgres = self._postgres()
        self.valkey = self._valkey()
        self.port = free_port()
        self.networks: dict[str, Network] = {}
        self.frozen: dict[str, float] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []
        self.api = self._program("server", self.database_url(RUNTIME))
        self.workers: list[Program] = []
        for number in range(workers):
            name = f"worker-{number}"
            network = Network(self.sockets / ".s.PGSQL.5432")
            self.networks[name] = network
            url = f"postgresql://{RUNTIME}@127.0.0.1:{network.port}/platform?gssencmode=disable"
            self.workers.append(self._program("worker", url, name))

    @property
    def programs(self) -> list[Program]:
        return [self.postgres, self.valkey, self.api, *self.workers]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def database_url(self, role: str, database: str = "platform") -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets), safe='/')}"

    def set_clock(self, offset: int) -> None:
        """Set the database, API and worker clocks to the real time plus ``offset`` seconds."""
        # The file is replaced, so that no process reads an incomplete one.
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"{offset:+d}s\n")
        fresh.chmod(0o644)
        fresh.replace(self.clock)

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        self._wait_for_database()
        self._migrate()
        for program in (self.api, *self.workers):
            program.start()
        self.wait_until_healthy(60)

    def maintain(self) -> None:
        """Restart exited programs, resume workers whose freeze has expired, and run due actions."""
        for name, until in list(self.frozen.items()):
            if time.monotonic() >= until:
                self.thaw(name)
        now = time.monotonic()
        for due, action in [item for item in self._due if item[0] <= now]:
            self._due.remove((due, action))
            action()
        for program in self.programs:
            if program.name not in self.frozen:
                program.keep_running()

    def schedule(self, seconds: float, action: Callable[[], None]) -> None:
        """Make :meth:`maintain` call ``action`` after ``seconds``."""
        self._due.append((time.monotonic() + seconds, action))

    def freeze(self, worker: Program, seconds: float) -> None:
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)
        self.frozen[worker.name] = time.monotonic() + seconds

    def thaw(self, name: str) -> None:
        self.frozen.pop(name)
        worker = next(worker for worker in self.workers if worker.name == name)
        if worker.process is not None:
            worker.process.send_signal(signal.SIGCONT)

    def heal(self) -> None:
        """End all faults, so that everything works again."""
        for network in self.networks.values():
            network.heal()
        self.set_clock(0)
        for program in self.programs:
            program.down_until = 0.0
        for name in list(self.frozen):
            self.thaw(name)

    def close(self) -> None:
        for program in [*self.workers, self.api]:
            program.end()
        for network in self.networks.values():
            network.close()
        for program in (self.valkey, self.postgres):
            program.end()

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a query on the database and return its rows.

        Raises:
            psycopg.Error: The query fails or the database is down.
        """
        url = self.database_url("postgres")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            connection.execute("SET statement_timeout = '20s'")
            return connection.execute(statement, parameters).fetchall()

    def children(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """Return the running launchers, each with the child process that runs its task."""
        found = []
        for worker in self.workers:
            if worker.pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                for launcher in psutil.Process(worker.pid).children():
                    # The child is forked before the guardian.
                    family = sorted(launcher.children(), key=lambda p: (p.create_time(), p.pid))
                    if family:
                        found.append((launcher, family[0]))
        return found

    def wait_until_healthy(self, seconds: float) -> None:
        """Wait until the API reports the database, broker and a worker as healthy."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.maintain()
            with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
                answer = httpx.get(f"{self.url}/api/v1/health/details", timeout=5)
                if answer.json()["status"] == "ok":
                    return
            time.sleep(0.2)
        tails = [f"{p.name}: {_tail(p.log)}" for p in (self.api, *self.workers)]
        raise RuntimeError("the platform did not come up\n" + "\n".join(tails))

    def _faketime_variables(self) -> dict[str, str]:
        if not self.fakes_time:
            return {}
        return {
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "LD_PRELOAD": str(FAKETIME),
        }

    def _postgres(self) -> Program:
        data = self.directory / "data"
        self.sockets = self.directory / "sockets"
        account = server_account(data)
        binaries = runnable_by(find_postgres(), account, self.directory / "dist")
        for path in (data, self.sockets):
            path.mkdir(mode=0o700)
            if account is not None:
                os.chown(path, account.uid, account.gid)
        who: dict[str, Any] = {}
        if account is not None:
            who = {"user": account.uid, "group": account.gid, "extra_groups": []}
        subprocess.run(
            [str(binaries.initdb), f"--pgdata={data}", "--username=postgres", "--auth=trust",
             "--encoding=UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.directory, env={"LC_ALL": "C"}, **who,
        )  # fmt: skip
        share = self.directory / "share"
        shutil.copytree(EXTENSIONS, share / "extension")
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "extension_control_path": f"$system:{share}",
            # Only processes are killed, not the machine, so data in the kernel's cache is safe.
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        if binaries.major < 18:
            del options["extension_control_path"]
        command = [str(binaries.postgres), "-D", str(data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Program(
            "postgres",
            command,
            {"LC_ALL": "C", **self._faketime_variables()},
            self.directory,
            account=account,
            death_signal=signal.SIGQUIT,
        )

    def _valkey(self) -> Program:
        directory = self.directory / "valkey"
        directory.mkdir()
        self.broker = directory / "valkey.sock"
        command = [
            str(find_valkey()), "--port", "0", "--unixsocket", str(self.broker),
            "--dir", str(directory), "--save", "", "--appendonly", "yes",
        ]  # fmt: skip
        return Program("valkey", command, {}, self.directory)

    def _program(self, program: str, database_url: str, name: str = "server") -> Program:
        home = self.directory / name
        home.mkdir()
        env = {
            "AIPLATFORM_ADMIN_PASSWORD": PASSWORD,
            "AIPLATFORM_BROKER_URL": f"redis+socket://{quote(str(self.broker))}?virtual_host=0",
            "AIPLATFORM_CHILD_DEADLINE_SECONDS": str(DEADLINE),
            "AIPLATFORM_DATABASE_URL": database_url,
            "AIPLATFORM_HOME": str(home),
            "AIPLATFORM_LEASE_SECONDS": str(LEASE),
            "AIPLATFORM_PORT": str(self.port),
            "AIPLATFORM_RENEW_SECONDS": str(RENEW),
            "AIPLATFORM_STORAGE_URL": (self.directory / "blobs").as_uri(),
            "AIPLATFORM_REAPER_SECONDS": str(REAPER_SECONDS),
            "AIPLATFORM_WARM_RUNTIME": "off",  # the tasks here are not of a kind that uses spares
            "AIPLATFORM_WORKER_CPUS": "6",
            "AIPLATFORM_WORKER_NAME": name,
            "AIPLATFORM_WORKER_THREADS": "12",
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            **{f"AIPLATFORM_RATE_LIMIT_{n}": "off" for n in ("LOGIN", "ANONYMOUS", "NORMAL")},
            **self._faketime_variables(),
        }
        if program == "worker":
            # Shorter than a lease, so that a connection over a cut network is retried in time.
            env["PGCONNECT_TIMEOUT"] = "2"
        return Program(name, [sys.executable, "-m", "tests.faults.program", program], env, home)

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.database_url("postgres", "postgres")).close()
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise RuntimeError(_tail(self.postgres.log)) from None
                time.sleep(0.05)
            else:
                return

    def _migrate(self) -> None:
        with psycopg.connect(
            self.database_url("postgres", "postgres"), autocommit=True
        ) as connection:
            for role in (OWNER, RUNTIME):
                connection.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER")
            connection.execute(f"GRANT {RUNTIME} TO {OWNER}")
            connection.execute(f"CREATE DATABASE platform OWNER {OWNER}")
        env = {**self.api.env, "AIPLATFORM_MIGRATION_DATABASE_URL": self.database_url(OWNER)}
        command = [sys.executable, "-m", "aiplatform", "db", "upgrade"]
        subprocess.run(command, env=env, check=True, timeout=120, stdout=subprocess.DEVNULL)


@contextmanager
def running_site(workers: int, *, keep: bool = False) -> Iterator[Site]:
    """Yield a new running site and remove it afterwards; with ``keep``, keep its directory."""
    directory = Path(tempfile.mkdtemp(prefix="aip-faults-"))
    directory.chmod(0o755)
    site = Site(directory, workers)
    try:
        site.start()
        yield site
    finally:
        site.close()
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(path: Path) -> str:
    return path.read_text("utf-8", "replace")[-3000:] if path.exists() else "(no log)"
