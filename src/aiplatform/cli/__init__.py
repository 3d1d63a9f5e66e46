"""The command line: it parses arguments, calls the SDK, and prints results.

Modules in this package import no large packages at the top. A command imports what it needs when it
runs, so that ``--help`` and shell completion answer at once.
"""
