"""A runtime whose job is a script of the test: the real launcher and protocol, no model.

The script lies at ``HOME/scripts/<task uuid>.py`` and sees ``job`` and ``report``.
"""

import sys
from pathlib import Path

import aiplatform.runtime.jobs
from aiplatform.runtime.launcher import launch, parse_arguments

arguments = parse_arguments(sys.argv[1:])


def run_script(job, report):
    home = Path(arguments.job).parents[3]
    source = (home / "scripts" / f"{job.task}.py").read_text()
    scope = {"job": job, "report": report, "result": {}}
    exec(compile(source, "script", "exec"), scope)
    return scope["result"]


aiplatform.runtime.jobs.run = run_script
sys.exit(launch(arguments))
