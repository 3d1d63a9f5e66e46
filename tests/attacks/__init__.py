"""Tests that simulate attacks on the platform; ``docs/security.md`` lists the attacks.

Access to objects of other projects, including through ids in bodies, filters and cursors, is tested
in ``tests/matrix``.
"""
