"""The command line: parses arguments, calls the SDK, and prints results.

Modules in this package don't import large packages at the top. A command imports what it needs when
it runs, so that ``--help`` and shell completion respond immediately.
"""
