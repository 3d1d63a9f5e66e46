"""A platform whose quality reports run a program of the benchmark instead.

The launcher, pipes, runner and database are real, but the child does only the measured work.
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
    """Yield environment variables that make a platform's children run the code ``script``.

    The code has the variables ``job`` and ``report``. This works because Python automatically
    imports a module ``sitecustomize`` from the path.
    """
    with tempfile.TemporaryDirectory(prefix="aip-script-") as directory:
        customize = Path(directory, "sitecustomize.py")
        customize.write_text(CUSTOMIZE.format(script=script), encoding="utf-8")
        yield {"PYTHONPATH": directory}
