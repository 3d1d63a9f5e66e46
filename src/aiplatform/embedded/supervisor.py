"""The supervisor behind ``aiplatform up``: starts, watches and stops all parts of a platform."""

import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiplatform.embedded.binaries import find_valkey
from aiplatform.embedded.errors import (
    INTERRUPTED,
    EmbeddedError,
    HomeUnusableError,
    StartFailedError,
)
from aiplatform.embedded.health import Health, base_url, fetch_health
from aiplatform.embedded.home import Home, socket_directory
from aiplatform.embedded.leftovers import RUN_VARIABLE, end_leftovers
from aiplatform.embedded.logs import open_log
from aiplatform.embedded.ports import claim_port
from aiplatform.embedded.postgres import RUNTIME, Postgres
from aiplatform.embedded.process import identity
from aiplatform.embedded.process_manager import ProcessManager, child_environment
from aiplatform.embedded.service import Service
from aiplatform.embedded.signals import Signals, StopRequestedError
from aiplatform.embedded.state import Phase, State, already_running, remove_state, write_state
from aiplatform.embedded.upgrade_check import needs_upgrade, record_upgrade
from aiplatform.embedded.valkey import Valkey
from aiplatform.language import tr

Observe = Callable[[State], None]

DATA_SERVER_SECONDS = 300.0
"""Seconds to wait for PostgreSQL and Valkey, which may first have to replay a long log."""

HEALTH_INTERVAL = 10.0
"""Seconds between two checks of a healthy platform."""

OWN_SERVER_VARIABLES = (
    "AIPLATFORM_DATABASE_URL",
    "AIPLATFORM_BROKER_URL",
    "AIPLATFORM_STORAGE_URL",
)

logger = logging.getLogger("aiplatform.embedded")


def _aiplatform_command(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "aiplatform", name, *arguments)


@dataclass(frozen=True)
class Programs:
    """The command lines of the platform's own processes; tests replace them with smaller ones."""

    upgrade: tuple[str, ...] = field(default_factory=lambda: _aiplatform_command("db", "upgrade"))
    api: tuple[str, ...] = field(default_factory=lambda: _aiplatform_command("server"))
    worker: tuple[str, ...] = field(default_factory=lambda: _aiplatform_command("worker"))
    worker_stop_seconds: float = 45.0
    """Seconds for the worker to stop: 30 for tasks to save checkpoints, the rest for itself."""


@dataclass(frozen=True)
class Options:
    """The options of ``aiplatform up``."""

    home: Home
    host: str = "127.0.0.1"
    port: int = 8400
    ready_seconds: float = 180.0
    programs: Programs = field(default_factory=Programs)


class Supervisor:
    """One run of the platform in one home."""

    def __init__(self, options: Options, observe: Observe, environ: Mapping[str, str]) -> None:
        self._options = options
        self._home = options.home
        self._observe = observe
        self._environ = environ
        self._began = time.monotonic()

    def run(self) -> int:
        """Start everything, watch it until a stop is requested, stop it, and return the exit code.

        Raises:
            EmbeddedError: If the start failed; everything already started has been stopped again.
        """
        home = self._home
        home.prepare()
        lock = home.lock()
        if lock is None:
            raise already_running(home)
        try:
            with _log_to(home.logs / "supervisor.log"), Signals() as signals:
                end_leftovers(home)
                return self._run(signals)
        finally:
            os.close(lock)

    def _run(self, signals: Signals) -> int:
        port = claim_port(self._options.host, self._options.port)
        sockets = socket_directory(self._home)
        postgres = Postgres.locate(self._home, sockets, self._environ)
        valkey = Valkey(self._home, find_valkey(self._environ), sockets)
        valkey.prepare()
        state = self._state = self._initial_state(port, postgres, valkey)
        process_manager = ProcessManager(
            signals, self._home.logs, self._save, lambda: self._observe(state)
        )
        self._process_manager = process_manager
        self._save()
        reached_ready = False
        try:
            self._start(postgres, valkey)
            reached_ready = True
            self._watch()
        except StopRequestedError:
            logger.info("asked to stop")
        except EmbeddedError as error:
            logger.error("%s", error)  # noqa: TRY400  (an expected failure; no traceback needed)
            raise
        finally:
            state.phase = Phase.STOPPING
            self._step(tr("API and worker; running tasks write their checkpoints"))
            process_manager.stop(["api", "worker", "upgrade", "initdb"])
            self._step(tr("PostgreSQL and Valkey"))
            process_manager.stop(["postgres", "valkey"])
            remove_state(self._home)
            for directory in (postgres.socket_dir, valkey.socket.parent, sockets):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            logger.info("stopped")
        return 0 if reached_ready else INTERRUPTED

    def _start(self, postgres: Postgres, valkey: Valkey) -> None:
        process_manager, state = self._process_manager, self._state
        environment = self._child_environment()
        servers_environment = child_environment({"LC_ALL": "C", RUN_VARIABLE: state.run_id})
        process_manager.start(valkey.service(servers_environment))
        if postgres.is_fresh:
            self._step(tr("creating the database"))
            process_manager.run(postgres.initdb(servers_environment))
            postgres.finish_data_directory()
        self._step(tr("starting PostgreSQL and Valkey"))
        process_manager.start(postgres.service(servers_environment))
        if not process_manager.wait_until(
            lambda: process_manager.running("postgres"), DATA_SERVER_SECONDS
        ):
            raise self._too_slow_error("PostgreSQL", "postgres")
        postgres.ensure_database()
        root = self._home.root
        programs = self._options.programs
        if needs_upgrade(self._home, postgres.revision()):
            self._step(tr("migrating"))
            # Only the migrations get the role that owns the tables.
            owner = {"AIPLATFORM_MIGRATION_DATABASE_URL": postgres.owner_url}
            process_manager.run(
                Service(
                    name="upgrade",
                    command=programs.upgrade,
                    cwd=root,
                    env=environment | owner | {"AIPLATFORM_RUNTIME_ROLE": RUNTIME},
                )
            )
            record_upgrade(self._home, postgres.revision())
        if not process_manager.wait_until(
            lambda: process_manager.running("valkey"), DATA_SERVER_SECONDS
        ):
            raise self._too_slow_error("Valkey", "valkey")
        self._step(tr("starting API and worker"))
        process_manager.start(Service(name="api", command=programs.api, cwd=root, env=environment))
        process_manager.start(
            Service(
                name="worker",
                command=programs.worker,
                cwd=root,
                env=environment,
                stop_steps=(
                    (signal.SIGTERM, programs.worker_stop_seconds),
                    (signal.SIGKILL, 5.0),
                ),
                # If the supervisor is killed, the database stops, too, so the worker could not
                # record a clean stop. Its launchers stop their tasks when the worker is gone, and
                # the tasks later continue from their checkpoints.
                death_signal=signal.SIGKILL,
            )
        )
        if not process_manager.wait_until(self._is_healthy, self._options.ready_seconds):
            raise self._not_ready_error()
        process_manager.starting = False
        state.phase, state.step = Phase.READY, ""
        state.ready_at = datetime.now(UTC).isoformat(timespec="seconds")
        state.ready_seconds = round(time.monotonic() - self._began, 2)
        logger.info("ready after %.1f s at %s", state.ready_seconds, state.url)
        self._save()

    def _watch(self) -> None:
        """Watch the children and the platform's health until a stop is requested."""
        state, process_manager = self._state, self._process_manager
        next_check = time.monotonic() + HEALTH_INTERVAL
        while True:
            process_manager.tick(1.0)
            if time.monotonic() < next_check:
                continue
            if not self._home.lock_file.exists():
                raise HomeUnusableError(
                    tr("{home} was removed while the platform ran in it.", home=state.home)
                )
            health = fetch_health(state.host, state.port)
            phase = Phase.READY if health is not None and health.is_ok else Phase.DEGRADED
            step = "" if phase is Phase.READY else _describe_failed_parts(health)
            if (phase, step) != (state.phase, state.step):
                logger.info("%s %s", phase, step)
                state.phase, state.step = phase, step
                self._save()
            # On a busy machine, responses are slow. The state shows this, but nothing is restarted.
            next_check = time.monotonic() + (HEALTH_INTERVAL if phase is Phase.READY else 1.0)

    def _is_healthy(self) -> bool:
        health = fetch_health(self._state.host, self._state.port)
        if health is not None and not health.is_ok:
            self._step(
                tr("waiting for {parts}", parts=", ".join(health.failed_parts) or health.status)
            )
        return (
            health is not None and health.is_ok and self._process_manager.running("api", "worker")
        )

    def _initial_state(self, port: int, postgres: Postgres, valkey: Valkey) -> State:
        host = self._options.host
        ignored = [name for name in OWN_SERVER_VARIABLES if self._environ.get(name)]
        warnings = [
            tr(
                "{name} is set, but `up` uses its own servers; `aiplatform server` and "
                "`aiplatform worker` use that one.",
                name=name,
            )
            for name in ignored
        ]
        return State(
            run_id=secrets.token_hex(8),
            pid=os.getpid(),
            identity=identity(os.getpid()),
            home=str(self._home.root),
            host=host,
            port=port,
            url=base_url(host, port),
            database_url=postgres.url,
            migration_database_url=postgres.owner_url,
            broker_url=valkey.url,
            storage_url=self._home.blobs.as_uri(),
            socket_dir=str(postgres.sockets),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            fresh=postgres.is_fresh,
            warnings=warnings,
        )

    def _child_environment(self) -> dict[str, str]:
        state = self._state
        return child_environment(
            {
                "AIPLATFORM_HOME": state.home,
                "AIPLATFORM_HOST": state.host,
                "AIPLATFORM_PORT": str(state.port),
                "AIPLATFORM_DATABASE_URL": state.database_url,
                "AIPLATFORM_BROKER_URL": state.broker_url,
                "AIPLATFORM_STORAGE_URL": state.storage_url,
                RUN_VARIABLE: state.run_id,
                "PYTHONUNBUFFERED": "1",
            }
        )

    def _step(self, text: str) -> None:
        if text != self._state.step:
            self._state.step = text
            logger.info("%s", text)
            self._save()

    def _save(self) -> None:
        """Write the state file and show the state. A full disk must not stop the platform."""
        self._state.services = self._process_manager.records
        try:
            write_state(self._home, self._state)
        except OSError as error:
            logger.warning("can't write %s: %s", self._home.state_file, error.strerror)
        self._observe(self._state)

    def _too_slow_error(self, title: str, name: str) -> StartFailedError:
        return StartFailedError(
            tr(
                "{title} did not become ready within {seconds:.0f} seconds.",
                title=title,
                seconds=DATA_SERVER_SECONDS,
            ),
            tr("See {log}.", log=self._home.logs / f"{name}.log"),
        )

    def _not_ready_error(self) -> StartFailedError:
        health = fetch_health(self._state.host, self._state.port)
        return StartFailedError(
            tr(
                "The platform was not ready within {seconds:.0f} seconds: {health}.",
                seconds=self._options.ready_seconds,
                health=_describe_failed_parts(health),
            ),
            tr("See api.log and worker.log in {logs}.", logs=self._home.logs),
        )


def _describe_failed_parts(health: Health | None) -> str:
    if health is None:
        return tr("the API does not answer")
    return tr("not ok: {parts}", parts=", ".join(health.failed_parts) or health.status)


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the log messages of the supervisor to ``path`` while the context is active."""
    open_log(path).close()  # renames the log if it is too large
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
