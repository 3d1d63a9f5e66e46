"""Tests of attacks; ``docs/security.md`` lists them.

``tests/matrix`` tests access to objects of other projects, including through ids in bodies, filters
and cursors.
"""
