"""Tests of indexes that several processes build at the same time, or whose build fails."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aiplatform.server.core.settings import get_settings
from aiplatform.server.datasets.errors import IngestFailed
from aiplatform.server.datasets.service import indexes

pytestmark = pytest.mark.usefixtures("home")
NAME = "some.parquet"


async def _never() -> None:
    await asyncio.Event().wait()


def _output(command: list[str]) -> Path:
    return Path(json.loads(Path(command[-1]).read_text())["output"])


def _left() -> list[str]:
    return [path.name for path in get_settings().spool_dir.glob("*")]


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    for path in get_settings().spool_dir.glob("*"):
        path.unlink()


async def _make() -> Path:
    return await indexes.get_or_build_index(NAME, "no.module", dict, _never)


def test_index_built_twice_concurrently_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    index = get_settings().spool_dir / NAME
    half_done = [asyncio.Event(), asyncio.Event()]
    first_is_there = asyncio.Event()

    async def slowly(command: list[str], *_: Any) -> None:
        output, nth = _output(command), int(half_done[0].is_set())
        output.write_text("half of ")
        half_done[nth].set()
        await (first_is_there if nth else half_done[1]).wait()
        output.write_text("half of the rows")

    async def both() -> None:
        first = asyncio.create_task(_make())
        await half_done[0].wait()
        second = asyncio.create_task(_make())
        assert await first == index
        assert index.read_text() == "half of the rows"
        first_is_there.set()
        assert await second == index

    monkeypatch.setattr(indexes, "run_row_program", slowly)
    asyncio.run(asyncio.wait_for(both(), 10))
    assert index.read_text() == "half of the rows"
    assert _left() == [NAME]


@pytest.mark.parametrize("fault", [IngestFailed(ending="SIGKILL"), asyncio.CancelledError()])
def test_interrupted_index_build_leaves_no_file(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(command: list[str], *_: Any) -> None:
        _output(command).write_text("half a li")
        raise fault

    monkeypatch.setattr(indexes, "run_row_program", killed)
    with pytest.raises(type(fault)):
        asyncio.run(_make())
    assert _left() == []
