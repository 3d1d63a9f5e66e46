"""Shapes of answers with logs."""

from datetime import datetime

from pydantic import BaseModel

from aiplatform.protocol.enums import LogLevel, LogStream


class LogChunkOut(BaseModel):
    """Consecutive lines of one stream; ``level`` is the highest level among them.

    ``kept_bytes``: the size of the lines that this chunk replaces; only downloads and searches
    contain these lines.
    """

    seq: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    kept_bytes: int
    time: datetime


class LogLineOut(BaseModel):
    """A line of the log; ``number`` counts from 0 within its chunk."""

    seq: int
    number: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    time: datetime
