"""The protocol between a runner and the runtime it started: one JSON message per line.

The runtime writes :data:`RuntimeMessage` to its own file descriptor. Its stdout and stderr are only
logged, so printed text can't forge a message. The runner writes :data:`ControlMessage` to the
launcher that supervises the child process.
"""

import time
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.specs import TaskSpec

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line in bytes. A longer one fails the attempt, to protect the runner's memory."""

SCRIPT_USER_FILE = "script-user"
"""Name of the file in the attempt's directory that contains the user id of the script.

The file exists only if the script runs as a separate user.
"""

Finite = Annotated[float, Field(allow_inf_nan=True)]
Step = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""An integer that the database can store."""

Moment = Annotated[float, Field(ge=0, lt=1 << 37)]
"""Seconds since the epoch, up to a date that calendars support."""


class Message(BaseModel):
    """The base class of messages. Unknown fields are ignored, so a newer runtime can add fields."""

    model_config = ConfigDict(extra="ignore")


class Hello(Message):
    """The first message, sent before any large package is imported."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL_VERSION
    pid: int


class Warm(Message):
    """A spare process has imported its packages and waits for a job; ``hello`` follows later."""

    type: Literal["warm"] = "warm"


class Progress(Message):
    """The progress of the task."""

    type: Literal["progress"] = "progress"
    value: float = Field(ge=0, le=1)
    step: Step | None = None
    total_steps: Step | None = None
    seconds_left: float | None = None


class Metrics(Message):
    """Values measured at one step. ``time`` is in seconds since the epoch."""

    type: Literal["metrics"] = "metrics"
    step: Step
    values: dict[str, Finite]
    time: Moment = Field(default_factory=time.time)


class Checkpoint(Message):
    """A complete checkpoint directory, below the attempt's checkpoint directory."""

    type: Literal["checkpoint"] = "checkpoint"
    step: Step
    path: str


class Ready(Message):
    """The server that the runtime started now accepts requests."""

    type: Literal["ready"] = "ready"
    endpoint: str = Field(description="unix:/path or http://host:port")


class Event(Message):
    """An event for the task's timeline."""

    type: Literal["event"] = "event"
    name: str = Field(max_length=50)
    data: dict[str, Any] = Field(default_factory=dict)


class Phase(Message):
    """The phase of work that starts at ``time`` (seconds since the epoch), for the task's trace."""

    type: Literal["phase"] = "phase"
    name: str = Field(max_length=50)
    time: float = Field(default_factory=time.time)


class Result(Message):
    """The result of a task that succeeded; its files are in the output directory."""

    type: Literal["result"] = "result"
    data: dict[str, Any]


class Failure(Message):
    """The reason why a task failed, as shown to its user."""

    type: Literal["failure"] = "failure"
    error: str
    retryable: bool = False


class Stopped(Message):
    """The runtime has stopped after a cancellation, having reported its last checkpoint."""

    type: Literal["stopped"] = "stopped"


RuntimeMessage = Annotated[
    Hello
    | Warm
    | Progress
    | Metrics
    | Checkpoint
    | Ready
    | Event
    | Phase
    | Result
    | Failure
    | Stopped,
    Field(discriminator="type"),
]
_runtime_message: TypeAdapter[RuntimeMessage] = TypeAdapter(RuntimeMessage)

ScriptMessage = Annotated[
    Progress | Metrics | Checkpoint | Event,
    Field(discriminator="type"),
]
"""A message that a user's own program may send; it can't report the end of its task."""
_script_message: TypeAdapter[ScriptMessage] = TypeAdapter(ScriptMessage)


class Renew(Message):
    """The lease was renewed: the child process may run for this many more seconds."""

    type: Literal["renew"] = "renew"
    seconds: float = Field(gt=0)


class Cancel(Message):
    """A request for the child process to save a checkpoint and exit: SIGTERM, later SIGKILL.

    ``grace_seconds`` is the time between the two signals.
    """

    type: Literal["cancel"] = "cancel"
    grace_seconds: float = Field(ge=0)


class Drain(Message):
    """A request for a model server to finish the responses in progress and exit.

    The server gets no new requests.
    """

    type: Literal["drain"] = "drain"


class Begin(Message):
    """A job for a spare process: the job's file, directory, and complete environment."""

    type: Literal["begin"] = "begin"
    job: str
    directory: str
    environment: dict[str, str] = Field(repr=False, description="with the secrets that it names")


ControlMessage = Annotated[Renew | Cancel | Drain | Begin, Field(discriminator="type")]


class ServingAddress(Message):
    """The address on which an inference runtime must listen."""

    socket: str | None = Field(None, description="path of the unix socket, on one machine")
    host: str | None = Field(None, description="address to bind, when API and worker are apart")
    token: str = Field(description="bearer token that requests must carry")


class Ranks(Message):
    """The processes that share a job, and the part of them that runs on this node.

    A rank is the number of a process. Rank 0 is the first process of node 0, and the only process
    that reports.
    """

    nodes: int = Field(1, ge=1)
    node: int = Field(0, ge=0, description="the place of this node among them")
    processes: int = Field(1, ge=1, description="on each node")
    endpoint: str | None = Field(None, description="host:port of node 0, where there are several")
    address: str | None = Field(None, description="this node's own, at which the others reach it")
    grace_seconds: float = Field(30, ge=0, description="what a stop leaves them to end")


class Job(Message):
    """The complete input of a runtime, in one file: a spec and local paths, without credentials.

    ``inputs`` maps roles to local paths: ``dataset``, ``eval_dataset`` (canonical Parquet files),
    ``base_model``, ``model`` (directories with ``weights/`` and ``adapter/``), ``source`` (uploaded
    files). The roles of a script are ``code`` (its bundle), ``datasets/NAME`` and ``models/NAME``.
    ``labels`` maps the same roles to names that users see, such as ``faq@v2``.
    """

    protocol: int = PROTOCOL_VERSION
    task: UUID
    attempt: int
    spec: TaskSpec
    inputs: dict[str, str]
    labels: dict[str, str] = Field(default_factory=dict)
    output_dir: str
    checkpoint_dir: str
    resume_from: str | None = Field(None, description="a complete checkpoint directory")
    serving: ServingAddress | None = None
    prefix: str | None = Field(None, description="of the environment that a script runs in")
    isolation_required: bool = Field(
        True, description="whether a script that can't be isolated from others is refused"
    )
    ranks: Ranks | None = Field(None, description="of several processes; without it, one runs all")
    traceparent: str | None = Field(
        None, description="the attempt's span, as W3C writes it; without one nothing is traced"
    )
    cache_dir: str | None = Field(
        None, description="the worker's directory for files that later jobs may use again"
    )
    llama_server: str | None = Field(
        None, description="the operator's program of llama.cpp; without it the worker's own"
    )


def parse_runtime_message(line: bytes) -> RuntimeMessage:
    """Parse one line from the runtime.

    Raises:
        pydantic.ValidationError: The line is not a message of this protocol.
    """
    return _runtime_message.validate_json(line)


def parse_script_message(line: bytes) -> ScriptMessage:
    """Parse one line from a user's own program.

    Raises:
        pydantic.ValidationError: The line is not a message that such a program may send.
    """
    return _script_message.validate_json(line)


def encode(message: Message) -> bytes:
    """Encode a message as one line, including the newline."""
    return dumps(message).encode() + b"\n"
