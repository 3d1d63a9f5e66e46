"""The main loop: cause one fault after another while tasks are running, then check the outcome."""

import contextlib
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.faults.faults import FAULTS
from tests.faults.site import PASSWORD, Site, running_site
from tests.faults.verdict import Verdict, compute_verdict

NOWHERE = "00000000-0000-0000-0000-000000000000"
SPEC = {
    "type": "data_quality",
    "dataset": {"dataset": NOWHERE},
    "max_attempts": 20,
    "retry_seconds": 0,
}
UNFINISHED = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'failed', 'cancelled')"


class Users:
    """Simulated users, who submit tasks until each is accepted, and sometimes cancel one."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.choose = random.Random(seed)
        self.accepted: dict[str, list[str]] = {}
        self.requested: queue.Queue[str] = queue.Queue()
        self.next_count = 0.0
        self.stopped = threading.Event()
        self.headers: dict[str, str] = {}
        self.project = ""
        self._number = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(4)]

    def start(self) -> None:
        with httpx.Client(base_url=self.site.url, timeout=60) as client:
            self._sign_in(client)
            made = client.post(
                "/api/v1/projects", json={"name": "faults"}, headers=self.headers
            ).raise_for_status()
            self.project = made.json()["uuid"]
        for thread in self._threads:
            thread.start()

    def request_tasks(self, count: int) -> None:
        """Request the submission of ``count`` more tasks."""
        for _ in range(count):
            self._number += 1
            self.requested.put(f"task-{self._number}")

    def stop(self) -> None:
        """Stop after all requested tasks have been submitted."""
        self.requested.join()
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def _sign_in(self, client: httpx.Client) -> None:
        answer = client.post(
            "/api/v1/auth/token", data={"username": "admin", "password": PASSWORD}
        ).raise_for_status()
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _work(self) -> None:
        with httpx.Client(base_url=self.site.url, timeout=10) as client:
            while not self.stopped.is_set():
                try:
                    name = self.requested.get(timeout=0.2)
                except queue.Empty:
                    continue
                while not self._submit(client, name):
                    time.sleep(0.3)
                self.requested.task_done()

    def _submit(self, client: httpx.Client, name: str) -> bool:
        body = {"name": name, "spec": SPEC, "priority": 1 + int(name.partition("-")[2]) % 8}
        try:
            answer = client.post(
                f"/api/v1/projects/{self.project}/tasks",
                json=body,
                headers={**self.headers, "Idempotency-Key": name},
            )
            if answer.status_code == 401:  # the token has expired, because the clock was changed
                self._sign_in(client)
                return False
        except httpx.HTTPError:
            return False
        if answer.status_code >= 500:
            return False
        answer.raise_for_status()
        uuid = answer.json()["uuid"]
        self.accepted.setdefault(name, []).append(uuid)
        if self.choose.random() < 0.05:
            with contextlib.suppress(httpx.HTTPError):
                client.post(f"/api/v1/tasks/{uuid}/cancel", headers=self.headers)
        return True


@dataclass
class Outcome:
    """The result of a run: how many faults of each kind there were, the verdict, and the time."""

    faults: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0

    @property
    def last_line(self) -> str:
        found = self.verdict
        return (
            f"faults {self.faults.total()}, tasks {found.tasks}, lost {len(found.lost)}, "
            f"doubled {len(found.doubled)}"
        )


def run_faults(
    faults: int,
    *,
    seed: int,
    in_flight: int = 100,
    workers: int = 3,
    pause: tuple[float, float] = (0.5, 4.5),
    settle_seconds: float = 180.0,
    keep: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Cause this number of faults, wait until all tasks have ended, and check the outcome."""
    outcome = Outcome()
    began = time.monotonic()
    choose = random.Random(seed)
    with running_site(workers, keep=keep) as site:
        say(f"site in {site.directory}, seed {seed}")
        if not site.fakes_time:
            say("no clock is stepped: libfaketime is missing (Debian: apt-get install faketime)")
        users = Users(site, seed)
        users.start()
        users.request_tasks(in_flight)
        while len(users.accepted) < in_flight:
            site.maintain()
            time.sleep(0.1)
        say(f"{time.monotonic() - began:6.1f} s  {in_flight} tasks in flight")
        due = time.monotonic()
        while outcome.faults.total() < faults:
            maintain(site, users, in_flight)
            if time.monotonic() < due:
                time.sleep(0.05)
                continue
            name = choose.choice(list(FAULTS))
            hit = FAULTS[name](site, choose)
            if hit is not None:
                outcome.faults[name] += 1
                due = time.monotonic() + choose.uniform(*pause)
                say(f"{time.monotonic() - began:6.1f} s  {name}: {hit}")
        site.heal()
        say(
            f"{time.monotonic() - began:6.1f} s  no more faults, {len(users.accepted)} tasks so far"
        )
        settle(site, users, settle_seconds)
        outcome.verdict = compute_verdict(site, users.accepted)
        say(", ".join(f"{p.name} ended {p.ended_by_itself} times by itself" for p in site.programs))
    outcome.seconds = time.monotonic() - began
    return outcome


def maintain(site: Site, users: Users, in_flight: int) -> None:
    """Maintain the site, and submit tasks until ``in_flight`` tasks are unfinished."""
    site.maintain()
    if time.monotonic() < users.next_count:
        return
    users.next_count = time.monotonic() + 0.5
    with contextlib.suppress(psycopg.Error):
        ((unfinished,),) = site.sql(UNFINISHED)
        users.request_tasks(max(0, in_flight - unfinished - users.requested.qsize()))


def settle(site: Site, users: Users, seconds: float) -> None:
    """Wait up to ``seconds`` for all tasks to end; the verdict lists those that have not."""
    stopper = threading.Thread(target=users.stop)
    stopper.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        site.maintain()
        with contextlib.suppress(psycopg.Error):
            if not stopper.is_alive() and site.sql(UNFINISHED) == [(0,)]:
                # The last child process may have reported its result but not yet have exited.
                time.sleep(1)
                return
        time.sleep(0.3)
    users.stopped.set()
