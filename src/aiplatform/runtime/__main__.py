"""``python -m aiplatform.runtime --job JOB.json --messages-fd N --control-fd M``.

This module imports only the launcher, so that the child process sends ``hello`` before it imports
torch or even pydantic.
"""

import sys

from aiplatform.runtime.launcher import launch, parse_arguments

if __name__ == "__main__":
    sys.exit(launch(parse_arguments(sys.argv[1:])))
