"""The web interface in real Chromium: loading, navigation, live pages, large data and size.

Browser, API, worker and database share the machine. A cold page is one that is loaded in a new
window without a cache. A page counts as loaded when its content is visible, not only the layout
around it.
"""

import gzip
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import polars as pl
import psutil
from common.browser import chromium, signed_in
from common.fake_jobs import fake_job_variables
from common.figures import figure, percentile, progress
from common.platform import NotMeasurable, Started, fresh_home

import aiplatform
from aiplatform import Client
from aiplatform.client import Task

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STATIC = Path(aiplatform.__file__).parent / "server" / "ui" / "static"
ROUNDS = 20
LIVE_PAGES = 50
LIVE_SECONDS = 20
LINES = 1_000_000
BATCH = 2_000
SCROLLS = 60
GRID_ROWS = 10_000_000
GRID_SCROLLS = 20
CURVES = 20
POINTS = 100_000
PAINTS = 5
PAN_MOVES = 120
ROWS = [{"text": f"a line of text, number {n}"} for n in range(20)]
TRAINING = """
import time
for step in range(1, 100_000):
    report.progress(step / 100_000, step=step, total_steps=100_000, seconds_left=1.0)
    report.metrics(step, {"loss": 1 / step, "learning_rate": 1e-4, "grad_norm": 1.0})
    print(f"step {step}/100000: loss {1 / step:.4f}, 0.50 s a step", flush=True)
    time.sleep(0.5)
"""
CLICK = """async ([link, content]) => {
    const begun = performance.now();
    document.querySelector(link).click();
    while (!document.querySelector(content))
        await new Promise(requestAnimationFrame);
    return performance.now() - begun;
}"""
BLANK = """async (share) => {
    const box = document.querySelector('[role=log]');
    box.scrollTop = share * (box.scrollHeight - box.clientHeight);
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    const frame = box.getBoundingClientRect();
    const seen = [...box.querySelectorAll('[data-index]')].filter((line) => {
        const { top, bottom } = line.getBoundingClientRect();
        return bottom > frame.top && top < frame.bottom;
    });
    return Math.max(0, Math.floor(box.clientHeight / 20) - seen.length);
}"""


MIDDLE = """async ([share, total]) => {
    const box = document.querySelector('main section[aria-busy]');
    const begun = performance.now();
    box.scrollTop = share * (box.scrollHeight - box.clientHeight);
    for (;;) {
        await new Promise(requestAnimationFrame);
        const places = [...box.querySelectorAll('tr[data-place]')].map((row) => row.dataset.place);
        const near = places.some((place) => Math.abs(place - share * total) < total / 100);
        if (near && !box.querySelector('.mantine-Skeleton-root')) return performance.now() - begun;
        if (performance.now() - begun > 10000) throw new Error('the rows did not come');
    }
}"""
COUNT_FRAMES = """() => {
    window.frameTimes = [];
    const tick = (now) => {
        window.frameTimes.push(now);
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
}"""


@dataclass
class Site:
    """A running platform with a running task, and a browser whose user is signed in."""

    browser: "Browser"
    started: Started
    state: Any
    client: Client
    project: str
    task: Task

    @property
    def task_page(self) -> str:
        """The address of the running task."""
        return f"/p/{self.project}/tasks/{self.task.uuid}?tab=curves"

    @contextmanager
    def window(self) -> "Iterator[Page]":
        """Yield a page in a new window without a cache."""
        context = self.browser.new_context(
            base_url=self.started.url,
            storage_state=self.state,
            viewport={"width": 1440, "height": 900},
        )
        try:
            page = context.new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            context.close()


def measure_size() -> None:
    """Measure the size of the first load, and of the largest page that is loaded later."""
    manifest = json.loads((STATIC / ".vite" / "manifest.json").read_text("utf-8"))

    def files_of(key: str, seen: set[str]) -> list[str]:
        entry = manifest.get(key)
        if entry is None or entry["file"] in seen:
            return []
        seen.add(entry["file"])
        own = [entry["file"], *(file for file in entry.get("css", []) if file not in seen)]
        seen.update(own)
        return own + [file for name in entry.get("imports", []) for file in files_of(name, seen)]

    def kilobytes(files: list[str]) -> float:
        return sum(len(gzip.compress((STATIC / file).read_bytes(), 9)) for file in files) / 1000

    def is_inside(key: str) -> bool:
        return key.startswith("src/routes/_app/") or not key.startswith("src/routes/")

    first = next(key for key, entry in manifest.items() if entry.get("isEntry"))
    loaded: set[str] = set()
    figure("ui.entry.size", kilobytes(files_of(first, loaded)), "kB", target="<= 250")
    # Pages and their lazy parts are displayed within the shell, a route that is loaded first.
    shell = next(key for key in manifest if key.startswith("src/routes/_app.tsx?"))
    inside = set(loaded)
    files_of(shell, inside)
    routes = {
        key: kilobytes(files_of(key, set(inside if is_inside(key) else loaded)))
        for key, entry in manifest.items()
        if entry.get("isDynamicEntry")
    }
    largest = max(routes, key=lambda key: routes[key])
    progress(f"the largest route is {largest}")
    figure("ui.route.size", routes[largest], "kB", target="<= 120")


def measure_loading(site: Site) -> None:
    """Measure cold pages and clicks from page to page."""
    for name, address, content in (
        ("home", "/", "main section h2"),
        ("tasks", f"/p/{site.project}/tasks", "main table tbody tr"),
        ("task", site.task_page, "main figure canvas"),
    ):
        times = []
        for _ in range(ROUNDS):
            with site.window() as page:
                began = time.perf_counter()
                page.goto(address)
                page.wait_for_selector(content)
                times.append(time.perf_counter() - began)
        figure(f"ui.cold.{name}.p95", percentile(times, 0.95), "s", target="<= 1.5")

    list_link = f"main a[href*='/tasks/{site.task.uuid}']"
    with site.window() as page:
        page.goto(f"/p/{site.project}/tasks")
        page.wait_for_selector(list_link)
        clicks = []
        for _ in range(ROUNDS):
            # A user's pointer rests on the link before the click, too.
            page.hover(list_link)
            page.wait_for_timeout(150)
            clicks.append(page.evaluate(CLICK, [list_link, "main [role=tablist]"]))
            page.go_back()
            page.wait_for_selector(list_link)
        figure("ui.warm.p50", percentile(clicks, 0.5), "ms")
        figure("ui.warm.p95", percentile(clicks, 0.95), "ms", target="<= 300")


def measure_live_pages(site: Site) -> None:
    """Measure what many open pages of a running task cost the server.

    One page is open in the browser. The others are simulated by their task streams alone, because a
    browser that draws fifty curves would leave no CPU time for the server. Their inbox streams are
    left out, because one user may only have a few.
    """
    pids = site.started.pids("api")
    alone = used_cores(pids, LIVE_SECONDS / 2)
    cookies = {cookie["name"]: cookie["value"] for cookie in site.state["cookies"]}
    topics = f"task:{site.task.uuid}"
    received = [0] * (LIVE_PAGES - 1)
    closing = threading.Event()

    def follow(number: int, client: httpx.Client) -> None:
        address = f"/api/v1/stream?topics={quote(topics)}"
        with client.stream("GET", address, headers={"Accept": "text/event-stream"}) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                received[number] += line.startswith("data:")
                if closing.is_set():
                    return

    with site.window() as page, ExitStack() as stack:
        page.goto(site.task_page)
        page.wait_for_selector("main figure")
        threads = []
        for number in range(LIVE_PAGES - 1):
            client = stack.enter_context(
                httpx.Client(base_url=site.started.url, cookies=cookies, timeout=60)
            )
            threads.append(threading.Thread(target=follow, args=(number, client), daemon=True))
            threads[-1].start()
        page.wait_for_timeout(3000)
        before, shown = list(received), page.inner_text("main")
        used = used_cores(pids, LIVE_SECONDS)
        if page.inner_text("main") == shown:
            raise RuntimeError("the page does not follow its task")
        got = [late - early for late, early in zip(received, before, strict=True)]
        if min(got) < LIVE_SECONDS:
            raise RuntimeError(f"a stream sent only {min(got)} events in {LIVE_SECONDS} s")
        closing.set()
        for thread in threads:
            thread.join(5)
    figure("ui.live_pages.cpu", used, "cores", target="<= 0.1", baseline=alone,
           baseline_name="no page is open")  # fmt: skip


def used_cores(pids: list[int], seconds: float) -> float:
    """Return how many cores the processes use, on average over ``seconds``."""
    processes = [psutil.Process(pid) for pid in pids]
    before = [process.cpu_times() for process in processes]
    began = time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    after = [process.cpu_times() for process in processes]
    return (
        sum(
            late.user + late.system - early.user - early.system
            for early, late in zip(before, after, strict=True)
        )
        / passed
    )


def measure_log(site: Site) -> None:
    """Scroll through a log of a million lines and count the lines missing on the screen."""
    with site.client.run("a long log", project=site.project, end_timeout=600) as run:
        for first in range(0, LINES, BATCH):
            numbers = range(first, first + BATCH)
            run.write("\n".join(f"line {n}: loss {1 / (n + 1):.6f}" for n in numbers))
    with site.window() as page:
        began = time.perf_counter()
        page.goto(f"/p/{site.project}/tasks/{run.task}?tab=log")
        page.wait_for_selector("[role=log] [data-index]", timeout=300_000)
        figure("ui.log.open", time.perf_counter() - began, "s")
        shares = [n * 0.618 % 1 for n in range(SCROLLS)]
        blank = [page.evaluate(BLANK, share) for share in shares]
        figure("ui.log.blank_lines", max(blank), "lines", target="<= 0")


def measure_grid(site: Site) -> None:
    """Jump to positions in a dataset of ten million rows and wait until the rows are shown."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "rows.parquet"
        numbers = pl.int_range(GRID_ROWS, eager=True).alias("number")
        text = pl.format("What is the square of {}?", pl.col("number")).alias("text")
        numbers.to_frame().lazy().with_columns(text).sink_parquet(file)
        began = time.perf_counter()
        dataset = site.client.datasets.upload("large", file, project=site.project)
        progress(f"uploaded {GRID_ROWS} rows in {time.perf_counter() - began:.0f} s")
    with site.window() as page:
        page.goto(f"/p/{site.project}/datasets/{dataset.uuid}")
        page.wait_for_selector("main section[aria-busy] tr[data-place]")
        shares = [0.3 + 0.4 * (n * 0.618 % 1) for n in range(GRID_SCROLLS)]
        times = [page.evaluate(MIDDLE, [share, GRID_ROWS]) for share in shares]
    figure("ui.grid.jump.p50", percentile(times, 0.5), "ms")
    figure("ui.grid.jump.p95", percentile(times, 0.95), "ms", target="<= 300")


def measure_curves(site: Site) -> None:
    """Draw twenty long curves in one chart, then zoom and pan."""
    runs = []
    for number in range(CURVES):
        with site.client.run(f"curve {number}", project=site.project, end_timeout=600) as run:
            for step in range(POINTS):
                run.log({"loss": 1 / (1 + step * (number + 1) * 1e-4)}, step=step)
        runs.append(str(run.task))
        progress(f"{number + 1} of {CURVES} runs are reported")
    address = f"/p/{site.project}/experiments/compare?run={quote(json.dumps(runs))}"
    paints = []
    for _ in range(PAINTS):
        with site.window() as page:
            page.goto(f"/p/{site.project}/experiments")
            page.wait_for_selector("main h1")
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_selector("main figure canvas")
            paints.append(time.perf_counter() - began)
    # The database is still cleaning up after two million points when the first window opens.
    figure("ui.curves.first_paint", percentile(paints, 0.5), "s", target="<= 1")
    figure("ui.curves.first_paint.slowest", max(paints), "s")
    with site.window() as page:
        page.goto(address)
        page.wait_for_selector("main figure canvas")
        page.wait_for_timeout(2000)
        box = page.locator("main figure .u-over").first.bounding_box()
        if box is None:
            raise RuntimeError("the chart is not shown")
        middle = box["y"] + box["height"] / 2
        drag(page, box["x"] + box["width"] * 0.3, box["x"] + box["width"] * 0.6, middle, 20)
        page.evaluate(COUNT_FRAMES)
        page.keyboard.down("Shift")
        drag(page, box["x"] + box["width"] * 0.7, box["x"] + box["width"] * 0.2, middle, PAN_MOVES)
        page.keyboard.up("Shift")
        frames = page.evaluate("window.frameTimes")
    seconds = (frames[-1] - frames[0]) / 1000
    figure("ui.curves.pan", (len(frames) - 1) / seconds, "frames/s", target=">= 59")


def drag(page: "Page", start: float, end: float, y: float, moves: int) -> None:
    """Drag the pointer from one point to another in single steps."""
    page.mouse.move(start, y)
    page.mouse.down()
    for number in range(1, moves + 1):
        page.mouse.move(start + (end - start) * number / moves, y)
    page.mouse.up()


@contextmanager
def running_site() -> Iterator[Site]:
    """Yield a platform with a running task, and a browser."""
    with (
        fake_job_variables(TRAINING) as variables,
        fresh_home() as home,
        chromium() as browser,
    ):
        home.settings = {**variables, **without_limits()}
        started = home.up()
        with home.client(started) as client:
            project = client.projects.create("watched")
            client.datasets.upload("tiny", ROWS, project=project)
            task = running_task(client)
            state = signed_in(started.url, "admin", home.password)
            yield Site(browser, started, state, client, "watched", task)


def without_limits() -> dict[str, str]:
    """Return settings that let one address send as many requests as the measurement needs."""
    names = ("LOGIN", "ANONYMOUS", "NORMAL")
    return {f"AIPLATFORM_RATE_LIMIT_{name}": "off" for name in names}


def running_task(client: Client) -> Task:
    """Wait until the upload's quality report sends reports, and return its task."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = client.tasks.list(status="running", project="watched").first()
        if found is not None and found.progress > 0:
            return found
        time.sleep(0.1)
    raise RuntimeError("the task did not start")


def main() -> int:
    """Measure all parts."""
    if not (STATIC / "index.html").is_file():
        progress("the web interface is not built (make setup)")
        return 1
    measure_size()
    try:
        with running_site() as site:
            measure_loading(site)
            measure_live_pages(site)
            measure_log(site)
            measure_curves(site)
            measure_grid(site)
    except NotMeasurable as reason:
        progress(f"not measured: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
