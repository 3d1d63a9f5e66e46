"""Tests of the output in a terminal of 80 columns."""

import re

import pytest
from rich.console import Console

from aiplatform.cli import output
from tests.cli.conftest import MODEL, TASK, D, E, M, P, Run, T
from tests.client.fake import FakeServer, answer, page
from tests.openapi_checks import Partial

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOW = "2026-11-27T12:00:00Z"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make commands print to a terminal of 80 columns."""

    def console(*, stderr: bool = False) -> Console:
        return Console(stderr=stderr, width=80, force_terminal=True, color_system=None)

    monkeypatch.setattr(output, "console", console)


@pytest.fixture
def full(world: FakeServer) -> FakeServer:
    """Return the scripted server with long names and with references by uuid."""
    config = {
        "type": "training",
        "base_model": M,
        "dataset": {"dataset": D, "version": "v1"},
        "lora": {"rank": 8, "dropout": 0.18999999999999997},
    }
    name = "quality of a dataset with a long name@v12"
    task = TASK | {"name": name, "project": P, "experiment": E, "config": config}
    series = {"loss": {"max": 3.294070243835449, "points": 1}}
    task |= {"result": {"eval_loss": 0.18999999999999997, "metrics": series}, "created_at": NOW}
    experiment = Partial(
        {"uuid": E, "name": "tune", "project": P, "config": config, "base_model": "base@1"}
    )
    experiment |= {"metrics": {"eval_loss": 1.5, "metrics": series}}
    entry = Partial({"uuid": T, "action": "experiment:created", "outcome": "success",
             "created_at": NOW,
             "user": {"uuid": E, "username": "admin"}, "resource_type": "experiment",
             "resource_id": E, "details": {"name": "tune"}, "ip_address": "127.0.0.1"})  # fmt: skip
    told: dict[str, object] = Partial(
        {
            "uuid": T,
            "title": "import of a model: failed",
            "message": "why " * 40,
            "type": "x",
        }
    )
    told |= {"created_at": NOW, "is_read": False}
    file = Partial({"path": "weights/generation_config.json", "size": 216, "sha256": "a8" * 32})
    compared = Partial(
        {
            "items": [
                {"uuid": uuid, "name": name, "kind": "run", "status": "completed"}
                for uuid, name in ((T, "a"), (E, "b"))
            ],
            "differs": {"lora.rank": [2, 4]},
            "metrics": {"eval_loss": [0.189999999999997, 1.5], "metrics": [None, series]},
        }
    )
    model = MODEL | {"task": T, "experiment": E, "size": 272596742}
    world.on(f"GET projects/{P}", answer(Partial({"uuid": P, "name": "demo", "status": "active"})))
    world.on(f"GET projects/{P}/tasks", page(task, task)).on(f"GET tasks/{T}", answer(task))
    world.on(f"GET projects/{P}/experiments", page(experiment))
    world.on(f"GET experiments/{E}", answer(experiment))
    world.on(f"GET models/{M}", answer(model)).on(f"GET models/{M}/files", page(file))
    world.on(f"GET models/{M}/lineage", answer(Partial({"dataset_versions": []})))
    world.on(f"GET tasks/{T}/usage", answer(Partial({"attempts": []})))
    world.on("GET audit", page(entry)).on("GET notifications", page(told))
    world.on(f"GET projects/{P}/comparison", answer(compared))
    return world


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("tasks", "ls"), ["quality of a"]),
        (("tasks", "show", T), ["project", "demo", "tune", "base@1", "faq@v1", "0.19"]),
        (("experiments", "show", E), ["base@1", "faq@v1", "1.5"]),
        (("experiments", "compare", E, T), ["lora.rank", "0.19"]),
        (("models", "show", M), ["demo", "tune", "272.6 MB"]),
        (("models", "files", M), ["weights/generation_config.json", "a8a8a8a8a8a8"]),
        (("audit", "ls"), ["experiment:created", "experiment tune"]),
        (("notifications", "ls"), ["import of a model"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_output_fits_80_columns_and_shows_names(
    run: Run, full: FakeServer, command: tuple[str, ...], words: list[str]
) -> None:
    ran = run(*command)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    for word in words:
        assert word in ran.out
    assert "{" not in ran.out
    assert "999999" not in ran.out
    others = [line for line in lines if UUID.search(line) and not line.startswith("uuid")]
    assert others == []
    if "ls" in command:  # a heading, a rule, and one line for each item
        assert len(lines) == (4 if command[0] == "tasks" else 3)


def test_uuid_without_a_name_is_not_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows(["DEVICE", "UUID"], [["a device of some make " * 5, T]])
    assert T in capsys.readouterr().out


def test_uuid_is_shortened_if_other_cells_would_be_unreadable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_rows(["DEVICE", "ADDRESS", "SEEN", "SINCE", "UUID"], [["words " * 5] * 4 + [T]])
    shown = capsys.readouterr().out.splitlines()[2]
    assert shown.rstrip().endswith(f"   {T[:8]}")
    assert len(shown) <= 80


def test_names_and_short_cells_are_not_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    row = ["tune", "running", "words " * 40, "2 min ago"]
    output.print_rows(["NAME", "STATUS", "MESSAGE", "CREATED"], [row])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    assert all(part in shown[2] for part in ("tune", "running", "2 min ago", "…"))
