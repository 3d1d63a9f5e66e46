"""The shapes of the server's answers, one module for each area.

The server builds its answers from these classes, and the classes of the SDK inherit from them.
"""
