"""A short run of the fault injection; ``make faults`` does a long one."""

import pytest

from tests.faults.run import run_faults
from tests.faults.verdict import overlaps


@pytest.mark.slow
def test_faults_lose_no_task_and_double_none():
    outcome = run_faults(12, seed=20, in_flight=20, workers=2, pause=(0.2, 1.5), settle_seconds=120)
    assert outcome.faults.total() == 12
    assert outcome.verdict.lost == []
    assert outcome.verdict.doubled == []
    assert outcome.verdict.tasks >= 20
    assert outcome.verdict.ended.get("completed", 0) > outcome.verdict.tasks / 2


def test_overlaps_finds_processes_that_ran_at_the_same_time(tmp_path):
    """Check the function on which the verdict depends."""
    journal = tmp_path / "task.jsonl"

    def write(*notes: tuple[int, int, float]) -> list[str]:
        lines = [
            f'{{"what": "beat", "attempt": {attempt}, "pid": {pid}, "at": {at}}}\n'
            for attempt, pid, at in notes
        ]
        journal.write_text("".join(lines))
        return overlaps(journal)

    assert write((1, 10, 1.0), (1, 10, 2.0), (2, 20, 2.1), (2, 20, 3.0)) == []
    assert write((1, 10, 1.0), (2, 20, 2.1), (1, 10, 2.2)) == [
        "attempt 1 ran 0.10 s into attempt 2"
    ]
    assert write((1, 10, 1.0), (1, 20, 2.0)) == ["attempt 1 ran after attempt 1"]
    assert write((2, 10, 1.0), (1, 20, 2.0)) == ["attempt 1 ran after attempt 2"]
