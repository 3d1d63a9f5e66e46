"""The shapes of the server's responses, one module per area.

The server builds its responses from these classes, and the SDK's classes inherit from them.
"""
