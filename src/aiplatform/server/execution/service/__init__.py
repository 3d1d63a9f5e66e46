"""Use cases of execution.

``workers`` and ``fleet`` register machines and drain them. ``attempts`` contains what a worker does
with a claimed task, ``nodes`` what it does for a task on several machines. ``external`` serves runs
outside the platform. ``reaper`` ends the leases of workers that are gone.
"""
