"""A runtime that works for a moment and keeps a journal of it, in a file outside the platform.

The real launcher, channel and stop; only the job is the suite's. Every line of the journal is one
write to a file of the task, with the machine's monotonic clock, so what ran when can be told
without believing the platform.
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
            with report.stop.held():
                path = Path(job.checkpoint_dir, f"checkpoint-{beat}")
                path.mkdir()
                (path / "state").write_text(str(beat + 1))
                report.checkpoint(beat, str(path))
            report.stop.obey()
        time.sleep(BEAT_SECONDS)
    note("end")
    return {"attempt": job.attempt}


# In place of the module that knows the real jobs; it is imported by the child, after `hello`.
jobs = ModuleType("aiplatform.runtime.jobs")
jobs.run = work  # type: ignore[attr-defined]
sys.modules[jobs.__name__] = jobs
sys.exit(launch(arguments))
