"""What an attacker would try, one class each; ``docs/security.md`` lists them.

Access to foreign things, also by ids in bodies, filters and cursors, is ``tests/matrix``.
"""
