"""Functions that inject faults, by name.

Each returns a description of what it broke, or None if it broke nothing.
"""

import contextlib
import os
import random
import signal
import socket
from collections.abc import Callable

import psutil

from tests.faults.site import DEADLINE, LEASE, Program, Site

Fault = Callable[[Site, random.Random], str | None]


def _some_worker(site: Site, choose: random.Random) -> Program | None:
    able = [w for w in site.workers if w.pid is not None and w.name not in site.frozen]
    return choose.choice(able) if able else None


def kill_child(site: Site, choose: random.Random) -> str | None:
    """Kill the process that runs a task. The task fails, because a crash counts as its error."""
    return _kill(site, choose, lambda launcher, child: child)


def kill_launcher(site: Site, choose: random.Random) -> str | None:
    """Kill the launcher of a task; the launcher's guardian must then kill the child process."""
    return _kill(site, choose, lambda launcher, child: launcher)


def _kill(
    site: Site,
    choose: random.Random,
    which: Callable[[psutil.Process, psutil.Process], psutil.Process],
) -> str | None:
    running = site.children()
    if not running:
        return None
    victim = which(*choose.choice(running))
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return None
    return str(victim.pid)


def kill_worker(site: Site, choose: random.Random) -> str | None:
    """Kill a worker. It restarts immediately, or so late that others have claimed its tasks."""
    worker = _some_worker(site, choose)
    if worker is None:
        return None
    worker.kill(down_for=choose.choice([0.0, 0.0, 2.0, LEASE + 3]))
    return worker.name


def freeze_worker(site: Site, choose: random.Random) -> str | None:
    """Freeze a worker, either briefly or until its leases have expired."""
    worker = _some_worker(site, choose)
    if worker is None or len(site.frozen) + 1 >= len(site.workers):
        return None
    seconds = choose.choice([1.0, DEADLINE + 1, LEASE + 2, LEASE + 4])
    site.freeze(worker, seconds)
    return f"{worker.name} for {seconds:.0f} s"


def cut_network(site: Site, choose: random.Random) -> str | None:
    """Reset or stall one worker's connections to the database."""
    name = choose.choice([worker.name for worker in site.workers])
    network = site.networks[name]
    seconds = choose.choice([1.0, DEADLINE + 1, LEASE + 3])
    silent = choose.random() < 0.5
    if silent:
        network.stall()
    else:
        network.cut()
    site.schedule(seconds, network.heal)
    return f"{name} {'silently ' if silent else ''}for {seconds:.0f} s"


def kill_api(site: Site, choose: random.Random) -> str | None:
    site.api.kill(down_for=choose.choice([0.0, 1.5]))
    return "it"


def kill_broker(site: Site, choose: random.Random) -> str | None:
    site.valkey.kill(down_for=choose.choice([0.0, 2.0]))
    return "it"


def flush_broker(site: Site, choose: random.Random) -> str | None:
    """Delete all of the broker's messages."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(site.broker))
            connection.sendall(b"FLUSHALL\r\n")
            return "it" if connection.recv(16).startswith(b"+OK") else None
    except OSError:
        return None


def kill_postgres(site: Site, choose: random.Random) -> str | None:
    """Kill all PostgreSQL processes, or only one, which makes PostgreSQL restart the others."""
    pid = site.postgres.pid
    if pid is None:
        return None
    try:
        backends = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return None
    if choose.random() < 0.5:
        for process in backends:
            _kill_quietly(process.pid)
        site.postgres.kill(down_for=choose.choice([0.0, 2.0]))
        return "all"
    clients = [p for p in backends if "aiplatform_runtime" in " ".join(_command(p))]
    if not clients:
        return None
    _kill_quietly(choose.choice(clients).pid)
    return "a backend"


def step_clock(site: Site, choose: random.Random) -> str | None:
    """Set the clock of the database, API and workers forward or back by up to 15 minutes."""
    if not site.fakes_time:
        return None
    offset = choose.choice([-900, -120, -10, 0, 10, 120, 900])
    site.set_clock(offset)
    return f"to {offset:+d} s"


def _kill_quietly(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


FAULTS: dict[str, Fault] = {
    "child killed": kill_child,
    "launcher killed": kill_launcher,
    "worker killed": kill_worker,
    "worker frozen": freeze_worker,
    "network cut": cut_network,
    "API killed": kill_api,
    "broker killed": kill_broker,
    "broker flushed": flush_broker,
    "PostgreSQL killed": kill_postgres,
    "clock stepped": step_clock,
}
