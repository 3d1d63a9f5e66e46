"""What the garbage collector does in a process that runs for weeks."""

import gc

YOUNG = 10_000
"""Objects, less those that went, until the collector looks at the new ones. Its default of 700 is
reached by every few requests."""


def settle() -> None:
    """Take what is there at the end of the start out of the collector's sight, for good.

    That are modules, classes and statements: some hundred thousand objects that go with the
    process. To look through them takes a few tenths of a second, in which every request waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
