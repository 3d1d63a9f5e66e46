"""The verdict on a run with faults, from the database and the child processes' journals."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.site import Site

ENDS = ("completed", "failed", "cancelled")


@dataclass
class Verdict:
    """The verdict on a run. ``lost`` and ``doubled`` each have a line for every problem found."""

    tasks: int = 0
    attempts: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def compute_verdict(site: Site, submitted: dict[str, list[str]]) -> Verdict:
    """Return the verdict. ``submitted`` maps task names to the uuids that the API returned."""
    found = Verdict()
    rows = site.sql("SELECT id, uuid::text, name, status FROM tasks ORDER BY id")
    found.tasks = len(rows)
    by_name: dict[str, list[str]] = defaultdict(list)
    for _, uuid, name, status in rows:
        by_name[name].append(uuid)
        found.ended[status] = found.ended.get(status, 0) + 1
        if status not in ENDS:
            found.lost.append(f"{name} is {status}")
    for name, uuids in submitted.items():
        for uuid in set(uuids) - set(by_name[name]):
            found.lost.append(f"{name} was accepted as {uuid} and is gone")
        if len(by_name[name]) > 1:
            found.doubled.append(f"{name} stands {len(by_name[name])} times")
    _check_ends(site, found)
    _check_writes(site, found)
    for uuid, name in ((uuid, name) for _, uuid, name, _ in rows):
        found.doubled += [f"{name}: {fault}" for fault in overlaps(site.journal / f"{uuid}.jsonl")]
    return found


def _check_ends(site: Site, found: Verdict) -> None:
    """Check that no attempt is open, and that each task ended exactly once.

    The end of a task must be in its timeline and in the audit trail.
    """
    for name, events, audited in site.sql(
        """
        SELECT t.name,
            (SELECT count(*) FROM task_events e WHERE e.task_id = t.id AND e.kind = ANY(%s)),
            (SELECT count(*) FROM audit_logs a
             WHERE a.resource_id = t.uuid::text AND a.action = ANY(%s))
        FROM tasks t WHERE t.status = ANY(%s)
        """,
        list(ENDS), [f"task:{end}" for end in ENDS], list(ENDS),
    ):  # fmt: skip
        if (events, audited) != (1, 1):
            found.doubled.append(f"{name} ended {events} times, {audited} times by the audit")
    ((attempts,),) = site.sql("SELECT count(*) FROM task_attempts")
    found.attempts = attempts
    for (name,) in site.sql(
        "SELECT name FROM tasks JOIN task_attempts ON task_id = id WHERE ended_at IS NULL"
    ):
        found.lost.append(f"an attempt of {name} is still open")


def _check_writes(site: Site, found: Verdict) -> None:
    """Check that attempts were claimed in order, and that only the current one wrote anything."""
    held: dict[str, int] = {}
    over: set[str] = set()
    for name, kind, data in site.sql(
        "SELECT name, kind, data FROM task_events e JOIN tasks t ON t.id = task_id ORDER BY e.id"
    ):
        if kind == "claimed":
            if data["attempt"] != held.get(name, 0) + 1 or name in over:
                found.doubled.append(f"{name}: attempt {data['attempt']} was claimed out of turn")
            held[name] = data["attempt"]
        elif kind == "mark" and (data["attempt"] != held.get(name) or name in over):
            found.doubled.append(
                f"{name}: a write of attempt {data['attempt']} was accepted "
                f"while {held.get(name)} had the task"
            )
        elif kind in ENDS:
            over.add(name)
    for name, result, attempt in site.sql(
        "SELECT name, result->>'attempt', attempt FROM tasks JOIN task_scheduling ON task_id = id "
        "WHERE status = 'completed'"
    ):
        if int(result) != attempt:
            found.doubled.append(f"{name} has the result of attempt {result} of {attempt}")


def overlaps(journal: Path) -> list[str]:
    """Return a line for each pair of a task's processes that overlapped or ran out of order."""
    if not journal.exists():
        return []
    spans: dict[tuple[int, int], list[float]] = {}
    for line in journal.read_text().splitlines():
        note = json.loads(line)
        spans.setdefault((note["attempt"], note["pid"]), []).append(note["at"])
    ordered = sorted(spans.items(), key=lambda item: item[1][0])
    found = []
    for (one, times), (other, later) in pairwise(ordered):
        if later[0] <= times[-1]:
            beyond = times[-1] - later[0]
            found.append(f"attempt {one[0]} ran {beyond:.2f} s into attempt {other[0]}")
        if other[0] <= one[0]:
            found.append(f"attempt {other[0]} ran after attempt {one[0]}")
    return found
