"""What holds the GPU: one child process per task, started as ``python -m aiplatform.runtime``.

It gets a job file, local paths and two file descriptors, and speaks the protocol of
:mod:`aiplatform.protocol.messages`. It knows neither database nor broker nor storage.
"""
