"""The SDK and the command line against the real application: no part of the server is replaced."""
