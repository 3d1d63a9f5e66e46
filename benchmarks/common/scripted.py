"""A platform whose quality reports run a script of the benchmark's instead: real launcher, pipes,
runner and database, and a child that does nothing but what is measured.
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
def scripted(script: str) -> Iterator[dict[str, str]]:
    """Environment variables with which a platform's children run ``script``.

    It sees ``job`` and ``report``. Python imports ``sitecustomize`` from the path on its own.
    """
    with tempfile.TemporaryDirectory(prefix="aip-script-") as directory:
        customize = Path(directory, "sitecustomize.py")
        customize.write_text(CUSTOMIZE.format(script=script), encoding="utf-8")
        yield {"PYTHONPATH": directory}
