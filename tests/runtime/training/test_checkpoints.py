"""Tests that checkpoints are atomic, complete, unchanged by reading, and free of pickles."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.checkpoints import (
    commit,
    find_usable,
    is_complete,
    partial_directory,
    prune,
    read_state,
    step_of,
    write_state,
)


def make(parent: Path, step: int) -> Path:
    partial = partial_directory(parent, step)
    (partial / "adapter_model.safetensors").write_bytes(b"x" * 100)
    return commit(partial)


def test_commit_leaves_a_complete_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    checkpoint = make(tmp_path, 5)
    assert checkpoint.name == "checkpoint-5"
    assert is_complete(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
    assert (checkpoint / "adapter_model.safetensors").stat().st_mode & 0o777 == 0o644


def test_unfinished_checkpoint_is_not_found(tmp_path: Path) -> None:
    partial = partial_directory(tmp_path, 5)
    (partial / "adapter_model.safetensors").write_bytes(b"x")
    assert checkpoints.list_checkpoints(tmp_path) == []
    assert find_usable(tmp_path / "checkpoint-5") is None


@pytest.mark.parametrize("damage", ["manifest", "file", "truncated", "not json", "wrong json"])
def test_damaged_checkpoint_is_not_complete(tmp_path: Path, damage: str) -> None:
    checkpoint = make(tmp_path, 5)
    file = checkpoint / "adapter_model.safetensors"
    match damage:
        case "manifest":
            (checkpoint / "complete.json").unlink()
        case "file":
            file.unlink()
        case "truncated":
            file.write_bytes(b"x" * 99)
        case "not json":
            (checkpoint / "complete.json").write_text('{"files": {')
        case "wrong json":
            (checkpoint / "complete.json").write_text("[1]")
    assert not is_complete(checkpoint)


def test_usable_falls_back_to_the_newest_complete_checkpoint(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        make(tmp_path, step)
    (tmp_path / "checkpoint-100" / "complete.json").unlink()
    assert find_usable(tmp_path / "checkpoint-100") == tmp_path / "checkpoint-10"
    assert find_usable(tmp_path / "checkpoint-5") == tmp_path / "checkpoint-5"
    assert find_usable(tmp_path / "elsewhere" / "checkpoint-5") is None


def test_prune_keeps_the_two_checkpoints_with_the_highest_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        make(tmp_path, step)
    (tmp_path / "checkpoint-x").mkdir()
    prune(tmp_path)
    assert [step_of(path) for path in checkpoints.list_checkpoints(tmp_path)] == [10, 100]


def test_commit_replaces_a_checkpoint_of_the_same_step(tmp_path: Path) -> None:
    make(tmp_path, 5)
    (tmp_path / ".partial-5").mkdir()
    (tmp_path / ".partial-5" / "leftover").touch()
    checkpoint = make(tmp_path, 5)
    assert is_complete(checkpoint)
    assert not (checkpoint / "leftover").exists()


def test_read_state_returns_equal_values_and_types(tmp_path: Path) -> None:
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "by_number": {0: {"step": torch.tensor(3.0), "average": torch.randn(2, 3).bfloat16()}},
        "groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}],
        "empty": [{}, [], (), ""],
        "scalar": torch.tensor(7),
    }
    write_state(tmp_path, state)
    back = read_state(tmp_path)
    assert back["python"] == state["python"]
    assert back["groups"] == state["groups"]
    assert back["empty"] == state["empty"]
    assert [*back["by_number"]] == [0]
    for there, here in zip(back["numpy"], state["numpy"], strict=True):
        assert np.array_equal(there, here)
        assert type(there) is type(here)
    for key in ("step", "average"):
        there, here = back["by_number"][0][key], state["by_number"][0][key]
        assert there.dtype == here.dtype
        assert torch.equal(there, here)
    random.setstate(back["python"])
    np.random.set_state(back["numpy"])
    torch.set_rng_state(back["torch"])


def test_write_state_writes_each_tensor_that_shares_memory(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    write_state(tmp_path, {"a": shared, "b": shared, "c": shared.view(2, 3).T})
    back = read_state(tmp_path)
    assert torch.equal(back["b"], shared)
    assert torch.equal(back["c"], shared.view(2, 3).T)


def test_write_state_refuses_unsupported_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="can't hold a object"):
        write_state(tmp_path, {"x": object()})


def test_write_state_writes_only_json_and_safetensors(tmp_path: Path) -> None:
    write_state(tmp_path, {"x": torch.ones(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "training_state.json",
        "training_state.safetensors",
    ]
    json.loads((tmp_path / "training_state.json").read_text())
