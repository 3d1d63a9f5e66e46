"""Time to read a file, commit it as the next version, and compare and browse dataset versions.

Baselines run between the platform's measurements, in the same process where possible. For
comparison, Oxen and DVC are installed into their own directories; if that is not possible, there is
no comparison.
"""

import hashlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from common import other_programs
from common.figures import figure, percentile, progress
from common.platform import Home, fresh_home
from common.rows import chats, short_texts, texts, write_lines

from aiplatform.client import Client, Project
from aiplatform.data import diff
from aiplatform.data.blobs import LocalBlobStore
from aiplatform.data.canonical import row_group_starts
from aiplatform.data.parts import Packed, Part, blob_reader, pack, row_group_ends

CHANGED = 0.02
TURNS = 5
MILLION = 1_000_000
LARGE = 10 * MILLION
PAGES = 60


def main() -> int:
    """Measure everything in a temporary directory."""
    with fresh_home() as home:
        directory = home.directory.parent / "rows"
        directory.mkdir(parents=True)
        before, after = directory / "v1.jsonl", directory / "v2.jsonl"
        measure_reading(directory, before, after)
        packed = [path.with_suffix(".parquet") for path in (before, after)]
        results = {
            "Oxen": run_other_program("oxenai", other_programs.OXEN, directory / "oxen", packed),
            "DVC": run_other_program("dvc", other_programs.DVC, directory / "dvc", packed),
        }
        measure_commits(directory, *packed, results)
        measure_comparison(directory, *packed, (results["Oxen"] or {}).get("diff"))
        measure_over_http(home, directory, before, after)
    return 0


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare_with_floor(
    name: str, ours: list[float], floor: list[float], most: float, what: str
) -> None:
    """Print a median duration with its baseline; the target is ``most`` times the baseline."""
    ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=True))
    seconds = statistics.median(floor)
    figure(
        name,
        ratio * seconds,
        "s",
        target=f"<= {most * seconds:.3f}",
        baseline=seconds,
        baseline_name=what,
    )


def measure_reading(directory: Path, before: Path, after: Path) -> None:
    """Measure how fast a separate process hashes a file and converts it to canonical Parquet."""
    files = [
        ("100k_chats", directory / "chats.jsonl", chats(100_000), 3),
        ("1m_chats", directory / "many.jsonl", chats(MILLION), 2),
        ("1m_rows", before, texts(MILLION), 3),
    ]
    for name, path, lines, turns in files:
        size = write_lines(path, lines)
        progress(f"{path.name}: {size / 1e6:.0f} MB")
        ours, floor = [], []
        for _ in range(turns):
            floor.append(seconds_of(lambda path=path: hash_and_scan(path)))
            # An upload doesn't replace a file, and freeing an old file's pages would take time.
            path.with_suffix(".parquet").unlink(missing_ok=True)
            ours.append(seconds_of(lambda path=path: ingest(path)))
        compare_with_floor(f"versions.ingest_{name}", ours, floor, 2.5, "SHA-256 and a Polars scan")
        if path is not before:
            path.unlink()
            path.with_suffix(".parquet").unlink()
    write_lines(after, texts(MILLION, CHANGED))
    ingest(after)


def hash_and_scan(path: Path) -> None:
    """Hash a file and scan it with Polars: the minimum cost of reading rows."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    pl.scan_ndjson(path).collect(engine="streaming")


def ingest(path: Path) -> None:
    """Run the program that the API runs for an upload."""
    subprocess.run(
        [sys.executable, "-P", "-m", "aiplatform.data.ingest", "--input", str(path),
         "--output", str(path.with_suffix(".parquet")), f"--filename={path.name}"],
        check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip


def run_other_program(
    package: str, program: str, directory: Path, versions: list[Path]
) -> dict[str, Any] | None:
    """Return the time and disk space that another program needs to commit the second version."""
    directory.mkdir()
    found = other_programs.run_program(
        package, program, directory, *map(str, versions), str(directory)
    )
    if found is None:
        return None
    kept = other_programs.size_of(directory / ".oxen") + other_programs.size_of(directory / ".dvc")
    first = versions[0].stat().st_size
    return {**found, "second_share": (kept - first) / first}


def measure_commits(directory: Path, before: Path, after: Path, results: dict[str, Any]) -> None:
    """Measure how long it takes to split the second version into parts and store the new ones."""
    seconds, shares = [], []
    for turn in range(3):
        store = LocalBlobStore(directory / f"store{turn}")
        first, first_size = commit(before, store, ())
        began = time.perf_counter()
        _, second_size = commit(after, store, first.parts)
        seconds.append(time.perf_counter() - began)
        shares.append(100 * second_size / first_size)
    known = {name: found for name, found in results.items() if found}
    fastest = min(known, key=lambda name: known[name]["commit"], default=None)
    figure(
        "versions.commit_second_1m_rows",
        statistics.median(seconds),
        "s",
        target="<= 2",
        baseline=known[fastest]["commit"] if fastest else None,
        baseline_name=f"{fastest}, which copies the file" if fastest else None,
    )
    figure(
        "versions.stored_second_2pct_changed",
        statistics.median(shares),
        "%",
        target="<= 5",
        baseline=100 * known[fastest]["second_share"] if fastest else None,
        baseline_name=fastest,
    )


def commit(
    path: Path, store: LocalBlobStore, known: tuple[Part, ...] | list[Part]
) -> tuple[Packed, int]:
    """Store a file in parts; return the parts and the number of new bytes in the store."""
    ends = row_group_ends(row_group_starts(path), path.stat().st_size)
    prefix = path.with_suffix(".pack")
    packed = pack(path, ends, prefix, known=known, read=blob_reader(store))
    for blob, sha256, _ in packed.new:
        store.put_file(blob, sha256, move=True)
    return packed, sum(size for _, _, size in packed.new)


def measure_comparison(directory: Path, before: Path, after: Path, oxen: float | None) -> None:
    """Measure the comparison of two versions by key and by content."""

    def ours(key: str | None) -> None:
        job = diff.Job(before=before, after=after, output=directory / "index", key=key)
        found = diff.compare(job)
        assert 0.9 < (found["changed"] or found["added"]) / (CHANGED * MILLION) < 1.1, found

    def floor() -> None:
        first, second = (
            pl.DataFrame({"id": rows["id"], "hash": rows.hash_rows()})
            for rows in map(pl.read_parquet, (before, after))
        )
        joined = first.join(second, on="id", how="full", suffix="_2")
        joined.filter(pl.col("hash").ne_missing(pl.col("hash_2")))

    floor(), ours("id"), ours(None)
    floors, keyed, content = [], [], []
    for _ in range(TURNS):
        floors.append(seconds_of(floor))
        keyed.append(seconds_of(lambda: ours("id")))
        content.append(seconds_of(lambda: ours(None)))
    compare_with_floor("versions.diff_1m_by_key", keyed, floors, 2, "Polars: read, hash, join")
    compare_with_floor(
        "versions.diff_1m_by_content", content, floors, 2, "Polars: read, hash, join"
    )
    if oxen is not None:
        figure(
            "versions.diff_1m_beside_oxen",
            statistics.median(keyed),
            "s",
            target=f"<= {oxen / 3:.3f}",
            baseline=oxen,
            baseline_name="Oxen, three times as long allowed",
        )


def measure_over_http(home: Home, directory: Path, before: Path, after: Path) -> None:
    """Measure requests to a running platform."""
    started = home.up()
    with home.client(started) as client:
        project = client.projects.create("versions")
        # No quality report may run in the meantime and compete with the requests.
        client.projects.set_quota(project, concurrent_tasks=0)
        client.datasets.upload("rows", before, project=project)
        rows = client.datasets.get("rows", project=project)
        figure("versions.http_upload_second", seconds_of(lambda: rows.add_version(after)), "s")
        edits = [{"id": n, "text": f"another text {n}"} for n in range(0, MILLION, 50)]
        figure(
            "versions.http_patch_2pct_by_key",
            seconds_of(lambda: client.datasets.upsert(rows, edits, key="id")),
            "s",
        )
        measure_pull(client, project, directory)
        large = directory / "large.jsonl"
        size = write_lines(large, short_texts(LARGE))
        progress(f"{large.name}: {size / 1e6:.0f} MB")
        seconds = seconds_of(lambda: client.datasets.upload("large", large, project=project))
        progress(f"uploaded in {seconds:.0f} s")
        large.unlink()
        measure_browsing(client, project)


def measure_pull(client: Client, project: Project, directory: Path) -> None:
    """Measure the download of a version when the previous version is in the cache."""
    from aiplatform.client import DataCache

    cache = DataCache(directory / "cache")
    rng = [client.datasets.pull(f"rows@v{n}", project=project, cache=cache) for n in (1, 2)]
    edits = [{"id": n, "text": "x"} for n in range(MILLION - 1000, MILLION)]
    client.datasets.upsert("rows@v1", edits, key="id", project=project)
    near = client.datasets.pull("rows", project=project, cache=cache)
    figure(
        "versions.pulled_after_1000_rows_changed",
        near.fetched / 1e6,
        "MB",
        baseline=rng[0].file_size / 1e6,
        baseline_name="the whole version",
    )


def measure_browsing(client: Client, project: Project) -> None:
    """Measure pages, conditions and searches on ten million rows."""
    chosen = random.Random(1)
    path = f"datasets/{client.datasets.get('large', project=project).uuid}/versions/v1/rows"

    def timed_request(**wanted: Any) -> tuple[float, Any]:
        began = time.perf_counter()
        found = client.transport.get(path, limit=50, **wanted)
        return 1000 * (time.perf_counter() - began), found

    def p95(name: str, make: Callable[[], dict[str, Any]], target: str | None = None) -> None:
        timed_request(**make())
        taken = [timed_request(**make())[0] for _ in range(PAGES)]
        alive = [1000 * seconds_of(lambda: client.transport.get("health")) for _ in range(PAGES)]
        figure(
            name,
            percentile(taken, 0.95),
            "ms",
            target=target,
            baseline=percentile(alive, 0.95),
            baseline_name="a request that reads nothing",
        )

    def middle() -> int:
        return chosen.randrange(LARGE // 4, 3 * LARGE // 4)

    p95("versions.page_of_10m_p95", lambda: {"offset": middle()}, "<= 50")
    where = '{{"column": "id", "op": "==", "value": {}}}'
    p95("versions.one_id_of_10m_p95", lambda: {"where": where.format(middle())})
    p95("versions.search_common_of_10m_p95", lambda: {"offset": middle(), "search": "THE"})

    found = None
    began = time.perf_counter()
    turns, wanted = 0, {"search": "needle"}
    while not found:
        turns += 1
        answer = client.transport.get(path, limit=50, **wanted)
        found = answer["items"]
        wanted["cursor"] = answer["next_cursor"]
    assert json.dumps(found[0]).count("needle") == 1
    figure("versions.search_to_the_end_of_10m", time.perf_counter() - began, "s")
    progress(f"found in the last row, in {turns} requests")


if __name__ == "__main__":
    sys.exit(main())
