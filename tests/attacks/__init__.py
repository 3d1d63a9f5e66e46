"""Tests of attacks; ``docs/security.md`` lists them.

``tests/matrix`` tests access to objects of other projects, also by ids in bodies, filters and
cursors.
"""
