"""The code of the child processes that run tasks, started as ``python -m aiplatform.runtime``.

A worker starts one child per task. The child gets a job file, local paths and two file descriptors,
and reports in the protocol of :mod:`aiplatform.protocol.messages`. It has no access to database,
broker or blob store.
"""
