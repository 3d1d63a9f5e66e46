"""``python -m aiplatform.runtime --job JOB.json --messages-fd N --control-fd M``.

Nothing but the launcher is imported here: the child says hello before torch, or even pydantic,
loads.
"""

import sys

from aiplatform.runtime.launcher import launch, parse_arguments

if __name__ == "__main__":
    sys.exit(launch(parse_arguments(sys.argv[1:])))
