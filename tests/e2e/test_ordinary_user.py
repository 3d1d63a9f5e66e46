"""Tests of a platform run by an ordinary user: training works, scripts are refused with advice.

Root switches to the user nobody but keeps one capability: reading all files, because the Python
interpreter of a test machine may not be readable by others. It does not allow changing users or
isolating processes.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aiplatform import Client
from aiplatform.client import ApiError
from tests.e2e.conftest import Platform, chats, running_platform
from tests.tiny_model import make_tiny_model

NOBODY = 65534
SETPRIV = shutil.which("setpriv")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(SETPRIV is None, reason="setpriv, of util-linux, is missing"),
]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform(
        prefix=(
            *(str(SETPRIV), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
            "--bounding-set=-all,+dac_read_search",
        ),
        owner=NOBODY,
        AIPLATFORM_SCRIPTS="true",
    ) as running:
        yield running


def test_all_processes_run_as_the_user(platform: Platform, client: Client) -> None:
    for name in ("api", "worker"):
        process = psutil.Process(platform.pid(name))
        for one in (process, *process.children(recursive=True)):
            assert one.uids().effective == NOBODY


def test_script_is_refused_with_advice(client: Client, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('hello')\n")
    with pytest.raises(ApiError) as refused:
        client.scripts.run(["python", "main.py"], directory=tmp_path)
    assert "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION" in str(refused.value)
    assert "aiplatform doctor" in str(refused.value)


def test_model_is_trained(client: Client, tmp_path: Path) -> None:
    weights = make_tiny_model(tmp_path / "tiny") / "weights"
    base = client.models.import_path(weights, name="tiny").wait_ready(300)
    client.datasets.upload("rows", chats(4)).wait_ready(300)
    experiment = client.experiments.create(
        "ordinary", base_model=base, dataset="rows", output_name="ordinary", max_steps=2,
        batch_size=2, max_length=64,
    )  # fmt: skip
    task = experiment.run().wait(600)
    assert client.models.get(task.model).name == "ordinary"
