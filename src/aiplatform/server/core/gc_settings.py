"""Settings of Python's garbage collector for processes that run for weeks."""

import gc

YOUNGEST_THRESHOLD = 10_000
"""Number of new objects after which the garbage collector examines the youngest generation.

The default of 700 is reached after every few requests.
"""


def freeze_startup_objects() -> None:
    """Exclude all objects that exist after startup from garbage collection.

    These are modules, classes and statements: hundreds of thousands of objects that exist until
    the process exits. Examining them would take a few tenths of a second, during which every
    request waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST_THRESHOLD, 10, 10)
