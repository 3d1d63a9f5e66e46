"""Two thousand open inboxes on one API process: memory per inbox, and delays.

A hundred users have twenty open inboxes each. Then each user's role in a project is changed, one
user after another. The delay of an event is the time from just before the request until the inbox
has received the event, so it includes the request, its commit and the wake-up. Client, API,
worker and database share the machine.
"""

import asyncio
import resource
import sys
import time
from urllib.parse import urlsplit

from common.figures import figure, percentile, progress
from common.platform import proportional_bytes, running_platform

from aiplatform import Client

ACCOUNTS = 100
PLACES = 20
WATCHERS = ACCOUNTS * PLACES
ROUNDS = 3
PAUSE_SECONDS = 0.03
PASSWORD = "a password for watchers"


class Watcher:
    """An open event stream, read from a plain socket so that the client is fast enough."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.arrived: list[float] = []
        self.writer: asyncio.StreamWriter | None = None

    async def run(self, url: str, token: str) -> None:
        """Read the user's notification stream, and record when each notification arrives."""
        place = urlsplit(url)
        reader, self.writer = await asyncio.open_connection(place.hostname, place.port)
        self.writer.write(
            f"GET /api/v1/notifications/stream HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"not let in: {status.decode().strip()}")
        while line := await reader.readline():
            if line.startswith(b"event: ready"):
                self.ready.set()
            elif line.startswith(b"event: notification"):
                self.arrived.append(time.perf_counter())


def accounts(client: Client, url: str) -> list[tuple[str, str]]:
    """Create users who are members of a project; return their names and tokens."""
    client.projects.create("watched")
    found = []
    for number in range(ACCOUNTS):
        name = f"watcher{number}"
        client.users.create(name, f"{name}@example.com", PASSWORD)
        client.projects.set_member("watched", name, "viewer")
        token = Client(url, token="none").login(name, PASSWORD).access_token()
        found.append((name, token))
    return found


async def measure(client: Client, url: str, people: list[tuple[str, str]], pid: int) -> None:
    """Open the streams, then change roles and measure the delays of the events."""
    before = proportional_bytes(pid)
    watchers = [[Watcher() for _ in range(PLACES)] for _ in people]
    tasks = []
    began = time.perf_counter()
    for mine, (_, token) in zip(watchers, people, strict=True):
        opening = [asyncio.create_task(watcher.run(url, token)) for watcher in mine]
        tasks += opening
        while not all(watcher.ready.is_set() for watcher in mine):
            for task in opening:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)
    opened = time.perf_counter() - began
    await asyncio.sleep(2)
    memory = (proportional_bytes(pid) - before) / WATCHERS
    progress(f"{WATCHERS} watch, after {opened:.1f} s")

    delays: list[float] = []
    for turn in range(ROUNDS):
        role = ("developer", "viewer")[turn % 2]
        for mine, (name, _) in zip(watchers, people, strict=True):
            sent = time.perf_counter()
            await asyncio.to_thread(client.projects.set_member, "watched", name, role)
            deadline = sent + 10
            while any(len(watcher.arrived) <= turn for watcher in mine):
                if time.perf_counter() > deadline:
                    raise RuntimeError(f"{name} was not told within 10 s")
                await asyncio.sleep(0.002)
            delays += [watcher.arrived[turn] - sent for watcher in mine]
            await asyncio.sleep(PAUSE_SECONDS)
    for task in tasks:
        task.cancel()
    figure("watchers.memory", memory, "bytes")
    figure("watchers.open", WATCHERS / opened, "/s")
    figure("watchers.delay.p50", percentile(delays, 0.5), "s")
    figure("watchers.delay.p95", percentile(delays, 0.95), "s")
    figure("watchers.delay.max", max(delays), "s", target="<= 1")


def main() -> int:
    """Start a platform, create the users, and measure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * WATCHERS + 500)), hard))
    # All users log in from the same address.
    limits = {"AIPLATFORM_RATE_LIMIT_LOGIN": "off", "AIPLATFORM_RATE_LIMIT_ANONYMOUS": "off"}
    with running_platform(**limits) as (client, started):
        progress(f"making {ACCOUNTS} accounts")
        people = accounts(client, started.url)
        pid = max(started.pids("api"), key=proportional_bytes)
        asyncio.run(measure(client, started.url, people, pid))
    return 0


if __name__ == "__main__":
    sys.exit(main())
