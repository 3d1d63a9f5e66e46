"""Logs as they are read."""

from datetime import datetime

from pydantic import BaseModel

from aiplatform.protocol.enums import LogLevel, LogStream


class LogChunkOut(BaseModel):
    """Consecutive lines of one stream; ``level`` is the highest of theirs.

    ``kept_bytes``: the chunk stands for that many bytes which only downloads and searches show.
    """

    seq: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    kept_bytes: int
    time: datetime


class LogLineOut(BaseModel):
    """A line of the log; ``number`` counts from 0 in its chunk."""

    seq: int
    number: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    time: datetime
