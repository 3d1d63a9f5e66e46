"""Jobs that several processes (ranks) run together.

``agent`` starts the ranks of a node, and ``rank`` is the program that each of them runs.
"""
