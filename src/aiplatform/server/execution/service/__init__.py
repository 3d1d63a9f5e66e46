"""Use cases for task execution.

``workers`` and ``fleet`` register and drain machines. ``attempts`` writes the state and output of
an attempt, and ``nodes`` coordinates a task that runs on several machines. ``external`` handles
runs outside the platform. ``reaper`` ends the leases of lost workers.
"""
