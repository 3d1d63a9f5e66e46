"""A runtime with a short fake job that keeps a journal in a file outside the platform.

The launcher, channel and stop requests are the real ones. Each task has its own journal file. Each
line is a single write and contains the monotonic time, so that the journal shows what ran when,
independently of the platform's data.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from types import ModuleType

from aiplatform.runtime.launcher import launch, parse_arguments

BEAT_SECONDS = 0.05
arguments = parse_arguments(sys.argv[1:])


def work(job, report):
    # SITE/WORKER/work/TASK/attempt-N/job.json
    site = Path(arguments.job).parents[4]
    journal = os.open(
        site / "journal" / f"{job.task}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
    )

    def note(what: str) -> None:
        line = {"what": what, "attempt": job.attempt, "pid": os.getpid(), "at": time.monotonic()}
        os.write(journal, json.dumps(line).encode() + b"\n")

    beats = random.Random(str(job.task)).randint(6, 70)
    done = 0
    if job.resume_from is not None:
        done = int(Path(job.resume_from, "state").read_text())
    note("start")
    for beat in range(done, beats):
        note("beat")
        if beat % 10 == 0:
            report.event("mark", attempt=job.attempt)
            report.progress(beat / beats)
            sys.stdout.write(f"beat {beat}\n")
        if beat % 25 == 24:
            with report.stop.delay():
                path = Path(job.checkpoint_dir, f"checkpoint-{beat}")
                path.mkdir()
                (path / "state").write_text(str(beat + 1))
                report.checkpoint(beat, str(path))
            report.stop.raise_if_requested()
        time.sleep(BEAT_SECONDS)
    note("end")
    return {"attempt": job.attempt}


# Replace the module with the real jobs, which the child would import after `hello`.
jobs = ModuleType("aiplatform.runtime.jobs")
jobs.run = work  # type: ignore[attr-defined]
sys.modules[jobs.__name__] = jobs
sys.exit(launch(arguments))
