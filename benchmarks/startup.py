"""Time until `aiplatform up` is ready, and memory of an API process.

The platform is ready when the command returns, which it does after the database has been migrated,
the broker responds, and a worker has sent a heartbeat. The time includes the start of the
interpreter. The API's memory is measured
after it has done some work.
"""

import statistics
import sys

import psutil
from common.figures import figure, progress
from common.platform import (
    Home,
    NotMeasurable,
    Started,
    fresh_home,
    mapped_files,
    proportional_bytes,
)

ROUNDS = 3
MIB = 2**20
ROWS = [{"prompt": f"What is {n} plus one?", "completion": str(n + 1)} for n in range(2000)]
RUNTIME = "aiplatform.runtime"
HEAVY = ("torch", "libtorch", "transformers")
"""Names of libraries that the API and worker must never load, as in paths of mapped files."""


def main() -> int:
    """Start and stop platforms and measure them."""
    fresh: list[float] = []
    existing: list[float] = []
    for number in range(1, ROUNDS + 1):
        with fresh_home() as home:
            started = home.up()
            fresh.append(started.seconds)
            home.down()
            again = home.up()
            existing.append(again.seconds)
            progress(
                f"round {number}: fresh home {started.seconds:.2f} s, "
                f"existing {again.seconds:.2f} s"
            )
            if number == ROUNDS:
                measure_memory(home, again)
    figure("startup.fresh_home", statistics.median(fresh), "s", target="<= 15")
    figure(
        "startup.existing_home",
        statistics.median(existing),
        "s",
        target="<= 6",
        baseline=statistics.median(fresh),
        baseline_name="fresh home",
    )
    return 0


def measure_memory(home: Home, started: Started) -> None:
    """Let the API do some work, then measure its memory and look for loaded libraries."""
    with home.client(started) as client:
        project = client.projects.create("startup")
        for number in range(5):
            dataset = client.datasets.upload(f"rows-{number}", ROWS, project=project)
        dataset.wait_ready()
        for _ in range(50):
            client.tasks.list(project=project).all()
            dataset.rows().take(100)
    try:
        sizes = [proportional_bytes(pid) for pid in started.pids("api")]
        loaded = {
            service: {
                file
                for pid in started.pids(service)
                # Runtimes, including spares, may import torch, so they don't count.
                if RUNTIME not in psutil.Process(pid).cmdline()
                for file in mapped_files(pid)
                if any(f"/{name}" in file for name in HEAVY)
            }
            for service in ("api", "worker")
        }
    except NotMeasurable as reason:
        progress(f"memory not measured: {reason}")
        return
    figure("startup.api_process_memory", max(sizes) / MIB, "MiB PSS", target="< 300")
    for service, files in loaded.items():
        figure(f"startup.torch_files_in_{service}", len(files), "files", target="<= 0")
        for file in sorted(files)[:3]:
            progress(f"{service} has loaded {file}")


if __name__ == "__main__":
    sys.exit(main())
