"""The worker: Celery on a thread pool whose tasks supervise child processes."""

import sys

from sqlalchemy.exc import OperationalError

from aiplatform.data.no_pandas import hide_pandas
from aiplatform.server.audit import jobs as audit_jobs
from aiplatform.server.composition import compose
from aiplatform.server.core import tracing
from aiplatform.server.core.logging import configure_logging
from aiplatform.server.core.migrate import require_current
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution.jobs import NameInUse, run_worker


def main() -> int:
    """Run a worker until a signal stops it, and return the exit code."""
    hide_pandas()
    configure_logging(get_settings())
    try:
        require_current()
        tracing.start(get_settings(), "worker")
        compose()
        audit_jobs.start_sealing()
        run_worker()
    except (OperationalError, RuntimeError, NameInUse) as error:
        sys.stderr.write(f"aiplatform worker: {error}\n")
        return 1
    finally:
        tracing.stop()
    return 0
