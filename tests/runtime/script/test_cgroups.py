"""Tests of version 2 control groups: where they are created, and failures to join them.

Most tests use directories with plain files instead of the kernel's cgroup file system.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.protocol.messages import Job
from aiplatform.runtime.script import cgroups
from aiplatform.runtime.script import run as running
from aiplatform.runtime.script.cgroups import Group, Tree
from aiplatform.runtime.script.directories import free_uid
from aiplatform.runtime.script.sandbox import Sandbox, SandboxRefused, Start
from tests.runtime.conftest import RecordedReporter
from tests.runtime.script.conftest import AS_ROOT

BOTH = frozenset({"memory", "pids"})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Create the directories of a control group ``slice/service/worker``; return the last one."""
    path = tmp_path / "slice/service/worker"
    path.mkdir(parents=True)
    for group in (path, *path.parents[:3]):
        (group / "cgroup.procs").touch()
        (group / "cgroup.subtree_control").touch()
    return path


@pytest.fixture
def written(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Record writes in a list. Like the kernel, refuse ``memory`` for the worker's own group."""
    written: list[tuple[str, str]] = []

    def write(path: Path, text: str) -> bool:
        written.append((path.parent.name, text))
        if path.parent == own and "memory" in text:
            return False
        path.write_text(text.replace("+", ""))
        return True

    monkeypatch.setattr(cgroups, "_write", write)
    return written


def delegate(group: Path) -> None:
    try:
        os.setxattr(group, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes")


def test_controllers_are_requested_in_one_write(own: Path, written: list[tuple[str, str]]) -> None:
    assert cgroups._version_2_tree(own) == Tree(own, 2, frozenset())
    assert written == [("worker", "+memory +pids")]


def test_group_that_was_not_delegated_is_left_alone(
    own: Path, written: list[tuple[str, str]]
) -> None:
    (own.parent / "cgroup.subtree_control").write_text("memory pids")
    assert cgroups._version_2_tree(own).path == own
    assert {name for name, _ in written} == {"worker"}


def test_nearest_delegated_ancestor_is_used(own: Path, written: list[tuple[str, str]]) -> None:
    delegate(own.parent)
    assert cgroups._version_2_tree(own) == Tree(own.parent, 2, BOTH)
    assert written == [("worker", "+memory +pids"), ("service", "+memory +pids")]
    delegate(own)
    written.clear()
    assert cgroups._version_2_tree(own) == Tree(own, 2, frozenset())
    assert written == [("worker", "+memory +pids")]


def test_group_that_nobody_can_join_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def is_usable(group: Path) -> bool:
        asked.append(group)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(cgroups, "is_usable", is_usable)
        group = Group("one", [Tree(tmp_path, 2, BOTH)], memory_mb=1)
    assert asked == [tmp_path / "one"]
    assert (group.join_files, group.limits_memory) == ([], False)
    assert not (tmp_path / "one").exists()
    for kind, usable in (("domain invalid", False), ("domain", True), ("threaded", True)):
        (tmp_path / "cgroup.type").write_text(f"{kind}\n")
        assert cgroups.is_usable(tmp_path) is usable


@pytest.mark.skipif(not AS_ROOT, reason="only root makes sandboxes")
def test_command_that_cannot_join_its_group_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_write", lambda *_: True)
    group = Group("one", [Tree(tmp_path, 2, BOTH)], memory_mb=1, processes=1)
    assert group.limits_memory
    assert set(group.versions) >= BOTH
    # This device can be opened for writing, but refuses all writes.
    (tmp_path / "one/cgroup.procs").symlink_to("/dev/full")
    uid = free_uid()
    for name in ("tmp", "var-tmp"):
        (tmp_path / name).mkdir()
    sandbox = Sandbox(
        tmp_path,
        uid,
        Path("/"),
        limits=[],
        join_files=group.join_files,
        on_join_failure=group.record_join_failure,
    )
    start = Start(["true"], {"PATH": "/usr/bin:/bin"}, report=2)
    try:
        (command,) = sandbox.start([start])
    except SandboxRefused as error:
        pytest.skip(str(error))
    try:
        assert (command.wait(), command.error) == (0, None)
    finally:
        sandbox.close()
    assert not group.limits_memory
    assert not group.limits_processes
    assert group.versions == {}


@pytest.mark.skipif(not AS_ROOT, reason="only scripts with a user of their own get a group")
def test_script_without_sandbox_that_cannot_join_its_group_still_runs(
    tmp_path: Path,
    make_job: Callable[..., Job],
    make_recorded_reporter: Callable[[], RecordedReporter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups: list[Group] = []

    class Closed(Group):
        def __init__(self, name: str, trees: list[Tree], **limits: Any) -> None:
            super().__init__(name, trees, **limits)
            (tmp_path / name / "cgroup.procs").symlink_to("/dev/full")
            assert self.limits_memory
            groups.append(self)

        def members(self) -> set[int]:  # reading the device would never end
            return set()

    monkeypatch.setattr(cgroups, "_write", lambda *_: True)
    monkeypatch.setattr(running, "Group", Closed)
    monkeypatch.setattr(running, "trees", lambda: [Tree(tmp_path, 2, BOTH)])
    monkeypatch.setattr(running.Script, "_start_in_sandbox", lambda *_: False)
    result = running.run_script(
        make_job("print(1)", resources={"memory_mb": 300}), make_recorded_reporter().report
    )
    assert result["exit_code"] == 0
    assert [group.limits_memory for group in groups] == [False]
