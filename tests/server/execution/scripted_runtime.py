"""A runtime program that executes a test's script with the real launcher and protocol.

The script is at ``HOME/scripts/<task uuid>.py`` and can use ``job`` and ``report``.
"""

import sys
from pathlib import Path

import aiplatform.runtime.distributed.agent
import aiplatform.runtime.jobs
import aiplatform.runtime.spare
from aiplatform.runtime.launcher import launch, parse_arguments

arguments = parse_arguments(sys.argv[1:])


def run_script(job, report):
    home = Path(job.output_dir).parents[3]
    source = (home / "scripts" / f"{job.task}.py").read_text()
    scope = {"job": job, "report": report, "result": {}}
    exec(compile(source, "script", "exec"), scope)
    return scope["result"]


def run_ranks(job_file, job, ranks, report):
    """Run the script once per node instead of starting ``torchrun``."""
    report.result(run_script(job, report))
    return 0


aiplatform.runtime.jobs.run = run_script
aiplatform.runtime.spare.MODULES = ()
aiplatform.runtime.distributed.agent.run_ranks = run_ranks
sys.exit(launch(arguments))
