"""A platform that runs a benchmark's code instead of quality reports.

The launcher, pipes, runner and database are real, but the child process only runs that code.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CUSTOMIZE = """
import sys

if "aiplatform.runtime" in sys.orig_argv:
    import aiplatform.runtime.jobs

    def run(job, report):
        scope = {{"job": job, "report": report}}
        exec(compile({script!r}, "script", "exec"), scope)
        return {{}}

    aiplatform.runtime.jobs.run = run
"""


@contextmanager
def fake_job_variables(script: str) -> Iterator[dict[str, str]]:
    """Yield environment variables that make a platform's child processes run the code ``script``.

    The code can use the variables ``job`` and ``report``. This works because Python automatically
    imports a module named ``sitecustomize`` from its search path.
    """
    with tempfile.TemporaryDirectory(prefix="aip-script-") as directory:
        customize = Path(directory, "sitecustomize.py")
        customize.write_text(CUSTOMIZE.format(script=script), encoding="utf-8")
        yield {"PYTHONPATH": directory}
