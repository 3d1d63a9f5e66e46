"""The command line: parse, call, print.

Modules here import nothing heavy at the top; a command imports what it needs when it runs, so that
``--help`` and shell completion answer at once.
"""
