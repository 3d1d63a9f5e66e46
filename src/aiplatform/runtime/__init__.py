"""The code of the child processes that run tasks, started as ``python -m aiplatform.runtime``.

A worker starts one child process per task. The child process gets a job file, local paths and two
file descriptors, and sends messages as defined in :mod:`aiplatform.protocol.messages`. It has no
access to the database, the broker or the blob store.
"""
